"""The rig: a portrait that can be posed.

How
---

The portrait is cut, once, into *sheets* with soft edges: the upper and the lower half of the face
at the mouth, and at each eye an upper lid, a lower lid and the eyeball behind them. Inside the
mouth lie a dark cavity, a tongue and two rows of teeth, drawn to the measure of the face.

A pose is a sum of smooth *displacement fields* that are computed from the mesh once. For every
picture they are added up on a coarse grid and inverted by fixed-point iteration (a picture is drawn
by asking, for each of its pixels, where in the portrait it comes from); sheets add their own fields
to the common one in a window of their own. A sheet's transparency travels with its texture, so lips
and lids keep a smooth edge wherever they go.

Coordinates
-----------

Pixels of the ``SIZE`` × ``SIZE`` picture, the middle of the first one at (0.5, 0.5). Fields are
displacements in pixels, ``(…, 2)`` as (x, y). Textures are ``_FINE`` times as fine as the picture,
which keeps it as sharp while it moves as where it stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from attrs import frozen

from .mouth_interior import Interior, draw_interior
from .sheets import laid_over, moved, sheet, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

    from ..motion import Pose
    from ..portrait import Contour, Eye, Mesh

    Field = NDArray[np.float32]

__all__ = ["SIZE", "Rig"]

SIZE = 512
_FINE = 2
_COARSE = 4
_WINDOW_STEP = 2
_MARGIN = 20
_FADE = (8.0, 14.0)
_BLINK_LEVELS = 21


def _vector(x: Any, y: Any) -> Field:
    x, y = np.broadcast_arrays(x, y)
    return np.stack([x, y], axis=-1).astype(np.float32)


def _grid(x0: float, y0: float, columns: int, rows: int, step: int) -> Field:
    """The middles of cells of ``step`` pixels, the first cell's corner at (x0, y0)."""
    x = x0 + (np.arange(columns) + 0.5) * step
    y = y0 + (np.arange(rows) + 0.5) * step
    return _vector(x[None, :], y[:, None])


def _lookup(field: Field, at: Field, x0: float, y0: float, step: int) -> Field:
    """``field`` (cells of ``step`` from (x0, y0)) at the points ``at``, linear between cells."""
    cells = (at - np.array([x0, y0], np.float32)) * np.float32(1 / step) - np.float32(0.5)
    found: Field = cv2.remap(
        field, cells, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32, copy=False)
    return found


def _sum(weights: NDArray[np.float32], fields: Field) -> Field:
    """The weighted sum of ``fields`` (k, h, w, 2)."""
    k, h, w, _ = fields.shape
    total: Field = (weights @ fields.reshape(k, -1)).reshape(h, w, 2)
    return total


def _texture_map(at: Field, x0: float = 0.0, y0: float = 0.0) -> Field:
    """Where in a texture that begins at (x0, y0) the portrait's points ``at`` are."""
    result: Field = (at - np.array([x0, y0], np.float32)) * np.float32(_FINE) - np.float32(0.5)
    return result


class _Line:
    """A contour as a function across a frame with its own axes: v over u, held beyond its ends."""

    def __init__(self, contour: Contour, frame: _Frame) -> None:
        uv = frame.local(np.array(contour, np.float64))
        order = np.argsort(uv[:, 0], kind="stable")
        self._u, self._v = uv[order, 0], uv[order, 1]

    def __call__(self, u: Any) -> Any:
        return np.interp(u, self._u, self._v)


@frozen(eq=False)
class _Frame:
    """Axes of a feature: ``across`` and ``down`` are unit vectors, ``half`` its half width."""

    centre: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    half: float

    @classmethod
    def between(cls, left: tuple[float, float], right: tuple[float, float]) -> _Frame:
        a, b = np.array(left, np.float64), np.array(right, np.float64)
        length = float(np.hypot(*(b - a)))
        across = (b - a) / length
        return cls((a + b) / 2, across, np.array([-across[1], across[0]]), length / 2)

    def local(self, points: Any) -> NDArray[np.float64]:
        d = np.asarray(points, np.float64) - self.centre
        return np.stack([d @ self.across, d @ self.down], axis=-1)

    def vector(self, u: Any, v: Any) -> Field:
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        field = u[..., None] * self.across + v[..., None] * self.down
        result: Field = field.astype(np.float32)
        return result


