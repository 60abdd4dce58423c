"""The face as a whole, with networks too small for a likeness."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from fakes import tiny_liveportrait  # noqa: E402
from fakes.graphs import fake_graphs  # noqa: E402

from maestra.adapters.face.colour import yuv420  # noqa: E402
from maestra.adapters.face.device import Device  # noqa: E402
from maestra.adapters.face.liveportrait.drawing import Engine  # noqa: E402
from maestra.adapters.face.liveportrait.features import Features  # noqa: E402
from maestra.adapters.face.liveportrait.geometry import paste, placed_mask  # noqa: E402
from maestra.adapters.face.liveportrait.performing import (  # noqa: E402
    CONTROLS,
    EXPRESSION,
    EYES,
    LIPS,
)
from maestra.adapters.face.portrait import Mesh, prepared  # noqa: E402
from maestra.app import composition, personas  # noqa: E402
from maestra.app.config import Config, FaceConfig  # noqa: E402
from maestra.ports.audio import PLAYOUT_RATE_HZ  # noqa: E402
from maestra.ports.errors import FaceError, FaceOutOfMemory, ModelMissing  # noqa: E402

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

MARY = personas.load("teacher_mary_v1")
choose = partial(Device.choose, "liveportrait")
CPU = choose("cpu", "auto", most_at_once=4, compiled=False, graphs=True)


def portrait() -> tuple[Picture, Mesh]:
    return prepared(personas.portrait_path(MARY), personas.mesh_path(MARY))


def engine(device: Device = CPU, size: int = 96, **options: Any) -> Engine:
    picture, mesh = portrait()
    return Engine(
        tiny_liveportrait.tiny(),
        picture,
        Features.of_mesh(mesh),
        size=size,
        device=device,
        **options,
    )


def rows(count: int = 1, *, eyes: float = 0.5, lips: float = 0.0) -> NDArray[np.float32]:
    made = np.zeros((count, CONTROLS), np.float32)
    made[:, EYES], made[:, LIPS] = eyes, lips
    return made


def apart(one: Picture, other: Picture) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_outside_the_crop_the_portrait_is_untouched_and_inside_it_is_drawn() -> None:
    picture, mesh = portrait()
    drawn = cv2.cvtColor(engine(size=128).draw(rows())[0], cv2.COLOR_YUV2RGB_I420)
    shown = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
    crop = Features.of_mesh(mesh).crop().scaled(128 / len(picture))
    mask = placed_mask(crop, (128, 128))

    # As good as can be: a quarter of the colour is kept.
    assert np.abs(drawn[mask == 0].astype(int) - shown[mask == 0]).mean() <= 1.5
    assert np.abs(drawn[mask == 1].astype(int) - shown[mask == 1]).mean() > 10


def test_the_device_pastes_as_opencv_does(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, mesh = portrait()
    made = engine(size=256)
    y, x = np.mgrid[:512, :512]
    waves = (127 + 120 * np.sin(x / 9) * np.cos(y / 7))[..., None]
    crop_drawn = np.repeat(waves, 3, axis=2).astype(np.uint8)
    given = torch.from_numpy(crop_drawn.transpose(2, 0, 1))[None].float() / 255
    monkeypatch.setattr(made._networks.spade_generator, "forward", lambda features: given)

    crop = Features.of_mesh(mesh).crop().scaled(256 / len(picture))
    shown = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    theirs = paste(crop_drawn, shown, crop, placed_mask(crop, (256, 256)))
    ours = made.draw(rows())[0]
    difference = np.abs(ours.astype(int) - yuv420(torch.from_numpy(theirs[None]))[0].numpy())
    # OpenCV places by 32nds of a pixel, and the waves are steep.
    assert difference.mean() < 1 and difference.max() <= 8


def test_nothing_asked_leaves_the_keypoints_to_stitching_alone() -> None:
    made = engine()
    source = made._references.keypoints
    still = torch.from_numpy(rows(eyes=made.eyes_open))
    for name in ("stitching", "lip"):
        for tensor in getattr(made._networks, name).parameters():
            tensor.data.zero_()

    with torch.inference_mode():
        assert torch.allclose(source, made.driven(still), atol=1e-6)
        still[:, 3] = 0.1
        shifted = made.driven(still) - source
        assert torch.allclose(shifted[..., 0], torch.tensor(0.1), atol=1e-6)
        still[:, 3] = 0
        still[:, EXPRESSION + 19 * 3 + 1] = 0.05
        moved = (made.driven(still) - source).abs().sum(dim=-1)[0]
        assert moved.argmax() == 19 and int((moved > 1e-6).sum()) == 1


@pytest.mark.parametrize("change", [{LIPS: 0.5}, {EYES: 0.0}])
def test_lips_and_eyes_are_driven_by_their_ratios(change: dict[int, float]) -> None:
    made = engine()
    asked = rows()
    asked[0, list(change)] = list(change.values())
    with torch.inference_mode():
        rest, moved = (made.driven(torch.from_numpy(given)) for given in (rows(), asked))
    assert (rest - moved).abs().max() > 1e-3


def test_a_batch_draws_what_each_alone_would() -> None:
    made = engine()
    wanted = np.concatenate([rows(lips=0.1 * i) for i in range(3)])

    together = made.draw(wanted)
    assert len(together) == 3
    for row, picture in zip(wanted, together, strict=True):
        assert apart(picture, made.draw(row[None])[0]) < 0.1


def test_what_is_recorded_draws_the_same_and_anew_after_it_was_put_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = np.concatenate([rows(lips=0.1 * i) for i in range(3)])
    plain = engine().draw(wanted)
    graphs = fake_graphs(monkeypatch)
    made = engine(attrs.evolve(CPU, sizes=(1, 4), graphs=True))
    for _ in range(2):
        made.draw(rows(), hurried=False)
    assert len(graphs) == 2
    drawn = made.draw(wanted)
    assert graphs[1].replays == 1
    made.draw(rows(3, lips=0.6))
    assert max(map(apart, drawn, plain)) < 0.1

    made.unload()
    made.draw(rows(), hurried=False)
    assert len(graphs) == 2, "it has only just come back"
    made.draw(rows(), hurried=False)
    assert len(graphs) == 3
    assert max(map(apart, made.draw(wanted), plain)) < 0.1


def test_put_away_it_comes_back_and_draws_the_same() -> None:
    made = engine()
    before = made.draw(rows())[0]
    made.unload()
    assert not made.resident
    again = made.draw(rows())[0]

    assert made.resident
    assert np.array_equal(before, again)


def test_it_is_put_away_when_nobody_asks_for_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    now, timers = [0.0], list[tuple[float, Any]]()

    class Timer:
        daemon = False

        def __init__(self, seconds: float, function: Any) -> None:
            timers.append((seconds, function))

        def start(self) -> None: ...

    monkeypatch.setattr("threading.Timer", Timer)
    made = engine(unload_after=60.0, clock=lambda: now[0])
    made.draw(rows())
    now[0] = 50.0
    made.draw(rows())
    assert [seconds for seconds, _ in timers] == [60.0]
    now[0] = 60.0
    timers[0][1]()
    assert made.resident and timers[1][0] == pytest.approx(50.0)
    now[0] = 110.0
    timers[1][1]()
    assert not made.resident
    made.draw(rows())
    assert made.resident and len(timers) == 3


def test_no_room_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(made._networks.spade_generator, "forward", full)
    with pytest.raises(FaceOutOfMemory, match="no room to draw 4 pictures"):
        made.draw(rows(4))


def test_a_gpu_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(FaceError, match="finds no GPU"):
        choose("cuda", "auto", most_at_once=1, compiled=False, graphs=True)
    with pytest.raises(FaceError, match="half precision is for a GPU"):
        choose("auto", "float16", most_at_once=1, compiled=False, graphs=True)
    assert choose("auto", "auto", most_at_once=6, compiled=False, graphs=True).sizes == (
        1,
        2,
        4,
        6,
    )


# --- the face --------------------------------------------------------------------


def vowel(seconds: float) -> NDArray[np.float32]:
    time = np.arange(round(seconds * PLAYOUT_RATE_HZ)) / PLAYOUT_RATE_HZ
    tone = np.sin(2 * np.pi * 150 * time) + np.sin(2 * np.pi * 750 * time)
    made: NDArray[np.float32] = (0.2 * tone).astype(np.float32)
    return made


def test_the_mouth_is_asked_to_open_in_speech_and_shut_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    face, asked = tiny_liveportrait.tiny_liveportrait(), list[float]()
    draw = face._engine.draw

    def watched(given: NDArray[np.float32], **how: bool) -> list[Picture]:
        asked.extend(float(row[LIPS]) for row in given)
        return draw(given, **how)

    monkeypatch.setattr(face._engine, "draw", watched)
    face.push(np.concatenate([np.zeros(9600, np.float32), vowel(0.4)]), last=True)
    list(islice(face.frames(), 24))

    assert max(asked[:4]) < 0.02
    assert max(asked[8:14]) > 0.15
    assert max(asked[20:]) < 0.02


def test_the_same_speech_is_drawn_the_same_again_after_stepping_back() -> None:
    face = tiny_liveportrait.tiny_liveportrait()
    face.push(vowel(0.2), last=True)
    first = [frame.picture for frame in islice(face.frames(), 5)]
    face.clear(2)
    face.push(vowel(0.2)[2 * 1920 :], last=True)
    again = [frame.picture for frame in islice(face.frames(), 3)]

    # Batches of other lengths round differently.
    assert max(apart(one, other) for one, other in zip(first[2:], again, strict=True)) < 0.01
    assert apart(first[1], first[4]) > 0.05


def test_the_composition_builds_it_from_the_folder_it_is_given(tmp_path: Path) -> None:
    weights = {"liveportrait": {"weights": str(tmp_path), "device": "cpu"}}
    config = Config(face=FaceConfig(backend=("liveportrait",), options=weights))
    build = dict(composition.faces(config, MARY))["liveportrait"]
    with pytest.raises(ModelMissing, match="name their folder in"):
        build()


# --- colour ------------------------------------------------------------------------


def test_colour_is_converted_as_opencv_converts_it() -> None:
    rng = np.random.default_rng(3)
    smooth = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))
    ours = yuv420(torch.from_numpy(smooth[None]))[0].numpy()
    theirs = cv2.cvtColor(smooth, cv2.COLOR_RGB2YUV_I420)

    assert ours.shape == theirs.shape
    # Ours takes the mean of four pixels' colour, OpenCV the first one's.
    assert np.abs(ours[:48].astype(int) - theirs[:48]).max() <= 1
    assert np.abs(ours[48:].astype(int) - theirs[48:]).mean() <= 4
    flat = np.full((4, 4, 3), (200, 30, 90), np.uint8)
    assert np.array_equal(
        cv2.cvtColor(flat, cv2.COLOR_RGB2YUV_I420), yuv420(torch.from_numpy(flat[None]))[0].numpy()
    )


# --- on a GPU ------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", [False, True])
def test_on_a_gpu_it_draws_what_it_draws_elsewhere(graphs: bool) -> None:
    gpu = choose("cuda", "float32", most_at_once=2, compiled=False, graphs=graphs)
    made = engine(gpu)
    made.warm()
    for count in (1, 2):
        ours = made.draw(rows(count, lips=0.3))
        assert apart(ours[-1], engine().draw(rows(lips=0.3))[0]) < 0.5
    assert len(made._render._recordings) == (2 if graphs else 0)


@pytest.mark.gpu
def test_on_a_gpu_it_comes_back_soon() -> None:
    import time

    made = engine(choose("cuda", "auto", most_at_once=1, compiled=False, graphs=True))
    made.warm()
    before = made.draw(rows())[0]
    took = []
    for _ in range(3):
        made.unload()
        torch.cuda.synchronize()
        begun = time.monotonic()
        again = made.draw(rows())[0]
        took.append(time.monotonic() - begun)
        assert apart(before, again) < 0.5

    assert min(took) < 0.1, took
