"""Sheets: transparent pictures that are moved and laid over one another.

A sheet is RGBA, uint8, premultiplied by its transparency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

__all__ = ["laid_over", "moved", "sheet", "smooth"]


def smooth(x: Any, low: float, high: float) -> Any:
    """0 at ``low``, 1 at ``high``, with no corners between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def sheet(colour: Any, alpha: Any) -> Bytes:
    """A sheet of ``colour`` (h, w, 3), 0 … 255, as opaque as ``alpha`` (h, w), 0 … 1."""
    alpha = np.clip(alpha, 0.0, 1.0)
    rgba = np.dstack([colour * alpha[..., None], 255 * alpha])
    result: Bytes = np.clip(rgba + 0.5, 0, 255).astype(np.uint8)
    return result


def moved(texture: Bytes, at: NDArray[np.float32]) -> Bytes:
    """The texture at the points ``at`` (h, w, 2), in its pixels; beyond its edge, its edge."""
    found = cv2.remap(texture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    result: Bytes = found.astype(np.uint8, copy=False)
    return result


def laid_over(below: Bytes, above: Bytes) -> Bytes:
    """The sheet ``above`` laid over the picture ``below`` (h, w, 3)."""
    clear = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(above, 3)), cv2.COLOR_GRAY2RGB)
    through = cv2.multiply(below, clear, scale=1 / 255)
    result: Bytes = cv2.add(through, cv2.cvtColor(above, cv2.COLOR_RGBA2RGB)).astype(
        np.uint8, copy=False
    )
    return result
