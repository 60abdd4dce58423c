"""Reading, writing and levelling sound. Mono float32 at ``RATE_HZ`` throughout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["RATE_HZ", "Sound", "active", "level_db", "read", "resampled", "write"]

RATE_HZ = 44_100

Sound = NDArray[np.float32]

_BLOCK = 441


def read(path: Path) -> Sound:
    """The sound of a file, its channels averaged."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(str(path)) as container:
        parts = [
            out.to_ndarray()[0]
            for frame in [*container.decode(audio=0), None]
            for out in resampler.resample(frame)
        ]
    return np.concatenate(parts).astype(np.float32)


def write(path: Path, blocks: Iterable[Sound]) -> None:
    """Write ``blocks`` one after the other as FLAC."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=RATE_HZ, layout="mono", format="s16")
        stream.options = {"compression_level": "2"}
        position = 0
        for block in blocks:
            whole = np.round(np.clip(block, -1.0, 1.0) * 32767).astype(np.int16)
            for start in range(0, len(whole), 4096):
                part = whole[start : start + 4096]
                frame = av.AudioFrame.from_ndarray(part[np.newaxis], format="s16", layout="mono")
                frame.sample_rate = RATE_HZ
                frame.pts = position
                position += len(part)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def resampled(sound: Sound, rate_hz: int) -> Sound:
    """``sound`` at ``rate_hz``, brought to ``RATE_HZ``."""
    import soxr

    result: Sound = np.asarray(soxr.resample(sound, rate_hz, RATE_HZ), np.float32)
    return result


def active(sound: Sound, below_db: float = 35.0) -> tuple[float, float]:
    """The seconds at which ``sound`` begins and ends: within ``below_db`` of its loudest 10 ms."""
    power = _power(sound)
    if not len(power) or not power.max():
        return 0.0, 0.0
    loud = np.flatnonzero(power > power.max() * 10 ** (-below_db / 10))
    return float(loud[0] * _BLOCK / RATE_HZ), float((loud[-1] + 1) * _BLOCK / RATE_HZ)


def level_db(sound: Sound) -> float:
    """RMS (dBFS) of what sounds."""
    power = _power(sound)
    loud = power[power > power.max(initial=0.0) * 1e-3]
    return float(10 * np.log10(np.mean(loud))) if len(loud) else -120.0


def _power(sound: Sound) -> NDArray[np.float64]:
    count = len(sound) // _BLOCK
    blocks = sound[: count * _BLOCK].reshape(count, _BLOCK).astype(np.float64)
    power: NDArray[np.float64] = np.mean(blocks**2, axis=1)
    return power
