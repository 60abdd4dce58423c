"""Leaving a device and coming back to it, with the CPU for a device."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from maestra.adapters.face.device import (  # noqa: E402
    HostCopies,
    Residence,
    channels_last,
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


def test_the_layout_of_the_weights_is_nothing_but_a_layout() -> None:
    flat, deep = torch.nn.Conv2d(4, 8, 3), torch.nn.Conv3d(4, 8, 3)
    network = torch.nn.ModuleList([flat, deep, torch.nn.Linear(4, 4)])
    before = [tensor.clone() for tensor in network.parameters()]
    channels_last(network)
    assert all(map(torch.equal, before, network.parameters()))
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert deep.weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.gpu
def test_pictures_come_back_when_they_are_drawn() -> None:
    stream = torch.cuda.Stream()
    copies = HostCopies(stream)
    for level in (3, 7):
        with torch.cuda.stream(stream):
            drawn = torch.full((2, 512, 512, 3), level, dtype=torch.uint8, device="cuda")
            assert (copies.fetch(drawn) == level).all()
