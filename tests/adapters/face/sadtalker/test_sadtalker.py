"""SadTalker live: speech that comes bit by bit, and networks of a few channels."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.graphs import fake_graphs
from fakes.sadtalker import PERSONA, TINY, tiny_sadtalker, write_weights
from golden import recipe
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn import functional

from maestra.adapters.face.colour import yuv420
from maestra.adapters.face.device import Device
from maestra.adapters.face.sadtalker import (
    SadTalkerSettings,
    audio,
    estimator,
    mel,
    networks,
    placing,
)
from maestra.adapters.face.sadtalker.drawing import Renderer
from maestra.adapters.face.sadtalker.driver import LOOK_AHEAD, LOOK_BACK, LOW_PASS, Driver
from maestra.adapters.face.sadtalker.face import SadTalker
from maestra.adapters.face.sadtalker.networks import MAPPING, Networks
from maestra.adapters.face.streaming import Moment
from maestra.adapters.weights import fill_at_random
from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import FaceError, FaceOutOfMemory, ModelMissing

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
MAIN = "SadTalker_V0.0.2_256.safetensors"
PICTURES = 80


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sadtalker")
    write_weights(folder)
    return folder


@pytest.fixture(scope="module")
def small(weights: Path) -> Networks:
    return networks.load(weights, sizes=TINY)


def speech(pictures: int = PICTURES) -> Floats:
    """Band-limited, with pauses."""
    t = np.arange(pictures * SLICE_SAMPLES) / PLAYOUT_RATE_HZ
    voice = sum(
        np.sin(2 * np.pi * f * t + 3 * np.sin(2 * np.pi * 2.3 * t)) for f in (180, 900, 2700)
    )
    return np.asarray(0.15 * voice * (np.sin(2 * np.pi * 1.5 * t) > -0.6), np.float32)


def moments(sound: Floats, first: int, count: int) -> list[Moment]:
    back, ahead = (round(s * PLAYOUT_RATE_HZ) for s in (LOOK_BACK, LOOK_AHEAD))
    padded = np.pad(sound, (back, ahead + SLICE_SAMPLES))
    length = back + SLICE_SAMPLES + ahead
    return [
        Moment(number=n, sound=padded[n * SLICE_SAMPLES :][:length], speaking=True)
        for n in range(first, first + count)
    ]


def driven(small: Networks, sound: Floats, batches: list[int]) -> tuple[Driver, Floats]:
    row = torch.from_numpy(recipe.uniform("sadtalker", "ref_coeff", (70,), -0.6, 0.6))
    driver = Driver(small, row, torch.zeros(1, 15, 3), seed=3)
    found, number = [], 0
    with torch.inference_mode():
        for batch in batches:
            found.append(driver.drive(moments(sound, number, batch)))
            number += batch
    return driver, np.concatenate(found)


@pytest.fixture(scope="module")
def told(small: Networks) -> tuple[Driver, Floats]:
    """A driver that was told the beginning of ``speech()``, and what it said."""
    return driven(small, speech(), [8] * 5)


def test_what_is_heard_live_is_what_the_whole_sound_holds(told: tuple[Driver, Floats]) -> None:
    sound, driver = speech(), told[0]
    # Three samples for one: the whole sound, low-passed by the same filter.
    low = np.convolve(sound, LOW_PASS, mode="same")[::3]
    whole = mel.mel(low)
    places = mel.windows(40, len(whole))
    for number in range(3, 40):
        theirs = whole[places[number]].T
        assert np.abs(driver.heard(number) - theirs).max() < 1e-3, number


def test_how_many_are_drawn_at_once_makes_no_difference(small: Networks) -> None:
    _, one = driven(small, speech(), [1] * 12)
    _, some = driven(small, speech(), [1, 8, 3])
    assert np.abs(one - some).max() < 1e-4


def test_a_picture_that_is_drawn_again_is_the_same(small: Networks) -> None:
    sound = speech()
    driver, first = driven(small, sound, [8] * 7)
    silence = [
        Moment(number=m.number, sound=np.zeros_like(m.sound), speaking=False)
        for m in moments(sound, 40, 12)
    ]
    with torch.inference_mode():
        idle = np.concatenate([driver.drive([moment]) for moment in silence])
        again = np.concatenate([driver.drive([moment]) for moment in silence])
    assert np.array_equal(idle, again)
    assert np.abs(idle[0] - first[39]).max() <= np.abs(np.diff(first, axis=0)).max()
    assert np.abs(idle[11] - first[51]).max() > 0


def test_the_poses_are_those_of_the_whole_block(
    small: Networks, told: tuple[Driver, Floats]
) -> None:
    driver = told[0]
    heard = np.stack([driver.heard(number) for number in range(audio.BLOCK)])
    noise = np.random.Generator(np.random.PCG64([3, 0])).standard_normal(64).astype(np.float32)
    row = torch.from_numpy(recipe.uniform("sadtalker", "ref_coeff", (70,), -0.6, 0.6))
    with torch.inference_mode():
        whole = small.audio2pose(torch.from_numpy(heard), row[64:], torch.from_numpy(noise), 0)
    live = np.stack([driver.pose_of(number) for number in range(audio.BLOCK)])
    assert np.allclose(whole.numpy(), live, atol=1e-6)


def test_the_mouth_is_the_portraits_own_in_silence_and_the_networks_in_speech(
    small: Networks,
) -> None:
    sound = speech()
    sound[: 10 * SLICE_SAMPLES] = 0
    sound[60 * SLICE_SAMPLES :] = 0
    driver, _ = driven(small, sound, [8] * (PICTURES // 8))
    own = recipe.uniform("sadtalker", "ref_coeff", (70,), -0.6, 0.6)[:64]
    blink = small.audio2exp.of_blink().numpy()

    def apart(number: int) -> float:
        moved = driver.row(number)[:64] - own
        # What is left when the eyelids, which go their own way, are taken out.
        return float(np.abs(moved - blink * (moved @ blink) / (blink @ blink)).max())

    assert max(apart(number) for number in [*range(7), *range(70, PICTURES)]) < 1e-5
    assert min(apart(number) for number in range(25, 50)) > 1e-3


def test_what_cannot_be_heard_is_nothing_to_the_networks(small: Networks) -> None:
    quiet, gap = speech(24), slice(8 * SLICE_SAMPLES, 20 * SLICE_SAMPLES)
    quiet[gap] = 0
    humming = quiet.copy()
    humming[gap] = 4e-4 * np.sin(np.arange(gap.stop - gap.start) * 0.03)
    assert np.array_equal(driven(small, quiet, [8, 8])[1], driven(small, humming, [8, 8])[1])


def drawn(face: SadTalker, count: int) -> list[Picture]:
    return [frame.picture for frame in islice(face.frames(), count)]


def test_the_same_speech_makes_the_same_pictures_and_a_batch_may_be_cleared(weights: Path) -> None:
    def pictures(cut: bool) -> list[bytes]:
        face = tiny_sadtalker(weights)
        face.push(speech(12))
        shown = drawn(face, 2)
        face.clear(1)
        if not cut:
            face.push(speech(12))
        return [picture.tobytes() for picture in shown + drawn(face, 3)]

    found = pictures(cut=True)
    assert pictures(cut=True) == found
    assert pictures(cut=False)[-1] != found[-1]


def test_a_slow_face_that_leaves_pictures_out_goes_on_without_a_seam(weights: Path) -> None:
    face = tiny_sadtalker(weights)
    face.hold(1)
    face.push(speech(30))
    drawn(face, 4)
    for number in (5, 7, 9):
        face.clear(number)
        face.push(speech(30)[number * SLICE_SAMPLES :])
        drawn(face, 1)
        assert isinstance(face._driver._shown[number].apart, float)


def test_only_the_face_of_the_portrait_moves(weights: Path) -> None:
    face = tiny_sadtalker(weights)
    face.push(speech(12))
    first, *_, last = drawn(face, 6)
    moved = last != first
    for scale, changed in ((1, moved[:512]), (2, moved[512 : 768 - 128].reshape(256, 256))):
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert 60 < scale * rows[0] < scale * rows[-1] < 450
        assert 60 < scale * columns[0] < scale * columns[-1] < 450


# --- drawing fast -----------------------------------------------------------------


def renderer(weights: Path, **how: Any) -> Renderer:
    return Renderer(
        networks.load(weights, sizes=TINY).generator,
        torch.from_numpy(recipe.image("sadtalker", "crop", size=TINY.picture)),
        torch.from_numpy(recipe.uniform("sadtalker", "source", (1, 15, 3), -0.5, 0.5)),
        recipe.image8("sadtalker", "square", 48),
        placing.paste_mask(48),
        on=Device(
            device=torch.device("cpu"),
            **{"precision": torch.float32, "sizes": (1, 2, 4, 8), **how},
        ),
    )


def poses(count: int) -> Floats:
    return recipe.uniform("sadtalker", "driving", (count, 15, 3), -0.5, 0.5)


def apart(a: Picture, b: Picture) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_what_is_drawn_lies_in_the_square_as_its_mask_says(weights: Path) -> None:
    with torch.inference_mode():
        made = renderer(weights).draw(poses(2))
        square = yuv420(torch.from_numpy(recipe.image8("sadtalker", "square", 48)[None]))[0].numpy()
    assert made.shape == (2, 72, 48)
    made, square = made[:, :48], square[:48]  # the light alone
    for edge in (np.s_[[0, -1]], np.s_[:, [0, -1]]):
        assert np.abs(made[0][edge].astype(int) - square[edge]).max() <= 2
    assert apart(made[0, 12:36, 12:36], square[12:36, 12:36]) > 5
    assert apart(made[0], made[1]) > 0


def test_compiled_it_sees_few_shapes_and_draws_the_same(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def compiled(function: Callable[..., Any], **options: bool) -> Callable[..., Any]:
        assert options == {"dynamic": False}

        def watched(given: torch.Tensor) -> Any:
            shapes.append(len(given))
            return function(given)

        return watched

    monkeypatch.setattr(torch, "compile", compiled)
    with torch.inference_mode():
        plain = renderer(weights).draw(poses(5))
        fast = renderer(weights, compiled=True)
        fast.warm()
        warmed = set(shapes)
        made = [fast.draw(poses(5)[:count]).copy() for count in (3, 5)]
    assert warmed == {1, 2, 4, 8}
    assert set(shapes) == warmed
    for few in made:
        assert np.abs(few.astype(int) - plain[: len(few)]).max() <= 1


def test_what_is_recorded_draws_the_same(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = fake_graphs(monkeypatch)
    with torch.inference_mode():
        plain = renderer(weights).draw(poses(3))
        fast = renderer(weights, graphs=True)
        fast.warm()
        assert len(graphs) == 4
        replays = graphs[2].replays
        made = fast.draw(poses(3)).copy()
        assert graphs[2].replays == replays + 1
        assert np.abs(made.astype(int) - plain).max() <= 1
        fast.forget()
        assert np.abs(fast.draw(poses(3)).astype(int) - plain).max() <= 1
    assert graphs[2].replays == replays + 1


@pytest.mark.slow
def test_torch_can_follow_what_is_compiled(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it as one graph, which is then run and not compiled."""
    compiling = partial(torch.compile, fullgraph=True, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compiling)
    with torch.inference_mode():
        made = renderer(weights, compiled=True).draw(poses(2))
        assert np.abs(renderer(weights).draw(poses(2)).astype(int) - made).max() <= 1


