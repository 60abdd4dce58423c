"""What can be set of the Gemini Live brain."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

__all__ = ["KEY_VARIABLE", "GeminiLiveSettings"]

KEY_VARIABLE = "GEMINI_API_KEY"
"""The environment variable that the key comes from."""


def _about(
    doc: str, *, unit: str = "", minimum: float | None = None, maximum: float | None = None
) -> dict[str, Any]:
    return {"doc": doc, "unit": unit, "minimum": minimum, "maximum": maximum}


@frozen(kw_only=True)
class GeminiLiveSettings:
    """What can be chosen of Gemini Live."""

    model: str = field(
        default="gemini-2.5-flash-native-audio-latest",
        metadata=_about(
            "A Live model with native audio; the default follows the newest one of"
            " Gemini 2.5 Flash."
        ),
    )
    voice: str | None = field(
        default=None,
        metadata=_about(
            "A prebuilt voice, such as Kore; absent, the persona's, else the model's own."
        ),
    )
    base_url: str | None = field(
        default=None,
        metadata=_about(
            "Where the service is, if not at Google: https://…; it is always encrypted."
        )
        | {"schemes": ("https",)},
    )
    api_version: str = field(
        default="v1beta", metadata=_about("The version of the service's interface.")
    )
    hears_seconds: float = field(
        default=15.0,
        metadata=_about(
            "How much of the student's sound goes along with a question.",
            unit="s",
            minimum=0,
            maximum=60,
        ),
    )
    thinking_budget: int = field(
        default=0,
        metadata=_about(
            "Tokens it may think with before it speaks: 0 for none, -1 leaves it to the model.",
            minimum=-1,
            maximum=24576,
        ),
    )
    compress_from: int = field(
        default=24_000,
        metadata=_about(
            "From how many tokens on the oldest of what was said and heard is dropped.",
            unit="tokens",
            minimum=5000,
            maximum=128000,
        ),
    )
    connect_timeout: float = field(
        default=8.0,
        metadata=_about("How long a handshake may take.", unit="s", minimum=0.1, maximum=60),
    )
    patience: float = field(
        default=1.0,
        metadata=_about(
            "How long a question waits for a connection that is not there.",
            unit="s",
            minimum=0,
            maximum=10,
        ),
    )
    first_timeout: float = field(
        default=6.0,
        metadata=_about(
            "How long the first sound of an answer may take.", unit="s", minimum=0.1, maximum=60
        ),
    )
    stall_timeout: float = field(
        default=4.0,
        metadata=_about("How long the next may take.", unit="s", minimum=0.1, maximum=60),
    )
    retries: int = field(
        default=1,
        metadata=_about(
            "How often an answer is asked for again after its connection was lost.",
            minimum=0,
            maximum=5,
        ),
    )
    backoff: float = field(
        default=0.5,
        metadata=_about(
            "The pause after the second failed handshake; it doubles with each.",
            unit="s",
            minimum=0.01,
            maximum=60,
        ),
    )
    longest_backoff: float = field(
        default=30.0,
        metadata=_about("Where the doubling ends.", unit="s", minimum=0.01, maximum=600),
    )
    leave_before: float = field(
        default=5.0,
        metadata=_about(
            "How long before the server hangs up the connection is changed, even in mid-answer.",
            unit="s",
            minimum=0,
            maximum=60,
        ),
    )
    settle: float = field(
        default=0.7,
        metadata=_about(
            "How long the end of an answer that was given up is waited for before what"
            " comes is taken for the next one's.",
            unit="s",
            minimum=0.01,
            maximum=5,
        ),
    )
