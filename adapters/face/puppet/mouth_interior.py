"""What is seen between parted lips: teeth, tongue and dark, drawn to the measure of a mouth.

Textures are sheets on the mouth's own grid: ``u`` across and ``v`` down from the
middle of the line between the corners, in pixels of the picture, one value for each texture pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from attrs import frozen

from .sheets import laid_over, moved, sheet, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..motion import Pose

__all__ = ["Interior", "draw_interior"]

# Widths of the teeth from the middle outwards, as shares of the half width of the mouth.
_UPPER_TEETH = (0.225, 0.175, 0.185, 0.15, 0.13, 0.10)
_LOWER_TEETH = (0.150, 0.150, 0.155, 0.14, 0.12, 0.10)

_IVORY = np.array([252.0, 245.0, 233.0])
_GUM = np.array([178.0, 92.0, 88.0])
_TONGUE = np.array([186.0, 92.0, 90.0])
_DARK = np.array([72.0, 24.0, 22.0])


@frozen(eq=False)
class Interior:
    """The layers of a mouth's inside."""

    cavity: NDArray[np.uint8]
    tongue: NDArray[np.uint8]
    lower_teeth: NDArray[np.uint8]
    upper_teeth: NDArray[np.uint8]

    def draw(self, behind: Any, at: Any, jaw: Any, pose: Pose, lips: Any) -> Any:
        """The inside at the texture points ``at``, over ``behind`` (RGB, uint8).

        ``jaw`` is how far the lower jaw has fallen (a vector in texture pixels); ``lips`` where the
        lips cover it, 0 … 255: they throw a shadow inwards.
        """
        fallen = (at - np.asarray(jaw, np.float32)).astype(np.float32)
        # The tongue lies lower than the teeth in an open vowel and rises in a spread one.
        raised = np.float32(0.45 + 0.35 * max(0.0, pose.wide))
        tongue = fallen + np.asarray(jaw, np.float32) * raised
        cavity = moved(self.cavity, at)
        inside = cv2.cvtColor(cavity, cv2.COLOR_RGBA2RGB)
        for texture, where in (
            (self.tongue, tongue.astype(np.float32)),
            (self.lower_teeth, fallen),
            (self.upper_teeth, at),
        ):
            inside = laid_over(inside, moved(texture, where))
        shadow = 0.6 * cv2.blur(lips, (5, 5)) + 0.4 * cv2.blur(lips, (15, 11))
        lit = inside * (1 - np.float32(0.26 / 255) * shadow.astype(np.float32))[..., None]
        covered = cavity[..., 3:] * np.float32(1 / 255)
        return cv2.convertScaleAbs(behind * (1 - covered) + lit * covered)


def _teeth(u: Any, edge: Any, w: float, widths: tuple[float, ...], height: float) -> Any:
    """A row of teeth whose biting edge is at v-distance ``edge`` (positive inside the row)."""
    shade = np.zeros_like(u)
    alpha = np.zeros_like(u)
    start = 0.0
    for n, share in enumerate(widths):
        end = start + share * w
        middle, half = (start + end) / 2, (end - start) / 2
        across = (np.abs(u) - middle) / half
        # Rounded corners at the biting edge, a hair of dark between neighbours.
        corner = 0.055 * w * np.abs(np.clip(across, -1, 1)) ** 5
        tall = height * w * (1 - 0.05 * n)
        own = smooth(edge - corner, -0.25, 0.55) * (np.abs(across) <= 1)
        own = own * smooth(tall - edge, -0.02 * w, 0.04 * w)
        bulge = 1 - 0.09 * np.clip(across, -1, 1) ** 2
        seam = 1 - 0.20 * smooth(1 - np.abs(across), 0.10, 0.0)
        fade = (1.0, 1.0, 0.97, 0.88, 0.74, 0.58)[n]
        alpha = np.maximum(alpha, own)
        shade = np.where(own > 0, bulge * seam * fade, shade)
        start = end
    gloss = 0.90 + 0.10 * smooth(edge, 0.0, 0.12 * w)
    # Towards the corners the cheeks take the light away.
    return shade * gloss * (1 - 0.35 * smooth(np.abs(u), 0.55 * w, w)), alpha


def draw_interior(
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    w: float,
    line: float,
    light: NDArray[np.float64],
    own: NDArray[np.uint8] | None,
) -> Interior:
    """Draw the inside of a mouth of half width ``w`` whose lips meet at ``v = line``.

    ``light`` is the colour of white, RGB; ``own`` is the portrait's own inside, if it shows one.
    """
    v = v - np.float32(line)
    # Only near the lips: beyond them the face behind is already right.
    near = smooth(np.abs(u), 1.06 * w, 1.0 * w) * smooth(np.abs(v - 0.2 * w), 0.75 * w, 0.65 * w)
    depth = np.clip(np.hypot(u / (1.0 * w), (v - 0.2 * w) / (0.65 * w)), 0, 1)
    cavity = np.dstack([_DARK * light * (0.55 + 0.9 * depth[..., None] ** 2), 255 * near])

    if own is None:
        bite = 0.09 * w - 0.055 * w * (u / w) ** 2 * 2  # the smile's arc
        shade, alpha = _teeth(u, bite - v, w, _UPPER_TEETH, 0.34)
        colour = _IVORY * light * shade[..., None]
        gum = smooth((bite - v), 0.27 * w, 0.34 * w)
        colour = colour * (1 - gum[..., None]) + _GUM * light * gum[..., None]
        alpha = np.maximum(alpha, smooth(bite - v, 0.28 * w, 0.33 * w) * (np.abs(u) < 0.9 * w))
        upper = sheet(colour, alpha)
    else:
        upper = own

    bite = 0.10 * w + 0.05 * w * (u / w) ** 2
    shade, alpha = _teeth(u, v - bite, w, _LOWER_TEETH, 0.26)
    colour = _IVORY * np.array([0.86, 0.82, 0.79]) * light * shade[..., None]
    gum = smooth(v - bite, 0.19 * w, 0.26 * w)
    colour = colour * (1 - gum[..., None]) + _GUM * 0.75 * light * gum[..., None]
    alpha = np.maximum(alpha, smooth(v - bite, 0.2 * w, 0.25 * w) * (np.abs(u) < 0.95 * w))
    lower = sheet(colour, alpha)

    top = 0.16 * w * (u / (0.7 * w)) ** 2
    body = smooth(v - top, -0.02 * w, 0.10 * w) * smooth(np.abs(u), 0.82 * w, 0.62 * w)
    groove = 1 - 0.22 * np.exp(-((u / (0.07 * w)) ** 2))
    round_ = 0.62 + 0.38 * smooth(v - top, 0.0, 0.22 * w)
    gloss = 26 * np.exp(
        -(((np.abs(u) - 0.2 * w) / (0.13 * w)) ** 2) - ((v - top - 0.12 * w) / (0.06 * w)) ** 2
    )
    colour = _TONGUE * light * (groove * round_)[..., None] + gloss[..., None]
    return Interior(
        cavity=np.clip(cavity + 0.5, 0, 255).astype(np.uint8),
        tongue=sheet(np.clip(colour, 0, 255), body),
        lower_teeth=lower,
        upper_teeth=upper,
    )
