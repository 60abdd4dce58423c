"""Sound and pictures as they cross the ports.

Sound is mono float32 in [-1, 1]. The ear works at ``EAR_RATE_HZ`` (44.1 kHz, what the music models
were made for; speech models resample); the teacher's sound is played out at ``PLAYOUT_RATE_HZ``.
Pictures are ``(height, width, 3)`` uint8 RGB, ``FRAME_RATE`` a second; one picture belongs to
``SLICE_SAMPLES`` samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Picture = NDArray[np.uint8]

__all__ = [
    "EAR_RATE_HZ",
    "FRAME_RATE",
    "PLAYOUT_RATE_HZ",
    "SLICE_SAMPLES",
    "SPEECH_RATE_HZ",
    "AudioChunk",
]

EAR_RATE_HZ = 44_100
SPEECH_RATE_HZ = 16_000
PLAYOUT_RATE_HZ = 48_000
FRAME_RATE = 25
SLICE_SAMPLES = PLAYOUT_RATE_HZ // FRAME_RATE


@frozen(kw_only=True, eq=False)
class AudioChunk:
    """``samples`` at ``rate_hz``; the first is number ``start`` since the session began."""

    start: int
    rate_hz: int
    samples: Samples

    @property
    def end(self) -> int:
        return self.start + len(self.samples)
