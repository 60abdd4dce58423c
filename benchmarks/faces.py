"""How fast a face draws: see ``maestra.app.experiments.faces``, or ``--help``.

python benchmarks/faces.py --model liveportrait --json faces.json
"""

from __future__ import annotations

import sys

from maestra.app.experiments.faces import main

if __name__ == "__main__":
    sys.exit(main())
