"""The composition root: the one place where parts meet, and the only one that names an adapter.

It builds what a configuration asks for, each part in the process where it runs. Heavy imports
happen in the builders, so that the session's own process stays light.
"""

from __future__ import annotations

from maestra.core.persona import Persona

from .brain import brains, forethought
from .chosen import check, key, needs_key, options, served, settings, settings_class
from .face import face_stages, faces, unlearnt_face
from .files import find_files
from .senses import endpointing, floor, hearing, music, recogniser, voice_activity
from .streams import (
    browsers_complaint,
    encoder_complaint,
    ingest,
    microphone_piece,
    peers,
    publish,
    slice_encoder,
    stream_url,
)
from .voice import voices
from .weights import check_weights, fill, stored

__all__ = [
    "brains",
    "browsers_complaint",
    "check",
    "check_weights",
    "encoder_complaint",
    "endpointing",
    "face_stages",
    "faces",
    "fill",
    "find_files",
    "floor",
    "forethought",
    "hearing",
    "ingest",
    "key",
    "microphone_piece",
    "music",
    "needs_key",
    "options",
    "peers",
    "persona",
    "publish",
    "recogniser",
    "served",
    "settings",
    "settings_class",
    "slice_encoder",
    "stored",
    "stream_url",
    "unlearnt_face",
    "voice_activity",
    "voices",
]


def persona(name: str) -> Persona:
    """The persona called ``name``, or the one in the folder of that name.

    :raises MaestraError: there is none.
    """
    from .. import personas

    return personas.load(name)
