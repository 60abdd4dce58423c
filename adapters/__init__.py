"""Who does it: one folder for each port, one file or folder for each backend."""

from __future__ import annotations

import os

# Since 1.29 ONNX Runtime tells its makers about each process that uses it, and leaves an identifier
# on the disk, unless this is set before it is loaded; a backend of ours or a library below one may
# load it. What is said to stay on the machine stays there.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
