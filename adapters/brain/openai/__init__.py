"""A brain behind OpenAI's chat completions: in the cloud, or any server that speaks the same."""

from __future__ import annotations

from .brain import OpenAIBrain
from .settings import OpenAISettings

__all__ = ["OpenAIBrain", "OpenAISettings"]