def test_in_half_precision_it_draws_nearly_the_same(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = functional.avg_pool3d
    # The CPU has none in half precision.
    monkeypatch.setattr(functional, "avg_pool3d", lambda x, size: pool(x.float(), size).to(x.dtype))
    with torch.inference_mode():
        whole = renderer(weights).draw(poses(1))
        half = renderer(weights, precision=torch.bfloat16).draw(poses(1))
    assert 0 < apart(whole, half) < 2


def test_away_from_the_gpu_and_back_it_draws_the_same(weights: Path) -> None:
    face = tiny_sadtalker(weights, unload_after=600.0)
    face.push(speech(12))
    first = drawn(face, 3)
    face.unload()
    assert not face._residence.resident
    face.clear(0)
    face.push(speech(12))
    assert max(map(apart, first, drawn(face, 3))) < 0.1
    assert face._residence.resident


def test_a_full_gpu_is_said_so(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    face = tiny_sadtalker(weights)

    def full(driving: Floats, **how: bool) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(face._renderer, "draw", full)
    with pytest.raises(FaceOutOfMemory, match="no room to draw 1 pictures"):
        drawn(face, 1)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "bound"), [("float32", 0.5), ("float16", 2.0)])
@pytest.mark.parametrize("compiled", [False, True])
def test_on_a_gpu_it_draws_what_it_draws_elsewhere(
    weights: Path, precision: str, bound: float, compiled: bool
) -> None:
    def pictures(**options: Any) -> list[Picture]:
        face = tiny_sadtalker(weights, **options)
        face.push(speech(20))
        return drawn(face, 6)

    here = pictures()
    there = pictures(device="cuda:0", precision=precision, compile=compiled)
    assert max(map(apart, here, there)) < bound