class Rig:
    """A portrait, cut and ready to be posed. ``portrait``: ``(SIZE, SIZE, 3)`` RGB or finer."""

    def __init__(self, portrait: Picture, mesh: Mesh) -> None:
        cv2.setNumThreads(1)
        side = SIZE * _FINE
        shrinking = portrait.shape[0] > side
        self._texture = cv2.resize(
            portrait,
            (side, side),
            interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LANCZOS4,
        )
        self._mesh = mesh.scaled((SIZE, SIZE))
        pad = 1  # a cell more on every side, so that enlarging the grid needs no guess at the edge
        cells = SIZE // _COARSE + 2 * pad
        self._pad = pad * _COARSE
        # Fresh pages for a map of this size would cost as much as filling them.
        self._map = np.empty((cells * _COARSE, cells * _COARSE, 2), np.float32)
        self._base_grid = _grid(-self._pad, -self._pad, cells, cells, _COARSE)
        self._head = _Head(self._mesh)
        self._head_base = self._head.fields(self._base_grid)
        self._face = _Face(self._mesh)
        self._face_fields = self._face.fields(self._base_grid)
        self._mouth = _Mouth(self._mesh, self._face, self._head, self._texture)
        self._eyes = [
            _EyeSheets(self._mesh.left_eye, self._mesh.left_brow, self._head, self._texture),
            _EyeSheets(self._mesh.right_eye, self._mesh.right_brow, self._head, self._texture),
        ]

    def draw(self, pose: Pose) -> Picture:
        """The portrait in ``pose``: ``(SIZE, SIZE, 3)`` RGB."""
        head = self._head.weights(pose)
        expression = _sum(self._face.weights(pose), self._face_fields)
        within = self._base_grid - _sum(head, self._head_base)
        origin = -float(self._pad)
        at = within
        for _ in range(3):
            at = within - _lookup(expression, at, origin, origin, _COARSE)
        cv2.resize(_texture_map(at), self._map.shape[1::-1], dst=self._map)
        inner = slice(self._pad, self._pad + SIZE)
        picture = cv2.remap(
            self._texture,
            self._map[inner, inner],
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )

        def common(points: Field) -> Field:
            return _lookup(expression, points, origin, origin, _COARSE)

        for eye in self._eyes:
            eye.draw(picture, pose, head, common)
        self._mouth.draw(picture, pose, head, common)
        drawn: Picture = picture.astype(np.uint8, copy=False)
        return drawn


class _Head:
    """Where the head is: fields from picture to portrait, the same for every sheet."""

    def __init__(self, mesh: Mesh) -> None:
        oval = np.array(mesh.oval)
        (x0, y0), (x1, y1) = oval.min(axis=0), oval.max(axis=0)
        self._middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        self._half = np.array([(x1 - x0) / 2, (y1 - y0) / 2])
        self._chin = y1
        self._nose = np.array(mesh.nose_tip)
        self._unit = self._half[1] / 122.0  # movements are in proportion to the face

    def fields(self, at: Field) -> Field:
        """(8, …, 2): x, y, roll, near, yaw, pitch, breath, lean."""
        x, y = at[..., 0].astype(np.float64), at[..., 1].astype(np.float64)
        mx, my = self._middle
        hx, hy = self._half
        r = np.hypot((x - mx) / hx, (y - (my - 0.25 * hy)) / (1.15 * hy))
        edge = np.minimum(np.minimum(x, SIZE - x), y)
        head = smooth(r, 2.3, 1.1) * smooth(edge, 0.0, 48.0)
        # The neck gives way towards the collar.
        head = head * smooth(y, self._chin + 1.1 * hy, self._chin - 0.1 * hy)
        pivot = self._chin + 0.5 * hy
        bulge = np.exp(-1.3 * (((x - mx) / hx) ** 2 + ((y - my) / hy) ** 2))
        nose = np.exp(
            -(((x - self._nose[0]) / (0.3 * hx)) ** 2)
            - (((y - self._nose[1] + 0.1 * hy) / (0.33 * hy)) ** 2)
        )
        depth = (bulge + 0.3 * nose) * smooth(r, 1.9, 0.8)
        body = smooth(y, self._chin - 0.05 * hy, self._chin + 0.75 * hy)
        zero = np.zeros_like(x)
        lean = smooth(y, SIZE + 40.0, self._chin - 0.3 * hy) * smooth(r, 3.2, 1.4)
        lean = lean * smooth(edge, 0.0, 60.0)
        return np.stack(
            [
                _vector(head, zero),
                _vector(zero, head),
                _vector(-(y - pivot) * head, (x - mx) * head),
                _vector((x - mx) * head, (y - pivot) * head),
                _vector(depth, zero),
                _vector(zero, depth),
                _vector((x - mx) / SIZE * 1.2 * body, -body - 0.3 * head * (1 - body)),
                _vector(lean, zero),
            ]
        ).astype(np.float32)

    def weights(self, pose: Pose) -> NDArray[np.float32]:
        u = self._unit
        return np.array(
            [
                1.9 * u * pose.x,
                1.5 * u * pose.y,
                0.0105 * pose.roll,
                0.0060 * pose.near,
                2.7 * u * pose.yaw,
                1.9 * u * pose.pitch,
                1.5 * u * pose.breath,
                1.6 * u * (0.6 * pose.x + 0.5 * pose.roll),
            ],
            np.float32,
        )


