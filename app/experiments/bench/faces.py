"""The face: how fast it draws, and what it would have shown of a sound had no stream been between.

A face may open its mouth a little before or after the sound, by design. So the same sound is drawn
directly, and the lag found there is taken off the lag found in the recording: what is left is what
the pipeline added.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import anyio
import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from maestra.core.persona import Persona
from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.face import Face
from maestra.ports.voice import AlignedSound

from ... import composition, personas
from ...colour import rgb
from ...config import Config
from ...demo.latencies import Recording, audible_spans
from .measures import loudness, motif, mouth_lag
from .recording import Box, Seen, mouth_box, mouth_of

__all__ = ["Offset", "build_face", "mouth_region", "offsets", "render_rtf", "render_rtf_alone"]

_LONGEST = 10.0
_SHORTEST = 1.2
_RUN_UP = 1.0
_FRESH = 0.6
"""Share of a reply's pictures that must be new ones: lips that stand still cannot be read."""

_ALIKE = 0.5
"""Correlation of mouth and loudness below which their lag says nothing."""

_SENTENCE = "Set a metronome to eighty four, play it through twice, and listen to every beat."


@frozen(kw_only=True)
class Offset:
    """A reply's sound minus picture (s) at ``at`` (s into the recording), and how surely it was
    read: the ``likeness`` of mouth and loudness, and the share of pictures that were ``fresh``."""

    at: float
    seconds: float
    likeness: float
    fresh: float

    @property
    def is_sure(self) -> bool:
        """Whether the lips could be read: they moved, and with the sound."""
        return self.fresh >= _FRESH and self.likeness >= _ALIKE


def _persona(config: Config) -> Persona:
    return composition.persona(config.persona)


def build_face(config: Config) -> Face:
    """The configured face."""
    return composition.faces(config, _persona(config))[0][1]()


def mouth_region(config: Config) -> Box:
    """Where the configured persona's mouth is.

    :raises ValueError: its portrait has no mesh.
    """
    mesh = personas.mesh_path(_persona(config))
    if mesh is None:
        raise ValueError("the persona has no mesh")
    return mouth_box(mesh)


def offsets(recording: Recording, seen: Seen, config: Config) -> list[Offset]:
    """The offset of every reply that is long enough to be read.

    :raises ValueError: the recording is not at the rate that faces work with.
    """
    if recording.rate_hz != PLAYOUT_RATE_HZ:
        raise ValueError(f"the recorded sound has {recording.rate_hz} Hz")
    box = mouth_region(config)
    found = []
    for start, end in audible_spans(recording.samples, recording.rate_hz):
        if end - start < _SHORTEST:
            continue
        end = min(end, start + _LONGEST)
        inside = np.flatnonzero((seen.times >= start - _RUN_UP) & (seen.times <= end))
        kept = seen.times[inside] >= start - 0.2
        if np.count_nonzero(kept) < FRAME_RATE:
            continue
        drawn = _drawn(recording.samples, seen.times[inside], seen.first_slot, box, config)[kept]
        times, patches = seen.times[inside][kept], seen.patches[inside][kept]
        loud = loudness(recording.samples, recording.rate_hz, times + 0.5 / FRAME_RATE)
        opening = motif(drawn, loud)
        there = mouth_lag(patches, opening, times, recording.samples, recording.rate_hz)
        here = mouth_lag(drawn, opening, times, recording.samples, recording.rate_hz)
        found.append(
            Offset(
                at=start,
                seconds=there.seconds - here.seconds,
                likeness=there.likeness,
                fresh=float(np.mean(seen.changes[inside][kept] > 0.0)),
            )
        )
    return found


def _drawn(
    samples: NDArray[np.float32],
    times: NDArray[np.float64],
    first_slot: int,
    box: Box,
    config: Config,
) -> NDArray[np.float32]:
    """The mouths that a fresh face draws for the sound about each of ``times``."""
    face = build_face(config)
    frames = face.frames()
    patches = []
    for at in times:
        face.clear(first_slot + round(float(at) * FRAME_RATE))
        face.push(_from(samples, float(at), face.look_ahead))
        picture = rgb(next(frames).picture)
        grey = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="gray")
        patches.append(mouth_of(np.asarray(grey.to_ndarray(), np.uint8), box))
    return np.array(patches, np.float32)


def _from(samples: NDArray[np.float32], at: float, look_ahead: float) -> NDArray[np.float32]:
    """The sound of the picture at ``at`` and what a face wants to know of what follows."""
    begin = round(at * PLAYOUT_RATE_HZ)
    end = begin + SLICE_SAMPLES + round(look_ahead * PLAYOUT_RATE_HZ)
    found = samples[max(begin, 0) : max(end, 0)]
    return np.pad(found, (max(-begin, 0), end - max(begin, 0) - len(found)))


# --- speed --------------------------------------------------------------------


def render_rtf(times: int) -> list[float]:
    """Wall time to draw a spoken sentence ÷ its duration, ``times`` times over.

    Measured in a process of its own that is pinned to one core.
    """
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(times)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return [float(line) for line in done.stdout.split()]


def render_rtf_alone(times: int) -> Sequence[float]:
    """Likewise, in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import cv2

    cv2.setNumThreads(1)
    config = Config()
    sound = anyio.run(_sentence, config)
    face = build_face(config)
    slices = len(sound) // SLICE_SAMPLES
    frames, taken = face.frames(), []
    for _ in range(times + 1):
        begun = time.perf_counter()
        face.push(sound[: slices * SLICE_SAMPLES], last=True)
        for _number in range(slices):
            next(frames)
        taken.append((time.perf_counter() - begun) / (slices / FRAME_RATE))
    return taken[1:]  # the first one warms the caches


async def _sentence(config: Config) -> NDArray[np.float32]:
    import soxr

    voice = composition.voices(config, _persona(config))[0][1]()
    parts = [
        part.samples if isinstance(part, AlignedSound) else part
        async for part in voice.synthesise(_SENTENCE)
    ]
    whole = np.concatenate(parts)
    return np.asarray(soxr.resample(whole, voice.sample_rate_hz, PLAYOUT_RATE_HZ), np.float32)


if __name__ == "__main__":
    for rtf in render_rtf_alone(int(sys.argv[1])):
        print(rtf)
