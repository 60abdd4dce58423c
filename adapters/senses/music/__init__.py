"""Notes, onsets, beats and level from sound. See ``analyser``."""

from __future__ import annotations

from .analyser import CrepeMadmomAnalyser
from .madmom_models import MusicModels

__all__ = ["CrepeMadmomAnalyser", "MusicModels"]