@pytest.mark.gpu
def test_on_a_gpu_it_comes_back_soon(weights: Path) -> None:
    known = networks.build()
    for name in ("audio2exp", "audio2pose", "mapping", "kp_extractor", "generator", "face_3drecon"):
        fill_at_random(getattr(known, name))
    face = SadTalker(
        PERSONA / "portrait.png",
        PERSONA / "mesh.json",
        SadTalkerSettings(device="cuda:0"),
        networks=known,
    )
    before = drawn(face, 1)[0]
    took = []
    for _ in range(3):
        face.unload()
        torch.cuda.synchronize()
        face.clear(0)
        begun = time.monotonic()
        again = drawn(face, 1)[0]
        took.append(time.monotonic() - begun)
        assert apart(before, again) < 0.5
    assert min(took) < 0.1, took


# --- the portrait and the weights -------------------------------------------------


def test_the_portrait_is_aligned_to_the_mean_face() -> None:
    picture = np.zeros((256, 256, 3), np.uint8)
    points = np.array([[90, 100], [166, 100], [128, 150], [98, 185], [158, 185]], np.float64)
    for channel, (x, y) in enumerate(points[:2].astype(int)):
        picture[y - 2 : y + 3, x - 2 : x + 3, channel] = 255
    found = placing.aligned(picture, points)
    assert (224, 224, 3) == found.shape
    left, right = (np.argwhere(found[:, :, c] > 200).mean(axis=0) for c in (0, 1))
    # The mean face's eyes are 0.62 apart, at 102 pixels a unit, about the middle.
    assert abs((right - left)[1] - 63) < 8
    assert abs((right + left)[1] / 2 - 112) < 6


