"""What the voice StyleTTS2 can be told."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

__all__ = ["StyleTTS2Settings"]


@frozen(kw_only=True)
class StyleTTS2Settings:
    """What can be chosen of StyleTTS2."""

    weights: str = field(
        default="",
        metadata={"doc": "The folder with the weights; empty, where maestra models keeps them."},
    )
    reference: str | None = field(
        default=None,
        metadata={
            "doc": "A WAV of 2 to 10 seconds of the voice to speak with, whose owner agrees;"
            " absent, the persona's."
        },
    )
    device: str = field(
        default="auto",
        metadata={"doc": "Where it runs, such as cuda:0 or cpu; auto: on a GPU if there is one."},
    )
    steps: int = field(
        default=5,
        metadata={"doc": "Steps in which a style is sampled.", "minimum": 2, "maximum": 50},
    )
    alpha: float = field(
        default=0.3,
        metadata={
            "doc": "How much of the timbre is sampled from the text rather than the reference's.",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    beta: float = field(
        default=0.7,
        metadata={"doc": "Likewise of the prosody.", "minimum": 0.0, "maximum": 1.0},
    )
    carry: float = field(
        default=0.7,
        metadata={
            "doc": "How much of the style of the piece before goes on.",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    emphasis: float = field(
        default=1.0,
        metadata={
            "doc": "How strongly the text forms the style; above 1 it is acted.",
            "minimum": 0.0,
            "maximum": 5.0,
        },
    )
    seed: int = field(default=0, metadata={"doc": "The same seed speaks the same way."})
    precision: Literal["float32", "float16", "bfloat16"] = field(
        default="float32", metadata={"doc": "Of the decoder, on a GPU."}
    )