class _Face:
    """The expression that all sheets share: jaw, width of the mouth, smile, cheeks, brows."""

    def __init__(self, mesh: Mesh) -> None:
        self.mouth = _Frame.between(mesh.outer_upper_lip[0], mesh.outer_upper_lip[-1])
        self.upper = _Line(mesh.inner_upper_lip, self.mouth)
        self.lower = _Line(mesh.inner_lower_lip, self.mouth)
        w = self.mouth.half
        oval = self.mouth.local(mesh.oval)
        self.chin = float(oval[:, 1].max())
        self.to_nose = -float(self.mouth.local(mesh.nose_base)[1])
        self.half_face = float(np.abs(oval[:, 0]).max())
        self.upper_lip = max(
            2.0, float(self.upper(0.0) - _Line(mesh.outer_upper_lip, self.mouth)(0.0))
        )
        self.lower_lip = max(
            2.0, float(_Line(mesh.outer_lower_lip, self.mouth)(0.0) - self.lower(0.0))
        )
        self.unit = w / 38.0
        self._brows = [
            (np.array(brow), _Line(brow, _FLAT), np.array(eye.upper)[:, 1].min())
            for brow, eye in (
                (mesh.left_brow, mesh.left_eye),
                (mesh.right_brow, mesh.right_eye),
            )
        ]

    def middle_line(self, u: Any) -> Any:
        """Where the lips meet."""
        return (self.upper(u) + self.lower(u)) / 2

    def fields(self, at: Field) -> Field:
        """(5, …, 2): jaw, wide, corners, cheeks, brows."""
        uv = self.mouth.local(at)
        u, v = uv[..., 0], uv[..., 1]
        w, chin = self.mouth.half, self.chin
        s = v / chin
        jaw = smooth(s, -0.12, 0.85) * smooth(s, 2.1, 1.12)
        jaw = jaw * np.clip(1 - (u / (1.1 * self.half_face)) ** 2, 0, 1) ** 1.5
        # Cheeks are drawn in and down a little when the jaw falls.
        hollow = np.exp(
            -(((np.abs(u) - 1.65 * w) / (0.7 * w)) ** 2) - ((v + 0.1 * w) / (0.9 * w)) ** 2
        )
        jaw_u = -0.16 * np.sign(u) * hollow
        jaw_v = jaw + 0.10 * hollow

        reach = np.exp(-((np.abs(u) / (1.75 * w)) ** 4) - (np.abs(v) / (0.85 * chin)) ** 3)
        wide = u * reach

        corner = np.exp(-(((np.abs(u) - w) / (0.55 * w)) ** 2) - (v / (0.5 * w)) ** 2)
        cheek = np.exp(
            -(((np.abs(u) - 1.45 * w) / (0.75 * w)) ** 2) - ((v + 1.15 * w) / (0.7 * w)) ** 2
        )
        brow = np.zeros_like(u)
        x, y = at[..., 0].astype(np.float64), at[..., 1].astype(np.float64)
        for points, line, lid in self._brows:
            x0, x1 = points[:, 0].min(), points[:, 0].max()
            middle, half = (x0 + x1) / 2, (x1 - x0) / 2
            height = float(lid - points[:, 1].mean())
            rise = line(x) - y
            brow = brow + (
                np.exp(-(np.abs((x - middle) / (1.35 * half)) ** 3))
                * smooth(rise, -1.1 * height, -0.2 * height)
                * smooth(rise, 3.2 * height, 0.7 * height)
            )
        zero = np.zeros_like(u)
        out = np.sign(u)
        return np.stack(
            [
                self.mouth.vector(jaw_u, jaw_v),
                self.mouth.vector(wide, zero),
                self.mouth.vector(out * corner, -0.9 * corner),
                self.mouth.vector(0.25 * out * cheek, -cheek),
                self.mouth.vector(zero, -np.clip(brow, 0, 1)),
            ]
        ).astype(np.float32)

    def jaw_drop(self, pose: Pose) -> float:
        """How far the chin falls, in pixels."""
        return 8.5 * self.unit * pose.jaw

    def weights(self, pose: Pose) -> NDArray[np.float32]:
        wide = pose.wide * (0.065 if pose.wide > 0 else 0.25)
        smile = pose.smile + 0.25 * max(0.0, pose.wide)
        return np.array(
            [
                self.jaw_drop(pose),
                wide - 0.025 * pose.jaw,
                1.7 * self.unit * smile,
                1.5 * self.unit * smile,
                3.4 * self.unit * pose.brow,
            ],
            np.float32,
        )


