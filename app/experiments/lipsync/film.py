"""Reading a film: its sound, its pictures, and where the mouth is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from attrs import frozen

from ..bench.recording import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

__all__ = ["RATE", "FaceBox", "Film", "face_box", "lip_crops", "mouth_in", "read"]

RATE = 25

_LOOKED_AT = 15
"""Pictures in which the face is looked for."""

_PAD = 110
_CROP_SCALE = 0.4


@frozen(kw_only=True, eq=False)
class Film:
    """``count`` pictures, 25 a second, of the file at ``path``; ``sound`` (mono) at ``rate_hz``.
    Both begin with the first picture."""

    path: Path
    count: int
    sound: NDArray[np.float32]
    rate_hz: int

    @property
    def times(self) -> NDArray[np.float64]:
        """When each picture is shown, in seconds."""
        return np.arange(self.count) / RATE

    def pictures(self) -> Iterator[Picture]:
        """The pictures, RGB: at each time the one that is shown then. Read anew, one at a time."""
        given = 0
        shown: Picture | None = None
        with av.open(str(self.path)) as container:
            begin: float | None = None
            for frame in container.decode(video=0):
                at = float(frame.time or 0.0)
                begin = at if begin is None else begin
                while shown is not None and given < self.count and given < _slot(at - begin):
                    given += 1
                    yield shown
                shown = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        while shown is not None and given < self.count:
            given += 1
            yield shown

    def sound_at(self, rate_hz: int) -> NDArray[np.int16]:
        """The sound as 16-bit samples at another rate."""
        import soxr

        resampled = soxr.resample(self.sound, self.rate_hz, rate_hz)
        found: NDArray[np.int16] = np.clip(np.rint(resampled * 32767), -32768, 32767).astype(
            np.int16
        )
        return found


def _slot(seconds: float) -> int:
    """The number of the picture that is shown from then on; times are rounded in many files."""
    return round(seconds * RATE)


@frozen(kw_only=True)
class FaceBox:
    """A face's middle and half its side, in pixels."""

    x: float
    y: float
    half: float


def read(path: Path) -> Film:
    """Read a film.

    :raises ValueError: it can't be read, or has no picture or no sound.
    """
    try:
        with av.open(str(path)) as container:
            return _read(container, path)
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path.name} can't be read: {error}") from error


def _read(container: av.container.InputContainer, path: Path) -> Film:
    if not container.streams.video or not container.streams.audio:
        raise ValueError(f"{path.name} has no sound or no picture")
    video, audio = container.streams.video[0], container.streams.audio[0]
    resampler = av.AudioResampler(format="flt", layout="mono")
    times: list[float] = []
    blocks: list[tuple[float, NDArray[np.float32]]] = []
    for packet in container.demux(video, audio):
        if packet.stream is video:
            if packet.pts is not None:
                times.append(float(packet.pts * packet.time_base))
            continue
        for frame in packet.decode():
            if isinstance(frame, av.AudioFrame):
                at = float(frame.time or 0.0)
                blocks += [(at, out.to_ndarray()[0]) for out in resampler.resample(frame)]
    if not times or not blocks:
        raise ValueError(f"{path.name} has no sound or no picture")
    begin, (last, block) = min(times), blocks[-1]
    sound = np.zeros(max(0, round((last - begin) * audio.rate) + len(block)), np.float32)
    for at, block in blocks:
        start = round((at - begin) * audio.rate)
        part = block[max(0, -start) :][: len(sound) - max(0, start)]
        sound[max(0, start) :][: len(part)] = part
    count = _slot(max(times) - begin) + 1
    return Film(path=path, count=count, sound=sound, rate_hz=audio.rate)


def face_box(film: Film) -> FaceBox:
    """The face that looks at the viewer, by OpenCV's cascade; it is taken to stay where it is.

    :raises ValueError: none is found.
    """
    import cv2

    cascade = cv2.CascadeClassifier(
        str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml")
    )
    chosen = {int(n) for n in np.linspace(0, film.count - 1, _LOOKED_AT)}
    found = []
    for number, picture in enumerate(film.pictures()):
        if number not in chosen:
            continue
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        faces = cascade.detectMultiScale(grey, 1.1, 5, minSize=(min(grey.shape) // 6,) * 2)
        if len(faces):
            found.append(max(faces, key=lambda box: int(box[2])))
    if len(found) <= len(chosen) // 3:
        raise ValueError(
            f"there is no face to be found in {film.path.name}; if it was drawn, give the mesh"
        )
    x, y, width, height = np.median(np.array(found), axis=0)
    return FaceBox(x=float(x + width / 2), y=float(y + height / 2), half=float(width / 2))


def mouth_in(face: FaceBox, picture: Picture) -> Box:
    """Where the mouth of ``face`` is, with room for what it does, in shares of ``picture``."""
    height, width = picture.shape[:2]
    return Box(
        top=min(max(0.0, (face.y + 0.35 * face.half) / height), 0.9),
        bottom=min(1.0, (face.y + 1.0 * face.half) / height),
        left=max(0.0, (face.x - 0.5 * face.half) / width),
        right=min(1.0, (face.x + 0.5 * face.half) / width),
    )


def lip_crops(film: Film, face: FaceBox, side: int) -> list[Picture]:
    """What SyncNet is shown, ``(side, side, 3)`` BGR: cropped as its published evaluation does."""
    import cv2

    half, pad = face.half, int(face.half * (1 + 2 * _CROP_SCALE))
    x, y = face.x + pad, face.y + pad
    top, bottom = int(y - half), int(y + half * (1 + 2 * _CROP_SCALE))
    left, right = int(x - half * (1 + _CROP_SCALE)), int(x + half * (1 + _CROP_SCALE))
    crops = []
    for picture in film.pictures():
        wide = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), constant_values=_PAD)
        crop = cv2.resize(wide[top:bottom, left:right], (side, side))
        crops.append(np.asarray(crop[:, :, ::-1], np.uint8))
    return crops
