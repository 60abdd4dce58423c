"""What the recognisers can be told. Nothing heavy is imported here: the command line asks."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

__all__ = ["DeepgramSettings", "WhisperSettings"]


@frozen(kw_only=True)
class WhisperSettings:
    """How Whisper runs. Which of its models, ``senses.asr_model`` says."""

    device: Literal["cpu", "cuda"] = field(default="cpu", metadata={"doc": "Where it runs."})
    compute_type: str | None = field(
        default=None,
        metadata={"doc": "CTranslate2's type; absent, int8 on the CPU and float16 on CUDA."},
    )
    threads: int = field(
        default=1,
        metadata={"doc": "How many cores it may use on the CPU.", "minimum": 1, "maximum": 64},
    )
    beam_size: int = field(
        default=4, metadata={"doc": "How many hypotheses it follows.", "minimum": 1, "maximum": 10}
    )
    hotwords: bool = field(
        default=False,
        metadata={
            "doc": "Prompt it with the wake phrases and the terms. The larger models bear it;"
            " tiny.en then drops words."
        },
    )
    terms: tuple[str, ...] = field(
        default=("tempo", "crescendo", "legato", "staccato", "intonation", "metronome"),
        metadata={"doc": "Words of music that a hypothesis is preferred for, if nearly as likely."},
    )


@frozen(kw_only=True)
class DeepgramSettings:
    """What can be chosen of Deepgram."""

    model: str = field(default="nova-2", metadata={"doc": "The model's name."})
    language: str = field(default="en", metadata={"doc": "The language that is spoken."})
    endpointing: int = field(
        default=100,
        metadata={
            "doc": "Silence after which the service says that an utterance may be over.",
            "unit": "ms",
            "minimum": 10,
            "maximum": 5000,
        },
    )
    terms: tuple[str, ...] = field(
        default=("tempo", "crescendo", "legato", "staccato", "intonation", "metronome"),
        metadata={"doc": "Words to listen for, besides those of the wake phrases."},
    )
    keep_out_of_training: bool = field(
        default=True,
        metadata={"doc": "Ask Deepgram not to use the sound to better its models."},
    )
    base_url: str | None = field(
        default=None,
        metadata={
            "doc": "Another address of the service, or one of one's own: wss://host.",
            "schemes": ("wss", "ws"),
        },
    )
    timeout: float = field(
        default=1.0,
        metadata={
            "doc": "How long the last words may take after an utterance.",
            "unit": "s",
            "minimum": 0.1,
            "maximum": 10.0,
        },
    )