_FLAT = _Frame(np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1.0)


@frozen(eq=False)
class _Window:
    """A rectangle of the picture in which sheets are drawn, in whole pixels."""

    x: int
    y: int
    columns: int
    rows: int

    @classmethod
    def around(cls, points: Any, margin: float = _MARGIN) -> _Window:
        p = np.asarray(points, np.float64)
        step = 2 * _WINDOW_STEP
        low = np.maximum(np.floor((p.min(axis=0) - margin) / step) * step, 0).astype(int)
        high = np.minimum(np.ceil((p.max(axis=0) + margin) / step) * step, SIZE).astype(int)
        return cls(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + self.rows), slice(self.x, self.x + self.columns)

    @property
    def fine(self) -> tuple[slice, slice]:
        return (
            slice(self.y * _FINE, (self.y + self.rows) * _FINE),
            slice(self.x * _FINE, (self.x + self.columns) * _FINE),
        )

    def grid(self, step: int) -> Field:
        return _grid(self.x, self.y, self.columns // step, self.rows // step, step)

    def texture_grid(self) -> Field:
        """The middle of every texture pixel, in pixels of the picture."""
        half = _grid(0, 0, self.columns * _FINE, self.rows * _FINE, 1) / _FINE
        result: Field = (half + np.array([self.x, self.y])).astype(np.float32)
        return result

    def fade(self) -> NDArray[np.float32]:
        """1 inside, 0 near the edge, for every texture pixel."""
        local = _grid(0, 0, self.columns * _FINE, self.rows * _FINE, 1) / _FINE
        x, y = local[..., 0], local[..., 1]
        edge = np.minimum(np.minimum(x, self.columns - x), np.minimum(y, self.rows - y))
        result: NDArray[np.float32] = smooth(edge, *_FADE).astype(np.float32)
        return result

    def texture_map(self, at: Field) -> Field:
        """Where in the window's textures its pixels are: ``at`` is on the window's coarse grid."""
        local = _texture_map(at, self.x, self.y)
        result: Field = cv2.resize(local, (self.columns, self.rows)).astype(np.float32, copy=False)
        return result


def _cut(texture: Any, window: _Window, alpha: Any) -> NDArray[np.uint8]:
    """A sheet: the window's part of the portrait, premultiplied by ``alpha``, RGBA.

    It fades out before the window's edge, where its movement is the common one, so that no edge
    shows when the head moves under the window.
    """
    part = texture[window.fine].astype(np.float32)
    alpha = alpha * window.fade()
    return sheet(part, alpha)


class _Mouth:
    """Two halves of a face that part at the lips, and what is seen between them."""

    def __init__(self, mesh: Mesh, face: _Face, head: _Head, texture: Any) -> None:
        self._face = face
        frame = face.mouth
        w = frame.half
        ends = [
            frame.centre + frame.across * u + frame.down * v
            for u in (-1.25 * w, 1.25 * w)
            for v in (-face.to_nose, face.chin * 1.1)
        ]
        self._window = window = _Window.around(ends)
        self._grid = window.grid(_WINDOW_STEP)
        self._head = head.fields(self._grid)
        self._upper_fields, self._lower_fields = self._fields(self._grid)

        fine = frame.local(window.texture_grid())
        u, v = fine[..., 0], fine[..., 1]
        beyond = smooth(np.abs(u), w - 0.75, w + 0.75)
        above = np.clip((face.upper(u) - v) * _FINE + 0.5, 0, 1)
        below = np.clip((v - face.lower(u)) * _FINE + 0.5, 0, 1)
        self._upper = _cut(texture, window, np.maximum(above, beyond).astype(np.float32))
        self._lower = _cut(texture, window, np.maximum(below, beyond).astype(np.float32))

        gap = float(face.lower(0.0) - face.upper(0.0))
        own = None
        if gap > 0.05 * w:
            # The portrait shows its own teeth: they are better than any that we could draw.
            between = np.clip((v - face.upper(u)) / 1.0, 0, 1) * np.clip(
                (face.lower(u) - v) / 1.0, 0, 1
            )
            own = _cut(texture, window, (between * (1 - beyond)).astype(np.float32))
        light = _white(mesh, texture)
        self._interior: Interior = draw_interior(
            u.astype(np.float32), v.astype(np.float32), w, float(face.middle_line(0.0)), light, own
        )
        inner = [
            frame.centre + frame.across * a + frame.down * b
            for a in (-1.12 * w, 1.12 * w)
            for b in (-0.55 * w, 0.95 * w)
        ]
        box = _Window.around(inner, 4)
        self._box = (
            slice(box.y - window.y, box.y - window.y + box.rows),
            slice(box.x - window.x, box.x - window.x + box.columns),
        )

    def _fields(self, at: Field) -> tuple[Field, Field]:
        """Of the upper and of the lower sheet, (4, …, 2): open, open roundly, thicken, close."""
        face = self._face
        uv = face.mouth.local(at)
        u, v = uv[..., 0], uv[..., 1]
        w = face.mouth.half
        x2 = np.clip(1 - (u / w) ** 2, 0, None)
        flat, full = x2**0.62, x2**0.45
        gap = np.clip(face.lower(u) - face.upper(u), 0, None)
        within = smooth(np.abs(u), 1.02 * w, 0.9 * w)

        rise = face.upper(u) - v
        hold = smooth(rise, 0.95 * face.to_nose, min(1.15 * face.upper_lip, 0.6 * face.to_nose))
        thick = np.clip(rise / face.upper_lip, 0, 1) * hold * x2
        up = [-flat * hold, -full * hold, -thick, 0.42 * gap * within * hold]

        fall = v - face.lower(u)
        keep = smooth(fall, 0.98 * face.chin, min(1.15 * face.lower_lip, 0.5 * face.chin))
        thick = np.clip(fall / face.lower_lip, 0, 1) * keep * x2
        down = [flat * keep, full * keep, thick, -0.58 * gap * within * keep]
        zero = np.zeros_like(u)
        return (
            np.stack([face.mouth.vector(zero, f) for f in up]),
            np.stack([face.mouth.vector(zero, f) for f in down]),
        )

    def draw(self, picture: Any, pose: Pose, head: NDArray[np.float32], common: Any) -> None:
        face, window = self._face, self._window
        unit, w = face.unit, face.mouth.half
        round_ = max(0.0, -pose.wide)
        opening = pose.jaw * 0.28 * w * (1 + 0.15 * round_)
        parted = pose.part * 0.075 * w
        thick = unit * (
            1.6 * round_ * min(1.0, 0.3 + pose.talk) - 2.0 * pose.press - 0.5 * pose.jaw
        )
        close = min(1.0, 1.2 * pose.talk) * (1 - min(1.0, 1.6 * pose.jaw + 0.5 * pose.part))
        share = min(1.0, round_ * 1.5)
        up = (0.22 * opening + parted) * (1 - 0.7 * share)
        down = opening + parted

        at = self._grid - _sum(head, self._head)
        shared = common(self._grid)
        amount = np.array([up * (1 - share), up * share, thick, close], np.float32)
        at_upper = window.texture_map(self._settle(at, shared + _sum(amount, self._upper_fields)))
        amount[:2] = down * (1 - share), down * share
        at_lower = window.texture_map(self._settle(at, shared + _sum(amount, self._lower_fields)))

        top, bottom = moved(self._upper, at_upper), moved(self._lower, at_lower)
        result = np.ascontiguousarray(picture[window.slices])
        shown = self._box
        result[shown] = self._interior.draw(
            result[shown],
            np.ascontiguousarray(window.texture_map(at)[shown]),
            face.mouth.down * face.jaw_drop(pose) * 0.8 * _FINE,
            pose,
            np.maximum(top[shown][..., 3], bottom[shown][..., 3]),
        )
        picture[window.slices] = laid_over(laid_over(result, bottom), top)

    def _settle(self, at: Field, movement: Field) -> Field:
        """Where in the portrait the points come from: four steps of the fixed-point iteration."""
        window = self._window
        source = at
        for _ in range(4):
            source = at - _lookup(movement, source, window.x, window.y, _WINDOW_STEP)
        return source


class _EyeSheets:
    """An eyeball and the two lids before it."""

    def __init__(self, eye: Eye, brow: Contour, head: _Head, texture: Any) -> None:
        self._eye = eye
        frame = _Frame.between(eye.upper[0], eye.upper[-1])
        self._frame, w = frame, frame.half
        upper, lower = _Line(eye.upper, frame), _Line(eye.lower, frame)
        brow_line = _Line(brow, frame)
        ceiling = max(float(-frame.local(brow)[:, 1].min()), 0.75 * w)
        ends = [
            frame.centre + frame.across * a + frame.down * b
            for a in (-1.1 * w, 1.1 * w)
            for b in (-ceiling, 0.7 * w)
        ]
        self._window = window = _Window.around(ends)
        self._grid = window.grid(_WINDOW_STEP)
        self._head = head.fields(self._grid)

        uv = frame.local(self._grid)
        u, v = uv[..., 0], uv[..., 1]
        top, bottom = upper(u), lower(u)
        # Both lids meet along a line near the lower one.
        gap = np.clip(bottom - top, 0, None) * smooth(np.abs(u), 1.03 * w, 0.93 * w)
        to_brow = np.maximum(top - brow_line(u), 0.3 * w)

        def upper_lid(v: Any) -> Any:
            # The skin between lid and brow is drawn down; the brow itself stays.
            return 0.90 * gap * smooth((top - v) / to_brow, 0.82, 0.14)

        def lower_lid(v: Any) -> Any:
            return -0.14 * gap * smooth(v - bottom, 0.75 * w, 0.05 * w)

        # A closing lid is stretched to twice its height and more: its movement is inverted here,
        # patiently, for a series of degrees of closing.
        levels = np.linspace(0, 1, _BLINK_LEVELS)
        self._upper, self._lower = (
            np.stack([frame.vector(np.zeros_like(u), _inverse(lid, level, v)) for level in levels])
            for lid in (upper_lid, lower_lid)
        )

        fine = frame.local(window.texture_grid())
        u, v = fine[..., 0], fine[..., 1]
        beyond = smooth(np.abs(u), w - 0.5, w + 0.5)
        above = np.maximum(np.clip((upper(u) - v) * _FINE + 0.5, 0, 1), beyond)
        below = np.maximum(np.clip((v - lower(u)) * _FINE + 0.5, 0, 1), beyond)
        self._upper_lid = _cut(texture, window, above.astype(np.float32))
        self._lower_lid = _cut(texture, window, below.astype(np.float32))

        # The eyeball goes on behind the lids.
        inside = (v > upper(u) + 0.4) & (v < lower(u) - 0.4) & (np.abs(u) < w - 0.5)
        near = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=14)
        hidden = (near > 0) & ~inside
        ball = cv2.inpaint(
            np.ascontiguousarray(texture[window.fine]),
            hidden.astype(np.uint8),
            3,
            cv2.INPAINT_TELEA,
        )
        soft = cv2.blur(near.astype(np.float32), (9, 9))
        full = np.zeros_like(texture)
        full[window.fine] = ball
        self._ball = _cut(full, window, soft)
        iris = np.hypot(*(np.moveaxis(self._grid - np.array(eye.iris, np.float32), -1, 0)))
        self._iris_field = smooth(iris, 2.1 * eye.iris_radius, 0.95 * eye.iris_radius).astype(
            np.float32
        )

    def draw(self, picture: Any, pose: Pose, head: NDArray[np.float32], common: Any) -> None:
        window, r = self._window, self._eye.iris_radius
        at = self._grid - _sum(head, self._head)
        at = at - common(at)
        look = np.array([0.26 * r * pose.gaze_x, 0.16 * r * pose.gaze_y], np.float32)
        shift = _lookup(self._iris_field, at, window.x, window.y, _WINDOW_STEP)
        result = np.ascontiguousarray(picture[window.slices])
        for layer, source in (
            (self._ball, at - shift[..., None] * look),
            (self._lower_lid, at + self._closing(self._lower, pose.blink, at)),
            (self._upper_lid, at + self._closing(self._upper, pose.blink, at)),
        ):
            result = laid_over(result, moved(layer, window.texture_map(source)))
        picture[window.slices] = result

    def _closing(self, table: Field, blink: float, at: Field) -> Field:
        """The inverse of a lid's movement at the points ``at``."""
        level = min(max(blink, 0.0), 1.0) * (_BLINK_LEVELS - 1)
        n = min(int(level), _BLINK_LEVELS - 2)
        share = np.float32(level - n)
        between = table[n] * (1 - share) + table[n + 1] * share
        return _lookup(between, at, self._window.x, self._window.y, _WINDOW_STEP)


