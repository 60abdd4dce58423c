"""The face SadTalker: the portrait's head, turned and made to speak, and put back into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from maestra.core.persona import Manner
from maestra.ports.errors import FaceError, FaceOutOfMemory

from ..liveportrait.layers import fuse
from ..portrait import Mesh, open_portrait, read_picture
from ..streaming import Moment, StreamingFace
from ..tracing import stage
from .driver import LOOK_AHEAD, LOOK_BACK, Driver
from .networks import PUBLISHED, Networks, Sizes, load
from .placing import aligned, five_points, paste_mask, square_around
from .semantics import row_of
from .settings import SadTalkerSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

__all__ = ["SIZE", "SadTalker", "SadTalkerSettings"]

SIZE = 512

_PRECISIONS: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class SadTalker(StreamingFace):
    """A face that speaks (``maestra.ports.face.Face``), ``SIZE`` pixels wide and high.

    The same seed, portrait, settings and speech give the same pictures.

    :param portrait: the picture; square where there is a ``mesh``.
    :param mesh: where its features are; absent, the face is found once (see ``open_portrait``).
    :param cache: where found faces are kept; absent, the user's cache directory.
    :param sizes: of the networks, others than the published ones for tests.
    :param networks: with their weights, which are taken to the device; absent, they are read from
        the folder in ``settings``.
    :raises FaceError: the portrait or the mesh can't be read or don't fit each other, a face must
        be found and can't be, or the device is not there.
    :raises ModelMissing: weights are absent or are not those of these networks.
    """

    def __init__(
        self,
        portrait: Path,
        mesh: Path | None,
        settings: SadTalkerSettings,
        *,
        manner: Manner | None = None,
        seed: int = 0,
        cache: Path | None = None,
        sizes: Sizes = PUBLISHED,
        networks: Networks | None = None,
    ) -> None:
        super().__init__(look_back=LOOK_BACK, look_ahead=LOOK_AHEAD, most_at_once=settings.batch)
        device, self._precision = _device(settings)
        self.width = self.height = SIZE
        self.warm_up = 10.0 if device.type == "cuda" else 0.0
        picture, known = _open(portrait, mesh, cache)
        if networks is None:
            networks = load(Path(settings.weights).expanduser(), large=settings.large, sizes=sizes)
        self._picture, points = _fitted(picture, known)
        self._box = square_around(points, SIZE)
        self._mask = paste_mask(self._box.side)
        left, top, side = self._box
        crop = _resized(
            self._picture[top : top + side, left : left + side],
            sizes.picture * (2 if settings.large else 1),
        )
        shown = aligned(crop, (points - (left, top)) * (crop.shape[0] / side))
        try:
            with torch.inference_mode():
                row = row_of(networks.face_3drecon(_tensor(shown))).to(device)
                # What only the portrait is shown to need not stay on the device.
                canonical = networks.kp_extractor(_tensor(crop)).to(device)
                for network in (networks.audio2exp, networks.audio2pose, networks.mapping):
                    network.to(device)
                self._driver = Driver(
                    networks,
                    row,
                    canonical,
                    style=settings.style,
                    pose=settings.pose,
                    expression=settings.expression,
                    manner=manner,
                    seed=seed,
                )
                self._source = self._driver.source()
                self._render = networks.generator
                fuse(self._render)
                self._render.to(device, self._precision)
                self._appearance = self._render.appearance(
                    _tensor(crop).to(device, self._precision)
                )
        except torch.OutOfMemoryError as error:
            raise FaceOutOfMemory(f"sadtalker: {device} has no room for its weights.") from error

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        """See ``StreamingFace``."""
        try:
            with torch.inference_mode():
                driving = torch.from_numpy(self._driver.drive(moments)).to(self._source.device)
                count = len(moments)
                with stage("generator"):
                    drawn = self._render(
                        self._appearance.expand(count, -1, -1, -1, -1),
                        driving,
                        self._source.expand(count, -1, -1),
                    )
                with stage("copy"):
                    faces = (drawn.float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise FaceOutOfMemory(
                f"sadtalker: there is no room to draw {len(moments)} pictures at once."
            ) from error
        with stage("paste"):
            return [self._put_back(face) for face in faces]

    def _put_back(self, face: Picture) -> Picture:
        left, top, side = self._box
        picture = self._picture.copy()
        place = picture[top : top + side, left : left + side]
        new = _resized(face, side).astype(np.float32)
        old = place.astype(np.float32)
        place[:] = np.rint(old + self._mask * (new - old)).astype(np.uint8)
        return picture


def _open(portrait: Path, mesh: Path | None, cache: Path | None) -> tuple[Picture, Mesh]:
    if mesh is None:
        if cache is None:
            import platformdirs

            cache = Path(platformdirs.user_cache_dir("maestra"))
        portrait, known = open_portrait(portrait, cache / "portraits")
    else:
        known = Mesh.load(mesh)
    picture = read_picture(portrait)
    height, width = picture.shape[:2]
    if width != height or known.size[0] != known.size[1]:
        raise FaceError(f"The portrait {portrait.name} and its mesh are not both square.")
    return picture, known


def _fitted(picture: Picture, mesh: Mesh) -> tuple[Picture, NDArray[np.float64]]:
    """The portrait as it is shown, and its five points in it."""
    return _resized(picture, SIZE), five_points(mesh.scaled((SIZE, SIZE)))


def _resized(picture: Picture, size: int) -> Picture:
    import cv2

    if picture.shape[0] == size:
        return picture
    shrinks = size < picture.shape[0]
    resized: Picture = cv2.resize(
        picture, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return resized


def _tensor(picture: Picture) -> torch.Tensor:
    """RGB, 0 … 1, ``(1, 3, height, width)``."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def _device(settings: SadTalkerSettings) -> tuple[torch.device, torch.dtype]:
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise FaceError(f"sadtalker: there is no device called {name!r}.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise FaceError(f"sadtalker: there is no GPU {name}; set its device to cpu.")
    if settings.precision == "auto":
        return device, torch.float16 if device.type == "cuda" else torch.float32
    return device, _PRECISIONS[settings.precision]
