"""Turn the personas' drawings into the pictures that are shipped.

``python -m maestra.app.personas.render`` needs ``resvg-py``; nothing else here does. Run it after
changing a ``portrait.svg``, and look at the picture.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

__all__ = ["SIZE", "render"]

SIZE = 512


def render(drawing: Path, picture: Path) -> None:
    """Draw the SVG at ``drawing`` as a PNG of ``SIZE`` × ``SIZE`` pixels.

    :raises ImportError: ``resvg-py`` is not installed.
    """
    resvg: Any = importlib.import_module("resvg_py")
    png = resvg.svg_to_bytes(
        svg_string=drawing.read_text(encoding="utf-8"), width=SIZE, height=SIZE
    )
    picture.write_bytes(bytes(png))


def main() -> None:
    """Draw every persona beside its drawing."""
    for drawing in sorted(Path(__file__).parent.glob("*/portrait.svg")):
        render(drawing, drawing.with_suffix(".png"))
        print(f"{drawing.parent.name}: {drawing.with_suffix('.png').stat().st_size} bytes")


if __name__ == "__main__":
    main()
