"""The lip lag of films whose mouth and sound are known."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes.sounds import line
from numpy.typing import NDArray

from maestra.app import composition, personas
from maestra.app.experiments.bench.measures import loudness
from maestra.app.experiments.bench.recording import mouth_box
from maestra.app.experiments.lipsync.__main__ import main
from maestra.app.experiments.lipsync.syncnet import build
from maestra.ports.errors import ModelMissing

RATE = 48_000
SIDE = 128


def mesh() -> Path:
    found = personas.mesh_path(composition.persona("teacher_mary_v1"))
    assert found is not None
    return found


def sound() -> NDArray[np.float32]:
    spoken = [line(name, RATE) for name in ("barge_000_s2", "chat_011_s2")]
    return np.concatenate([np.zeros(RATE // 4, np.float32), *spoken])


def film(path: Path, heard: NDArray[np.float32], *, late: float) -> Path:
    """A mouth that opens as loudly as ``heard``, whose sound comes ``late`` seconds after it."""
    count = len(heard) * 25 // RATE
    loud = loudness(heard, RATE, (np.arange(count) + 0.5) / 25)
    box = mouth_box(mesh())
    top, left = round(box.top * SIDE), round(box.left * SIDE)
    tall, wide = round(box.bottom * SIDE) - top, round(box.right * SIDE) - left
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25, options={"q:v": "2"})
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number, level in enumerate(loud):
            picture = np.full((SIDE, SIDE, 3), 180, np.uint8)
            shut = round(tall * (1 - min(level / 50, 1)) / 2)
            picture[top + shut : top + tall - shut, left : left + wide] = 40
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        shifted = np.roll(heard, round(late * RATE))
        block = av.AudioFrame.from_ndarray(
            (shifted[None] * 32767).astype(np.int16), format="s16", layout="mono"
        )
        block.sample_rate, block.pts = RATE, 0
        container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path


def measured(folder: Path, video: Path, *more: str) -> Any:
    assert 0 == main([str(video), "--mesh", str(mesh()), "--out", str(folder / "found"), *more])
    assert (folder / "found" / f"{video.stem}.png").stat().st_size > 0
    return json.loads((folder / "found" / f"{video.stem}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("late", [-0.12, 0.08])
def test_the_lag_is_the_one_that_was_made(tmp_path: Path, late: float) -> None:
    found = measured(tmp_path, film(tmp_path / "film.mkv", sound(), late=late))

    assert abs(found["lip_lag"] - late) <= 0.01
    assert all(span["sure"] for span in found["lip_lag_spans"])
    assert "lse_d" not in found  # which is SyncNet's alone
    assert "no weights" in found["syncnet"]


def test_a_mouth_that_does_not_go_with_the_sound_has_no_lag(tmp_path: Path) -> None:
    heard = sound()
    other = film(tmp_path / "film.mkv", heard, late=len(heard) / RATE / 2)
    found = measured(tmp_path, other)

    assert found["lip_lag"] is None
    assert not any(span["sure"] for span in found["lip_lag_spans"])


def test_a_film_that_cannot_be_measured_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a film")
    assert 2 == main([str(tmp_path / "broken.mp4"), "--out", str(tmp_path)])
    faceless = film(tmp_path / "film.mkv", sound(), late=0.0)
    assert 2 == main([str(faceless), "--out", str(tmp_path)])
    weightless = ("--mesh", str(mesh()), "--weights", str(tmp_path), "--out", str(tmp_path))
    assert 2 == main([str(faceless), *weightless])

    broken, faces, weights = capsys.readouterr().err.splitlines()
    assert "broken.mp4" in broken
    assert "no face" in faces
    assert "syncnet_v2.model" in weights or "face" in weights


def test_the_weights_in_the_store_are_those_that_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maestra.app.experiments.lipsync import __main__ as command

    monkeypatch.setenv("MAESTRA_MODELS", str(tmp_path))
    assert command._weights(None) is None
    (tmp_path / "syncnet").mkdir()
    kept, published = (
        tmp_path / "syncnet" / f"syncnet_v2.{end}" for end in ("safetensors", "model")
    )
    with pytest.raises(ModelMissing, match=r"has no syncnet_v2\.safetensors"):
        command._weights(tmp_path / "syncnet")
    published.touch()
    assert published == command._weights(tmp_path / "syncnet")
    kept.touch()
    assert kept == command._weights(None) == command._weights(tmp_path / "syncnet")


@pytest.mark.slow
def test_with_the_published_file_there_are_lse_d_and_lse_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from maestra.app.experiments.lipsync import __main__ as command
    from maestra.app.experiments.lipsync.film import FaceBox

    # As an old torch saved it: without the counters of batches.
    state = {k: v for k, v in build().state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "syncnet_v2.model")
    box = FaceBox(x=SIDE / 2, y=SIDE / 2, half=SIDE / 4)
    monkeypatch.setattr(command, "face_box", lambda film: box)
    short = film(tmp_path / "film.mkv", sound()[: 2 * RATE], late=0.0)
    found = measured(tmp_path, short, "--weights", str(tmp_path))

    assert 50 - 5 - 1 <= found["windows"] <= 50 - 5
    assert found["lse_d"] > 0
    assert -15 <= found["offset_pictures"] <= 15
    assert "syncnet" not in found
