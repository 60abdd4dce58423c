"""The idle cycle: the portrait in motion, mouth shut, and the latents of each of its pictures.

MuseTalk paints mouths into a video of somebody who sits and listens. Here that video is made of
the portrait: the puppet's idle movement for some seconds, with blinks, glances and breath. Towards
the end each pose goes over into those before the first, so that it begins again without a jump and
never runs backwards. The head moves by a few pixels only, so one face box holds for all of it.

Pictures, the same as I420, and latents are kept on disk, as plain arrays, under a digest of all
that they are made of; the pictures are mapped and not read.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from attrs import define

from maestra.core.persona import Manner
from maestra.ports.audio import FRAME_RATE
from maestra.ports.errors import FaceError

from ..colour import yuv420
from ..motion import Performer, Pose
from ..streaming import Moment
from .blending import cut_out

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from maestra.ports.audio import Picture

    from .blending import Box

__all__ = ["Cycle", "Uploaded", "cycle_key", "cycle_poses", "open_cycle"]

_VERSION = "2"
"""Another one where the same portrait and weights make other pictures or latents."""

_OVER = 2 * FRAME_RATE
"""Pictures in which the end goes over into the beginning, at most."""

_ENCODED_AT_ONCE = 8


class Cycle:
    """``pictures``, ``(n, height, width, 3)`` RGB, the same as I420 in ``planes``,
    ``(n, height * 3 // 2, width)``, and ``latents``, ``(n, 8, 32, 32)``."""

    def __init__(self, pictures: Picture, planes: Picture, latents: NDArray[np.float32]) -> None:
        self.pictures = pictures
        self.planes = planes
        self.latents = latents

    def __len__(self) -> int:
        return len(self.pictures)


@define(eq=False)
class Uploaded:
    """What is painted from, of the whole cycle, where it is painted: it does not change, so it is
    brought to a device once and not with every picture.

    ``latents`` ``(n, 8, 32, 32)``, ``under`` ``(n, height, width, 3)``: what the pictures show
    where they are changed.
    """

    latents: Tensor
    under: Tensor

    @classmethod
    def of(cls, cycle: Cycle, part: Box, device: torch.device) -> Uploaded:
        """To ``device``.

        :param part: where the pictures are changed.
        """
        left, top, right, bottom = part
        under = np.ascontiguousarray(cycle.pictures[:, top:bottom, left:right])
        return cls(
            latents=torch.from_numpy(cycle.latents).to(device),
            under=torch.from_numpy(under).to(device),
        )

    def at(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The latents and what is under them at ``places``."""
        return (
            torch.stack([self.latents[place] for place in places]),
            torch.stack([self.under[place] for place in places]),
        )


def cycle_poses(manner: Manner, seed: int, count: int) -> list[Pose]:
    """``count`` idle poses, after the last of which the first one may follow."""
    performer = Performer(manner, seed)

    def pose(number: int) -> Pose:
        silence = np.zeros(1, np.float32)
        return performer.pose(Moment(number=number, sound=silence, speaking=False))

    over = min(_OVER, count // 2)
    before, poses = [pose(number) for number in range(-over, 0)], [*map(pose, range(count))]
    for step in range(over):
        share = (step + 1) / (over + 1)
        share = share * share * (3 - 2 * share)
        place = count - over + step
        poses[place] = _between(poses[place], before[step], share)
    return poses


def _between(one: Pose, other: Pose, share: float) -> Pose:
    a, b = attrs.astuple(one), attrs.astuple(other)
    names = [attribute.name for attribute in attrs.fields(Pose)]
    mixed = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return Pose(**dict(zip(names, mixed, strict=True)))


def cycle_key(*parts: bytes | str) -> str:
    """The digest of what a cycle is made of."""
    digest = hashlib.sha256(_VERSION.encode())
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def open_cycle(
    folder: Path,
    poses: Sequence[Pose],
    *,
    draw: Callable[[Pose], Picture],
    encode: Callable[[Picture], NDArray[np.float32]],
    box: Box,
) -> Cycle:
    """The cycle that is kept in ``folder``; made, and kept there, if it is not or is damaged.

    :param draw: the portrait in a pose.
    :param encode: the latents of face crops.
    :param box: where the face is.
    :raises FaceError: it cannot be kept.
    """
    paths = [folder / f"{name}.npy" for name in ("pictures", "planes", "latents")]
    found = [_mapped(path) for path in paths]
    if all(array is not None and len(array) == len(poses) for array in found):
        return Cycle(found[0], found[1], np.array(found[2]))
    made = np.stack([draw(pose) for pose in poses])
    planes = np.concatenate([yuv420(torch.from_numpy(each[None])).numpy() for each in made])
    crops = np.stack([cut_out(picture, box) for picture in made])
    latents = np.concatenate(
        [
            encode(crops[begin : begin + _ENCODED_AT_ONCE])
            for begin in range(0, len(crops), _ENCODED_AT_ONCE)
        ]
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, array in zip(paths, (made, planes, latents), strict=True):
            _write(path, array)
    except OSError as error:
        raise FaceError(f"The idle cycle cannot be kept in {folder}: {error.strerror}.") from error
    mapped = [_mapped(path) for path in paths[:2]]
    shown = [mine if its is None else its for mine, its in zip((made, planes), mapped, strict=True)]
    return Cycle(shown[0], shown[1], latents)


def _mapped(path: Path) -> Any:
    """The array in ``path``, mapped; ``None`` if there is none or it is damaged."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _write(path: Path, array: NDArray[np.generic]) -> None:
    """Write whole or not at all: another process may be reading."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array, allow_pickle=False)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
