"""``python -m maestra.app.cli`` is the ``maestra`` command."""

from __future__ import annotations

from . import main

if __name__ == "__main__":
    raise SystemExit(main())