def _inverse(movement: Callable[[Any], Any], amount: float, v: Any) -> Any:
    """How far along v the points that a movement along v brings to v are from there.

    Damped iteration, which settles where the movement stretches up to fourfold.
    """
    source = v
    for _ in range(40):
        source = source + 0.4 * (v - amount * movement(source) - source)
    return source - v


def _white(mesh: Mesh, texture: Any) -> NDArray[np.float64]:
    """The colour that white has in this portrait's light, RGB, 0.35 … 1.

    How bright, is read off the whites of the eyes; which tint, off them and a little off the skin.
    """
    eyes = [
        _inside(texture, (*eye.upper, *eye.lower[::-1])) for eye in (mesh.left_eye, mesh.right_eye)
    ]
    pixels = np.concatenate(eyes)
    face = _inside(texture, mesh.oval)
    if not len(pixels) or not len(face):
        return np.ones(3)
    grey = pixels.mean(axis=1)
    bright = pixels[grey >= np.percentile(grey, 85)].mean(axis=0)
    skin = np.median(face, axis=0)
    tint = 0.35 * bright / bright.max() + 0.65 * (0.72 + 0.28 * skin / max(float(skin.max()), 1.0))
    # Behind tinted glasses or in a shadow the eyes say too little: the skin's lights say how much.
    lit = np.percentile(face.mean(axis=1), 90) * 1.05
    strength = min(max(float(bright.mean()), float(lit)) / 210, 1.0)
    result: NDArray[np.float64] = np.clip(strength * tint / tint.max(), 0.35, 1.0)
    return result


def _inside(texture: Any, outline: Contour) -> NDArray[np.float64]:
    """The portrait's pixels within ``outline``, (n, 3)."""
    mask = np.zeros(texture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [(np.array(outline) * _FINE).astype(np.int32)], 1)
    found: NDArray[np.float64] = texture[mask > 0].astype(np.float64)
    return found
