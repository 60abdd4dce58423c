"""Another distribution, which brings a backend of its own to this process and its children."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["bring"]


def bring(folder: Path, monkeypatch: pytest.MonkeyPatch, *, port: str, source: str) -> None:
    """Install a distribution that has the backend ``failing`` for ``port``.

    :param folder: where it is put; a new one.
    :param source: its module, which has ``build``.
    """
    about = folder / f"failing_{port}-1.dist-info"
    about.mkdir(parents=True)
    (folder / f"failing_{port}.py").write_text(source)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: failing-{port}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[maestra.{port}]\nfailing = failing_{port}:build\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
