"""LivePortrait as a face that speaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maestra.core.persona import Manner

from ..device import Device
from ..motion import LOOK_AHEAD, LOOK_BACK, Performer, audible
from ..portrait import Mesh, prepared
from ..resting import Resting
from ..seams import Seams
from ..streaming import Moment, StreamingFace
from ..tracing import stage
from .drawing import Engine
from .features import Features, Landmarker
from .networks import Networks, read_networks
from .performing import controls
from .settings import LivePortraitSettings

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["LivePortrait"]


class LivePortrait(StreamingFace):
    """A face drawn by neural networks (``maestra.ports.face.Face``), ``size`` pixels square.

    ``portrait`` and ``mesh`` are as for the puppet: a square picture and where its features are,
    or any picture with a face in it, which is then found once.

    :param networks: with their weights; they are fused and taken to the device. Absent, they are
        read from the folder in ``settings``.
    :raises FaceError: the portrait or the mesh can't be read or don't fit each other, or the device
        that is asked for is not there.
    :raises ModelMissing: weights are absent or don't fit.
    """

    def __init__(
        self,
        portrait: Path,
        mesh: Path | Mesh | None,
        manner: Manner | None = None,
        seed: int = 0,
        *,
        settings: LivePortraitSettings | None = None,
        networks: Networks | None = None,
        size: int = 512,
        cache: Path | None = None,
    ) -> None:
        chosen = settings or LivePortraitSettings()
        super().__init__(
            look_back=LOOK_BACK,
            look_ahead=LOOK_AHEAD,
            most_at_once=chosen.most_at_once,
            seams=Seams(),
        )
        self.width = self.height = size
        device = Device.choose(
            "liveportrait",
            chosen.device,
            chosen.precision,
            most_at_once=chosen.most_at_once,
            compiled=chosen.compile,
            graphs=chosen.graphs,
        )
        self.warm_up = device.warm_up
        picture, known = prepared(portrait, mesh, cache)
        features = Features.of_mesh(known)
        if chosen.landmarks:
            features = Landmarker(Path(chosen.landmarks).expanduser()).find(picture, features)
        if networks is None:
            networks = read_networks(Path(chosen.weights).expanduser())
        self._performer = Performer(manner if manner is not None else Manner(), seed)
        self._resting = Resting(seed) if chosen.unload_after else None
        self._engine = Engine(
            networks,
            picture,
            features,
            size=size,
            device=device,
            unload_after=chosen.unload_after or None,
            replaced=lambda: self._resting is not None and self._resting.ready,
        )
        self._eyes_open = self._engine.eyes_open
        self._cold = True

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        """See ``StreamingFace``."""
        if self._cold:
            self._engine.warm()
            self._cold = False
        with stage("motion"):
            rows = np.stack([self._controls(moment) for moment in moments])
        drawn = self._engine.draw(rows, hurried=any(moment.speaking for moment in moments))
        if self._resting is not None:
            if not drawn:
                return [self._resting.show(moment.number) for moment in moments]
            self._resting.keep(moments, drawn)
        return drawn

    def unload(self) -> None:
        """Leave the device now; it comes back with the next speech."""
        self._engine.unload()

    def _controls(self, moment: Moment) -> NDArray[np.float32]:
        # After the last word there is no sound at all: the performer shuts the mouth within some
        # pictures, and at once would be a jump.
        loud = audible(moment.sound, LOOK_BACK) if moment.speaking else 1.0
        return controls(self._performer.pose(moment), loud, self._eyes_open)
