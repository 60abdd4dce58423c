"""Leaving a device and coming back to it, with the CPU for a device."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fakes.graphs import fake_graphs  # noqa: E402

from maestra.adapters.face.device import (  # noqa: E402
    Device,
    Recorded,
    Residence,
    channels_last,
    fetched,
    weights_of,
)

CPU = torch.device("cpu")


class Timers:
    """Stands for ``threading.Timer``: what was asked for, and nothing of it by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[float, Any]] = []
        monkeypatch.setattr("threading.Timer", self._make)

    def _make(self, seconds: float, function: Any) -> Any:
        self.asked.append((seconds, function))
        return SimpleNamespace(daemon=False, start=lambda: None)


def test_what_leaves_comes_back_as_it_was_with_the_next_work() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4))
    references, left = SimpleNamespace(volume=torch.arange(6.0)), list[str]()

    def places() -> Iterator[tuple[Any, str]]:
        yield references, "volume"
        yield from weights_of(network)

    residence = Residence(places, CPU, leaving=lambda: left.append("gone"))
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with residence.at_work() as away:
        assert not away
    on_device = references.volume
    residence.unload()
    residence.unload()
    assert not residence.resident
    assert left == ["gone"]
    assert references.volume is not on_device
    with residence.at_work() as away:
        assert away
        assert residence.resident
    assert torch.equal(references.volume, on_device)
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())


def test_it_leaves_when_it_has_not_worked_for_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    now, timers = [0.0], Timers(monkeypatch)
    references = SimpleNamespace(volume=torch.ones(1))
    residence = Residence(
        lambda: [(references, "volume")], CPU, unload_after=60.0, clock=lambda: now[0]
    )

    def work() -> None:
        with residence.at_work():
            pass

    work()
    now[0] = 50.0
    work()
    assert [seconds for seconds, _ in timers.asked] == [60.0]
    now[0] = 60.0
    timers.asked[0][1]()
    assert residence.resident
    assert timers.asked[1][0] == pytest.approx(50.0)
    now[0] = 110.0
    timers.asked[1][1]()
    assert not residence.resident
    work()
    assert residence.resident
    assert len(timers.asked) == 3


def test_idle_pictures_without_end_do_not_keep_it_where_they_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, timers, replaced = [0.0], Timers(monkeypatch), [False]
    references = SimpleNamespace(volume=torch.ones(1))
    residence = Residence(
        lambda: [(references, "volume")],
        CPU,
        unload_after=60.0,
        replaced=lambda: replaced[0],
        clock=lambda: now[0],
    )

    def rest() -> bool | None:
        with residence.at_rest() as came_back:
            return came_back

    now[0] = 50.0
    assert rest() is False
    now[0] = 61.0
    timers.asked[0][1]()
    assert residence.resident, "nothing else can be shown"
    assert timers.asked[1][0] == pytest.approx(49.0)
    replaced[0] = True
    timers.asked[1][1]()
    assert not residence.resident
    assert rest() is None and not residence.resident
    replaced[0] = False
    assert rest() is True and residence.resident


def test_speech_does_not_wait_for_what_leaving_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    references = SimpleNamespace(volume=torch.ones(1))
    residence = Residence(lambda: [(references, "volume")], CPU)
    worked, take = list[bool](), torch.empty_like

    def slow(like: Any, **how: Any) -> Any:
        if free := residence._lock.acquire(blocking=False):
            residence._lock.release()
        worked.append(free)
        return take(like, **how)

    monkeypatch.setattr(torch, "empty_like", slow)
    residence.unload()
    assert worked == [True]
    with residence.at_work():
        worked.clear()
    residence.unload()
    assert not worked and not residence.resident, "the memory is kept"


def test_the_layout_of_the_weights_is_nothing_but_a_layout() -> None:
    flat, deep = torch.nn.Conv2d(4, 8, 3), torch.nn.Conv3d(4, 8, 3)
    network = torch.nn.ModuleList([flat, deep, torch.nn.Linear(4, 4)])
    before = [tensor.clone() for tensor in network.parameters()]
    channels_last(network)
    assert all(map(torch.equal, before, network.parameters()))
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert deep.weight.is_contiguous(memory_format=torch.channels_last_3d)


# --- what is recorded ------------------------------------------------------------


def on_cpu(*sizes: int) -> Device:
    return Device(device=CPU, precision=torch.float32, sizes=sizes, graphs=True)


def test_what_was_recorded_is_played_back_for_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs, called = fake_graphs(monkeypatch), list[int]()

    def work(a: Any, b: Any) -> Any:
        called.append(len(a))
        return a @ b.transpose(1, 2)

    def example(size: int) -> tuple[Any, ...]:
        return torch.zeros(size, 2, 3), torch.zeros(size, 2, 3)

    recorded = Recorded(work, example, on=on_cpu(1, 2), stream=None)
    given = torch.arange(12.0).view(2, 2, 3), torch.arange(12.0).view(2, 2, 3) - 6
    wanted = given[0] @ given[1].transpose(1, 2)
    assert torch.equal(wanted, recorded(*given))
    assert not graphs and not recorded.complete
    recorded.record_one()
    recorded.record_one()
    recorded.record_one()
    assert len(graphs) == 2 and recorded.complete
    called.clear()
    for factor in (1, 3):
        assert torch.equal(wanted * factor, recorded(given[0] * factor, given[1]))
        assert torch.equal(wanted[:1] * factor, recorded(given[0][:1] * factor, given[1][:1]))
    assert not called
    assert [graph.replays for graph in graphs] == [2, 2]

    recorded.forget()
    assert not recorded.complete
    assert torch.equal(wanted, recorded(*given)) and called == [2]


def test_without_graphs_nothing_is_recorded() -> None:
    on = Device.choose("a face", "cpu", "auto", most_at_once=3, graphs=True)
    recorded = Recorded(torch.neg, lambda size: (torch.ones(size),), on=on, stream=None)
    recorded.record_one()
    assert recorded.complete
    assert recorded(torch.ones(2)).tolist() == [-1, -1]


def test_batches_are_filled_up_only_where_a_new_shape_is_slow() -> None:
    assert [on_cpu(1, 2, 4, 6).size_for(count) for count in (1, 3, 5, 9)] == [1, 4, 6, 9]
    eager = Device.choose("a face", "cpu", "auto", most_at_once=6)
    assert eager.sizes == (1, 2, 4, 6)
    assert eager.size_for(3) == 3


@pytest.mark.gpu
def test_pictures_come_back_when_they_are_drawn() -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        drawn = torch.full((2, 512, 512, 3), 3, dtype=torch.uint8, device="cuda")
        first = fetched(drawn, stream)
        drawn.fill_(7)
        second = fetched(drawn, stream)
    assert (first == 3).all() and (second == 7).all()


def test_pictures_are_copied_once_and_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, take = list[bool](), torch.empty

    def pinned(*shape: Any, pin_memory: bool = False, **how: Any) -> Any:
        asked.append(pin_memory)
        return take(*shape, **how)

    waited = list[str]()
    stream: Any = SimpleNamespace(synchronize=lambda: waited.append("drawn"))
    monkeypatch.setattr(torch, "empty", pinned)
    drawn = torch.full((2, 6, 4), 3, dtype=torch.uint8)
    first = fetched(drawn, stream)
    drawn.fill_(7)
    second = fetched(drawn, stream)
    assert (first == 3).all() and (second == 7).all()
    assert asked == [True, True] and waited == ["drawn", "drawn"]
