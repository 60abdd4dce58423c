"""The exact pitch of a note that is roughly known; and how much of a sound one pitch explains.

Conventions
-----------
Pitches are in MIDI numbers (fractions of a semitone), A4 = 440 Hz = 69; sound is 44.1 kHz.

CREPE is right about the semitone and wrong by several cents. A partial's frequency is exact in the
speed at which its phase turns: each of the first harmonics is shifted down to 0 Hz by the rough
pitch, smoothed over a window, and the phase is followed from one window to the next.

Source: the phase vocoder's instantaneous frequency, Flanagan and Golden, "Phase Vocoder", 1966.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats
from .spectra import RATE_HZ

__all__ = [
    "LASTING_LAG",
    "PHASE_REACH",
    "harmonic_share",
    "lasting",
    "octave_below_sounds",
    "phase_jump",
    "refine",
    "to_hz",
    "to_midi",
]

_HARMONICS = 4
_STEP = 221
"""Samples (5 ms) between two looks at the phase: a turn is unambiguous up to ± 100 Hz."""
_PERIODS = 6
"""A window holds this many periods, so that the next harmonic is outside its main lobe."""
_SHORTEST = 1024
_LONGEST = 4096
_BIN_HZ = RATE_HZ / 4096
_BAND_HZ = (60.0, 5000.0)
LASTING_LAG = 5
"""Pitch frames (0.1 s) after which :func:`lasting` looks again: no sample is in both frames."""


def to_hz(midi: float) -> float:
    return float(440 * 2 ** ((midi - 69) / 12))


def to_midi(hz: float) -> float:
    return float(69 + 12 * np.log2(hz / 440))


def refine(samples: Floats, midi: float) -> Floats:
    """The pitch along a stretch of sound whose pitch is within half a semitone of ``midi``.

    :returns: (steps of 5 ms,) MIDI; empty if the stretch is too short.
    """
    hz = to_hz(midi)
    size = int(np.clip(_PERIODS * RATE_HZ / hz, _SHORTEST, _LONGEST))
    if len(samples) < size + 2 * _STEP:
        size = len(samples) - 2 * _STEP
    if size < 3 * RATE_HZ / hz:
        return np.zeros(0, dtype=np.float32)
    count = sum(h * hz < 0.45 * RATE_HZ for h in range(1, _HARMONICS + 1))
    harmonics = np.arange(1, count + 1)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::_STEP]
    turning = np.exp(-2j * np.pi * hz / RATE_HZ * np.outer(np.arange(size), harmonics))
    kernel = np.hanning(size)[:, None] * turning
    partials = frames @ kernel.astype(np.complex64)  # (steps, harmonics)
    turned = np.angle(partials[1:] * partials[:-1].conj())
    expected = 2 * np.pi * hz * harmonics * _STEP / RATE_HZ
    difference = np.angle(np.exp(1j * (turned - expected)))
    offsets = difference * RATE_HZ / (2 * np.pi * _STEP) / harmonics  # Hz at the fundamental
    energy = np.abs(partials[1:] * partials[:-1])
    # a harmonic's frequency tells the fundamental's h times as exactly as its own; those that are
    # weak, or not where they should be (a piano's are sharp, a neighbour's note is elsewhere), are
    # not asked
    strong = energy > 0.01 * energy.max(axis=1, keepdims=True)
    near = np.abs(offsets) < 0.03 * hz
    weights = np.where(strong & near, np.sqrt(energy) * harmonics, 0)
    total = weights.sum(axis=1)
    heard = total > 0
    mean = (weights * offsets).sum(axis=1)[heard] / total[heard]
    result: Floats = (69 + 12 * np.log2((hz + mean) / 440)).astype(np.float32)
    return result


PHASE_REACH = (4410, 6174)
"""Samples before and after an instant that :func:`phase_jump` looks at."""
_JUMP_STEP = 110
_JUMP_PERIODS = 4
_JUMP_PARTIALS = np.array([1, 2, 3])
_JUMP_BEFORE = (-0.045, 0.005)
_JUMP_AFTER = (0.02, 0.075)
"""Where (s) the windows lie whose phases are compared, to their edges that are nearer."""


def phase_jump(samples: Floats, midi: float) -> tuple[float, float] | None:
    """Whether the partials of ``midi`` go on over an instant, or begin anew.

    A tone that sounds on keeps its phase whatever clicks or swells beside it; a string that the bow
    takes up again, or a column of air that the tongue lets go again, begins with another.

    :param samples: ``PHASE_REACH`` around the instant.
    :returns: the mean of 1 - cos of the jumps of the first partials, weighed by their amplitudes (0
        none, 1 as by chance), and by how much the pitch differs between before and after (cents):
        a jump is to be trusted only if that is little. ``None`` if there is too little sound.
    """
    hz = to_hz(midi)
    size = int(np.clip(_JUMP_PERIODS * RATE_HZ / hz, 700, 2048))
    if len(samples) < sum(PHASE_REACH):
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::_JUMP_STEP]
    first = np.arange(len(frames)) * _JUMP_STEP
    turning = np.exp(-2j * np.pi * hz / RATE_HZ * np.outer(np.arange(size), _JUMP_PARTIALS))
    partials = frames @ (np.hanning(size)[:, None] * turning).astype(np.complex64)
    partials *= np.exp(-2j * np.pi * hz / RATE_HZ * np.outer(first, _JUMP_PARTIALS))
    half = size / 2 / RATE_HZ
    at = (first - PHASE_REACH[0]) / RATE_HZ + half
    before = (at > _JUMP_BEFORE[0] - half) & (at < _JUMP_BEFORE[1] - half)
    after = (at > _JUMP_AFTER[0] + half) & (at < _JUMP_AFTER[1] + half)
    if before.sum() < 4 or after.sum() < 4:
        return None
    phases = [np.unwrap(np.angle(partials[part]), axis=0) for part in (before, after)]
    (slope_before, _), (slope_after, _) = (
        np.polyfit(at[part], phase, 1) for part, phase in zip((before, after), phases, strict=True)
    )
    # the mean of both slopes errs half as much as either where the pitch glides
    slope = (slope_before + slope_after) / 2
    jump = phases[1].mean(axis=0) - phases[0].mean(axis=0)
    jump -= slope * (at[after].mean() - at[before].mean())
    weight = np.sqrt(np.square(np.abs(partials[before | after])).mean(axis=0)) + 1e-12
    strongest = int(weight.argmax())
    bend = abs(slope_after - slope_before)[strongest] / (2 * np.pi * hz * (strongest + 1))
    return (
        float((weight * (1 - np.cos(jump))).sum() / weight.sum()),
        float(1200 * np.log2(1 + bend)),
    )


def harmonic_share(spectra: Floats, midi: Floats) -> Floats:
    """How much of each spectrum's energy lies at the harmonics of ``midi``: 1 all, 0 as by chance.

    :param spectra: (frames, 2048) magnitudes of frames of 4096 samples.
    :param midi: (frames,)
    """
    frequency = np.arange(spectra.shape[1]) * _BIN_HZ
    inside = (frequency > _BAND_HZ[0]) & (frequency < _BAND_HZ[1])
    frequency = frequency[inside]
    energy = np.square(spectra[:, inside])
    fundamental = (440 * 2 ** ((midi - 69) / 12))[:, None]
    nearest = np.maximum(np.round(frequency / fundamental), 1) * fundamental
    at_harmonic: NDArray[np.bool_] = np.abs(frequency - nearest) < np.maximum(
        2.2 * _BIN_HZ, 0.012 * nearest
    )
    chance = np.minimum(at_harmonic.mean(axis=1), 0.9)
    share = (energy * at_harmonic).sum(axis=1) / (energy.sum(axis=1) + 1e-12)
    result: Floats = ((share - chance) / (1 - chance)).astype(np.float32)
    return result


def octave_below_sounds(samples: Floats, midi: float) -> bool:
    """Whether ``midi`` is the second partial of the note that really sounds, an octave lower.

    CREPE makes this mistake where the second partial is much the strongest.
    """
    size = min(len(samples), 8192)
    hz = to_hz(midi)
    if size < 8 * RATE_HZ / hz:
        return False
    middle = (len(samples) - size) // 2
    spectrum = np.abs(np.fft.rfft(samples[middle : middle + size] * np.hanning(size)))
    bin_hz = RATE_HZ / size

    def level(multiple: float) -> float:
        at = multiple * hz / bin_hz
        reach = max(2.0, 0.01 * at)
        return float(spectrum[max(int(at - reach), 0) : int(at + reach) + 1].max(initial=0))

    own = max(level(1), level(2), level(3))
    return level(0.5) > 0.16 * own and level(1.5) > 0.05 * own


def lasting(spectra: Floats) -> Floats:
    """How like each spectrum is to the one ``LASTING_LAG`` frames before it: 1 the same partials.

    Notes and chords stay where they are; noise is as like as chance has it (0.5), a speaking voice
    glides away.

    :param spectra: (``LASTING_LAG`` + frames, 2048) magnitudes of frames of 4096 samples.
    """
    frequency = np.arange(spectra.shape[1]) * _BIN_HZ
    inside = (frequency > _BAND_HZ[0]) & (frequency < _BAND_HZ[1])
    energy = np.square(spectra[:, inside], dtype=np.float64)
    now, before = energy[LASTING_LAG:], energy[:-LASTING_LAG]
    norm = np.sqrt(np.square(now).sum(axis=1) * np.square(before).sum(axis=1)) + 1e-20
    result: Floats = ((now * before).sum(axis=1) / norm).astype(np.float32)
    return result
