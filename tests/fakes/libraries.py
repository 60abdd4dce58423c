"""Libraries that a test cannot do without."""

from __future__ import annotations

import pytest

from maestra.adapters.libraries import spare_torchaudio

__all__ = ["need"]


def need(*names: str) -> None:
    """Skip what follows, unless the libraries ``names`` are installed. They look for torchaudio
    when they are first imported, and are to find what our own code lets them find."""
    spare_torchaudio()
    for name in names:
        pytest.importorskip(name)
