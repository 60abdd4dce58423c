"""What a library does besides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("faster_whisper")

_LOAD = """
from maestra.adapters.senses.silero import SileroVad
from maestra.app import models
SileroVad(models.locate("silero"))
"""


def test_onnx_runtime_keeps_no_identifier_and_tells_nobody(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _LOAD], env={**kept, **home}, check=True)

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