@pytest.mark.parametrize("key", ["audio2exp.mapping1.weight", "generator.decoder.fc.bias"])
def test_weights_that_lack_something_are_refused_by_its_name(
    weights: Path, tmp_path: Path, key: str
) -> None:
    state = load_file(weights / MAIN)
    del state[key]
    save_file(state, tmp_path / MAIN)
    (tmp_path / MAPPING).write_bytes((weights / MAPPING).read_bytes())
    with pytest.raises(ModelMissing, match=key):
        networks.load(tmp_path, sizes=TINY)


def test_the_pose_estimator_comes_from_the_older_split_checkpoint(tmp_path: Path) -> None:
    made = estimator.PoseEstimator(width=4)
    recipe.fill(made, "sadtalker", "he_estimator")
    entries = {"generator": {}, "he_estimator": made.state_dict(), "epoch": 189}
    torch.save(entries, tmp_path / estimator.SPLIT)
    with torch.inference_mode():
        picture = torch.from_numpy(recipe.image("sadtalker", "source_image"))
        found = estimator.load_estimator(tmp_path, width=4)(picture)
        assert torch.equal(made(picture).yaw, found.yaw)
    with pytest.raises(ModelMissing, match=r"conv1\.weight is"):
        estimator.load_estimator(tmp_path, width=8)


def test_what_is_not_there_is_said(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(ModelMissing, match=MAIN):
        networks.load(tmp_path)
    (tmp_path / MAIN).touch()
    with pytest.raises(ModelMissing, match=MAPPING):
        networks.load(tmp_path)
    with pytest.raises(FaceError, match="no device called"):
        SadTalker(Path("x.png"), None, SadTalkerSettings(device="abacus"))
    with pytest.raises(FaceError, match="half precision is for a GPU"):
        SadTalker(Path("x.png"), None, SadTalkerSettings(device="cpu", precision="float16"))
