"""The settings of the OpenAI brain."""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["OpenAISettings"]


@frozen(kw_only=True)
class OpenAISettings:
    """Which model to ask, where, and how patiently."""

    model: str = field(
        default="gpt-4o-mini",
        metadata={"doc": "The model's name, as the server calls it."},
    )
    base_url: str = field(
        default="",
        metadata={
            "doc": "The server's address up to `/v1`, for a server other than OpenAI's. Then no key"
            " is needed; one that is set is sent.",
            "schemes": ("http", "https"),
        },
    )
    temperature: float = field(
        default=0.4,
        metadata={"doc": "How freely it writes.", "minimum": 0, "maximum": 2},
    )
    max_tokens: int = field(
        default=160,
        metadata={
            "doc": "Where an answer is cut. Three short sentences take about 80 tokens.",
            "minimum": 16,
            "maximum": 4096,
        },
    )
    patience: float = field(
        default=1.4,
        metadata={
            "doc": "Within this the answer must begin, retries included. A server of your own that"
            " is slower also needs a longer `brain.timeout`.",
            "unit": "s",
            "minimum": 0.1,
            "maximum": 60,
        },
    )
    stall: float = field(
        default=1.4,
        metadata={
            "doc": "An answer that stands still for this long has failed.",
            "unit": "s",
            "minimum": 0.1,
            "maximum": 60,
        },
    )
    retries: int = field(
        default=2,
        metadata={
            "doc": "How often it is asked again after an error that may pass, while `patience`"
            " allows.",
            "minimum": 0,
            "maximum": 10,
        },
    )
    prefill: bool = field(
        default=False,
        metadata={
            "doc": "Have the server read the facts before anybody asks, so that its prompt cache"
            " holds them: for a server of your own. In the cloud every reading is charged, and the"
            " facts leave the machine unasked."
        },
    )
