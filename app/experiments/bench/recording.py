"""Reading what a viewer recorded: the sound by its time stamps, the pictures as their mouths."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...demo.latencies import Recording

__all__ = ["Box", "Seen", "load", "mouth_box", "mouth_of"]

_PATCH = (12, 16)
_COARSE = 8


@frozen(kw_only=True)
class Box:
    """A part of a picture, in shares of its height and width."""

    top: float
    bottom: float
    left: float
    right: float


@frozen(kw_only=True, eq=False)
class Seen:
    """The pictures of a recording: ``times`` (s into the recording's sound), ``patches`` (the
    mouth of each, flat), ``changes`` (mean change of brightness from the one before, 0 to 255);
    ``pts`` and ``arrived`` are those of the packets on the wire, ``first_slot`` the stream's own
    number of the first picture."""

    times: NDArray[np.float64]
    patches: NDArray[np.float32]
    changes: NDArray[np.float64]
    pts: tuple[float, ...]
    arrived: tuple[float, ...]
    first_slot: int


def mouth_box(mesh: Path) -> Box:
    """Where the mouth is in a portrait with ``mesh``, with room for what it does."""
    content = json.loads(mesh.read_text(encoding="utf-8"))
    points = np.array(content["outer_upper_lip"] + content["outer_lower_lip"])
    width, height = content["size"]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    tall, wide = bottom - top, right - left
    return Box(
        top=(top - 0.2 * tall) / height,
        bottom=(bottom + 0.6 * tall) / height,
        left=(left - 0.05 * wide) / width,
        right=(right + 0.05 * wide) / width,
    )


def mouth_of(grey: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """The mouth of a grey picture, small and flat."""
    height, width = grey.shape
    part = grey[
        round(box.top * height) : round(box.bottom * height),
        round(box.left * width) : round(box.right * width),
    ].astype(np.float32)
    tall, wide = (
        np.linspace(0, n, m, endpoint=False).astype(int)
        for n, m in zip(part.shape, _PATCH, strict=True)
    )
    cells = np.add.reduceat(np.add.reduceat(part, tall, axis=0), wide, axis=1)
    return np.asarray(cells.ravel() * np.float32(cells.size / part.size), np.float32)


def load(path: Path, log: Path, box: Box) -> tuple[Recording, Seen]:
    """Read the recorder's file ``path`` and its ``log``.

    Sound and pictures are laid where their time stamps say, so that a gap stays a gap.

    :raises ValueError: there is no sound or no picture in it.
    """
    packets = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    sound = [packet for packet in packets if packet["kind"] == "audio"]
    video = [packet for packet in packets if packet["kind"] == "video"]
    samples, rate_hz, origin = _sound(path)
    times, patches, changes = _pictures(path, box)
    if not len(samples) or not len(times) or not sound or not video:
        raise ValueError(f"{path.name} has no sound or no picture")
    recording = Recording(
        samples=samples,
        rate_hz=rate_hz,
        start=sound[0]["pts"],
        pts=[packet["pts"] for packet in sound],
        arrived=[packet["t"] for packet in sound],
    )
    seen = Seen(
        times=times - origin,
        patches=patches,
        changes=changes,
        pts=tuple(sorted(packet["pts"] for packet in video)),
        arrived=tuple(packet["t"] for packet in video),
        first_slot=round(video[0]["pts"] * 25),
    )
    return recording, seen


def _sound(path: Path) -> tuple[NDArray[np.float32], int, float]:
    resampler = av.AudioResampler(format="flt", layout="mono")
    blocks: list[tuple[float, NDArray[np.float32]]] = []
    rate_hz = 48_000
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            rate_hz, time = frame.sample_rate, float(frame.time or 0.0)
            blocks += [(time, out.to_ndarray()[0]) for out in resampler.resample(frame)]
    if not blocks:
        return np.zeros(0, np.float32), rate_hz, 0.0
    origin = blocks[0][0]
    last, block = blocks[-1]
    whole = np.zeros(round((last - origin) * rate_hz) + len(block), np.float32)
    for time, block in blocks:
        start = round((time - origin) * rate_hz)
        whole[start : start + len(block)] = block[: len(whole) - start]
    return whole, rate_hz, origin


def _pictures(
    path: Path, box: Box
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
    times: list[float] = []
    patches: list[NDArray[np.float32]] = []
    changes: list[float] = []
    before: NDArray[np.float32] | None = None
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            grey = np.asarray(frame.reformat(format="gray").to_ndarray(), np.uint8)
            coarse = grey[::_COARSE, ::_COARSE].astype(np.float32)
            times.append(float(frame.time or 0.0))
            patches.append(mouth_of(grey, box))
            changes.append(255.0 if before is None else float(np.mean(np.abs(coarse - before))))
            before = coarse
    return np.array(times), np.array(patches, np.float32), np.array(changes)
