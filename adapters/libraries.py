"""What has to be done before some libraries can be imported."""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["spare_torchaudio"]


def spare_torchaudio() -> None:
    """Have transformers and diffusers believe that there is no torchaudio, if it cannot be loaded.

    They import it wherever it is installed, though nothing here needs it. It comes along with
    torchcrepe, built for CUDA, and does not load beside a PyTorch that was built for the CPU.
    """
    if "torchaudio" in sys.modules:
        return
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError):
        loaded: dict[str, Any] = sys.modules
        for name in [name for name in loaded if name.startswith("torchaudio.")]:
            del loaded[name]
        loaded["torchaudio"] = None  # to the import system this says: not found
