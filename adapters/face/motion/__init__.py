"""How a face moves, whoever draws it: the mouth from the sound, the rest from a life of its own."""

from __future__ import annotations

from .articulation import LOOK_AHEAD, LOOK_BACK, Articulation, articulate
from .idle import Idle, Rest
from .loudness import REACH, audible, only_audible
from .performer import REMEMBERED, Performer, Pose

__all__ = [
    "LOOK_AHEAD",
    "LOOK_BACK",
    "REACH",
    "REMEMBERED",
    "Articulation",
    "Idle",
    "Performer",
    "Pose",
    "Rest",
    "articulate",
    "audible",
    "only_audible",
]
