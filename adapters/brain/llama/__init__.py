"""A language model in our own process tree: a GGUF file, run by llama.cpp in a child process."""

from __future__ import annotations

from .brain import LlamaBrain
from .settings import LlamaSettings

__all__ = ["LlamaBrain", "LlamaSettings"]
