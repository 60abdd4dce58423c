"""The puppet: any portrait, moved by its mesh and by the sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maestra.core.persona import Manner
from maestra.ports.errors import FaceError, PortError

from .mesh import Mesh
from .performer import Performer

if TYPE_CHECKING:
    from maestra.ports.audio import Picture
    from maestra.ports.face import FrameRequest

__all__ = ["Puppet"]


class Puppet:
    """A face that speaks (``maestra.ports.face.Face``), 512 × 512 pixels.

    ``portrait`` is a square picture of which ``mesh`` says where the features are. Without a mesh
    it may be any picture with a face in it: the face is found and cut out once, and kept in
    ``cache`` (absent, the user's cache directory). The same seed, portrait and requests give the
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
        from .portraits import open_portrait, read_picture
        from .rig import SIZE, Rig

        if mesh is None:
            if cache is None:
                import platformdirs

                cache = Path(platformdirs.user_cache_dir("maestra")) / "portraits"
            portrait, mesh = open_portrait(portrait, cache)
        picture = read_picture(portrait)
        known = mesh if isinstance(mesh, Mesh) else Mesh.load(mesh)
        height, width = picture.shape[:2]
        if width != height or known.size[0] != known.size[1]:
            raise FaceError(f"The portrait {portrait.name} and its mesh are not both square.")
        self._size = SIZE
        self._performer = Performer(manner if manner is not None else Manner(), seed)
        self._rig = Rig(picture, known)

    @property
    def width(self) -> int:
        return self._size

    @property
    def height(self) -> int:
        return self._size

    def render(self, request: FrameRequest) -> Picture:
        """The picture, ``(512, 512, 3)`` RGB.

        :raises FaceError: it failed.
        """
        try:
            return self._rig.draw(self._performer.pose(request))
        except PortError:
            raise
        except Exception as error:
            raise FaceError(f"The puppet failed to draw picture {request.index}.") from error
