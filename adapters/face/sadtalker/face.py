"""The face SadTalker: the portrait's head, turned and made to speak, and put back into it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from maestra.core.persona import Manner

from ..colour import lay_planes, yuv420
from ..device import Device, Residence, in_stream, no_room, weights_of
from ..liveportrait.layers import fuse
from ..portrait import prepared
from ..resting import Resting
from ..seams import Seams
from ..streaming import Moment, StreamingFace
from ..tracing import stage
from .drawing import Renderer
from .driver import LOOK_AHEAD, LOOK_BACK, Driver
from .networks import PUBLISHED, Networks, Sizes, load
from .placing import aligned, five_points, paste_mask, square_around
from .semantics import row_of
from .settings import SadTalkerSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

    from ..portrait import Mesh

__all__ = ["SIZE", "SadTalker", "SadTalkerSettings"]

SIZE = 512


class SadTalker(StreamingFace):
    """A face that speaks (``maestra.ports.face.Face``), ``SIZE`` pixels wide and high.

    The same seed, portrait, settings and speech give the same pictures.

    :param portrait: the picture; square where there is a ``mesh``.
    :param mesh: where its features are; absent, the face is found once (see ``open_portrait``).
    :param cache: where found faces are kept; absent, in the user's cache directory.
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
        super().__init__(
            look_back=LOOK_BACK, look_ahead=LOOK_AHEAD, most_at_once=settings.batch, seams=Seams()
        )
        on = Device.choose(
            "sadtalker",
            settings.device,
            settings.precision,
            most_at_once=settings.batch,
            compiled=settings.compile,
            graphs=settings.graphs,
        )
        device = on.device
        self.width = self.height = SIZE
        self.warm_up = on.warm_up
        picture, known = prepared(portrait, mesh, cache)
        if networks is None:
            networks = load(Path(settings.weights).expanduser(), large=settings.large, sizes=sizes)
        whole, points = _fitted(picture, known)
        self._planes: Picture = yuv420(torch.from_numpy(whole.copy())[None])[0].numpy()
        # A quarter of the colour is kept: the square must begin and end between two samples of it.
        left, top, side = (2 * (each // 2) for each in square_around(points, SIZE))
        self._box = left, top, side
        old = whole[top : top + side, left : left + side]
        crop = _resized(old, sizes.picture * (2 if settings.large else 1))
        shown = aligned(crop, (points - (left, top)) * (crop.shape[0] / side))
        self._cold = on.starts_cold
        with no_room(f"sadtalker: {device} has no room for its weights."):
            with torch.inference_mode():
                row = row_of(networks.face_3drecon(_tensor(shown))).to(device)
                # What only the portrait is shown to need not stay on the device.
                canonical = networks.kp_extractor(_tensor(crop)).to(device)
            asked = (networks.audio2exp, networks.audio2pose, networks.mapping)
            for network in asked:
                fuse(network)
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
            with torch.inference_mode():
                source = self._driver.source()
            self._stream = on.stream()
            self._renderer = Renderer(
                networks.generator,
                _tensor(crop),
                source,
                old,
                paste_mask(side),
                on=on,
                stream=self._stream,
            )
        self._resting = Resting(seed) if settings.unload_after else None
        self._residence = Residence(
            lambda: chain(self._renderer.places(), weights_of(*asked)),
            device,
            unload_after=settings.unload_after or None,
            leaving=self._renderer.forget,
            replaced=lambda: self._resting is not None and self._resting.ready,
        )

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        """See ``StreamingFace``."""
        said = any(moment.speaking for moment in moments)
        full = no_room(
            f"sadtalker: there is no room to draw {len(moments)} pictures at once.",
            self._renderer.forget,
        )
        at = self._residence.at_work() if said else self._residence.at_rest()
        with full, at as came_back:
            if came_back is None and self._resting is not None:
                return [self._resting.show(moment.number) for moment in moments]
            with torch.inference_mode(), in_stream(self._stream):
                if self._cold:
                    self._renderer.warm()
                    self._cold = False
                driving = self._driver.drive(moments)
                faces = self._renderer.draw(driving, hurried=said or bool(came_back))
                with stage("paste"):
                    drawn = [self._put_back(face) for face in faces]
        if self._resting is not None:
            self._resting.keep(moments, drawn)
        return drawn

    def unload(self) -> None:
        """Leave the device now; it comes back with the next speech."""
        self._residence.unload()

    def _put_back(self, face: Picture) -> Picture:
        left, top, _ = self._box
        picture = self._planes.copy()
        lay_planes(picture, face, left, top)
        return picture


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
