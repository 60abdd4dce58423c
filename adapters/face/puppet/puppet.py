"""The puppet: any portrait, moved by its mesh and by the sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maestra.core.persona import Manner

from ..motion import LOOK_AHEAD, LOOK_BACK, Performer
from ..portrait import Mesh, prepared
from ..seams import Seams
from ..streaming import Moment, StreamingFace

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["Puppet"]


class Puppet(StreamingFace):
    """A face that speaks (``maestra.ports.face.Face``), 512 × 512 pixels.

    ``portrait`` is a square picture of which ``mesh`` says where the features are. Without a mesh
    it may be any picture with a face in it: the face is found and cut out once, and kept in
    ``cache`` (absent, the user's cache directory). The same seed, portrait and speech give the
    same pictures, bit for bit.

    :raises FaceError: the portrait or the mesh can't be read or don't fit each other, or a face
        must be found and can't be.
    """

    def __init__(
        self,
        portrait: Path,
        mesh: Path | Mesh | None,
        manner: Manner | None = None,
        seed: int = 0,
        *,
        cache: Path | None = None,
    ) -> None:
        super().__init__(look_back=LOOK_BACK, look_ahead=LOOK_AHEAD, seams=Seams())
        from .rig import SIZE, Rig

        picture, known = prepared(portrait, mesh, cache)
        self.width = self.height = SIZE
        self._performer = Performer(manner if manner is not None else Manner(), seed)
        self._rig = Rig(picture, known)

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        """See ``StreamingFace``."""
        return [self._rig.draw(self._performer.pose(moment)) for moment in moments]
