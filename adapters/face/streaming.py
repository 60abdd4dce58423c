"""What the faces share: speech cut into the moments of pictures, in batches that fit the pace."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ
from maestra.ports.errors import FaceError, FaceOutOfMemory, PortError
from maestra.ports.face import Frame

if TYPE_CHECKING:
    from maestra.ports.audio import Picture, Samples

    from .seams import Seams

__all__ = ["REMEMBERED", "Moment", "StreamingFace"]

REMEMBERED = 256
"""How many pictures back ``clear`` may step without the sound before them being forgotten."""


@frozen(kw_only=True, eq=False)
class Moment:
    """What picture ``number`` is of.

    ``sound`` is mono at ``PLAYOUT_RATE_HZ``, from the face's ``look_back`` before the time that the
    picture lasts to its ``look_ahead`` after it: what is heard there, and zeros after the reply and
    where it has not been spoken yet. ``speaking`` is false for an idle picture, which is of zeros.
    """

    number: int
    sound: Samples
    speaking: bool


class StreamingFace(ABC):
    """A ``maestra.ports.face.Face`` whose pictures are drawn by ``draw``, some at once.

    A batch is never longer than the speech that is known together with its look-ahead. Within that
    it doubles, up to ``most_at_once``, when drawing takes longer than showing, and halves when it
    takes less than half as long: one picture at once is soonest seen. When the device has no room
    for a batch, ``most_at_once`` is halved for good.

    :param look_back: seconds of sound before a picture that ``draw`` wants.
    :param look_ahead: seconds of sound after it.
    :param seams: absent, pictures are shown as they are drawn (see ``Seams``).
    :param clock: seconds; what the pace is measured by.
    """

    width: int
    height: int
    frame_rate: int = FRAME_RATE
    warm_up: float = 0.0

    def __init__(
        self,
        *,
        look_back: float,
        look_ahead: float,
        most_at_once: int = 1,
        seams: Seams | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.look_ahead = look_ahead
        self._back = round(look_back * PLAYOUT_RATE_HZ)
        self._ahead = round(look_ahead * PLAYOUT_RATE_HZ)
        self._length = PLAYOUT_RATE_HZ // self.frame_rate
        self._clock = clock
        self._seams = seams
        self._most_at_once = most_at_once
        self._at_once = 1
        self._held = 0
        self._lock = threading.Lock()
        self._silence = np.zeros(self._length, np.float32)
        # The sound of each of the last pictures, and the speech that no picture is of yet.
        self._said: deque[Samples] = deque(maxlen=REMEMBERED - -self._back // self._length)
        self._speech = np.zeros(0, np.float32)
        self._last = False
        self._number = 0
        self._generation = 0
        self._ready: deque[Frame] = deque()

    @abstractmethod
    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        """The pictures of ``moments``, which follow one another. One call at a time.

        Their numbers step back, or leap, after a ``clear``: they are to go on from the state that
        the last picture before them left behind.

        :raises FaceOutOfMemory: there is no room for so many at once.
        :raises FaceError: it failed.
        """

    def push(self, speech: Samples, *, last: bool = False) -> None:
        """See ``maestra.ports.face.Face``."""
        with self._lock:
            parts = [self._speech]
            if self._last:  # the next reply begins with a picture of its own
                parts.append(np.zeros(-len(self._speech) % self._length, np.float32))
            parts.append(np.asarray(speech, np.float32).reshape(-1))
            self._speech = np.concatenate(parts)
            self._last = last

    def clear(self, number: int) -> None:
        """See ``maestra.ports.face.Face``."""
        with self._lock:
            self._generation += 1
            self._ready.clear()
            if number > self._number:
                self._say(number - self._number)
            for _ in range(min(self._number - number, len(self._said))):
                self._said.pop()
            self._speech = np.zeros(0, np.float32)
            self._last = False
            self._number = number

    def hold(self, count: int) -> None:
        """Draw ``count`` pictures at once from now on, whatever the pace, where so many are known;
        0 goes by the pace again. For who measures."""
        self._held = count

    def frames(self) -> Iterator[Frame]:
        """See ``maestra.ports.face.Face``."""
        while True:
            with self._lock:
                frame = self._ready.popleft() if self._ready else None
            if frame is None:
                frame = self._draw_some()
            if frame is not None:
                yield frame

    def _draw_some(self) -> Frame | None:
        """Draw the next batch, and keep all but its first picture for later; ``None`` if it was
        cleared away while it was drawn."""
        with self._lock:
            generation = self._generation
            moments = self._take()
        begun = self._clock()
        try:
            pictures = self.draw(moments)
            if len(pictures) != len(moments):
                raise FaceError(f"drew {len(pictures)} pictures instead of {len(moments)}")
        except FaceOutOfMemory as error:
            raise self._shrunk(generation, moments, error) from error
        except PortError:
            raise
        except Exception as error:
            raise FaceError(
                f"could not draw picture {moments[0].number}: {type(error).__name__}: {error}"
            ) from error
        if (seams := self._seams) is not None:
            pictures = [
                seams.shown(moment.number, picture, speaking=moment.speaking)
                for moment, picture in zip(moments, pictures, strict=True)
            ]
        self._fit((self._clock() - begun) * self.frame_rate / len(moments))
        drawn = [
            Frame(number=moment.number, picture=picture, ready=moments[-1].number - moment.number)
            for moment, picture in zip(moments, pictures, strict=True)
        ]
        with self._lock:
            if generation != self._generation:
                return None
            self._ready.extend(drawn[1:])
        return drawn[0]

    def _take(self) -> list[Moment]:
        """The next moments, as many as may be drawn at once."""
        known = len(self._speech)
        if self._last:
            drawable = -(-known // self._length)
        elif known >= self._length:
            drawable = max(1, (known - self._ahead) // self._length)
        else:
            drawable = 0
        if not drawable:
            window = np.zeros(self._back + self._length + self._ahead, np.float32)
            moments = [Moment(number=self._number, sound=window, speaking=False)]
            self._said.append(self._silence)
        else:
            count = min(self._held or self._at_once, drawable)
            within = self._speech[: count * self._length + self._ahead]
            sound = np.concatenate([self._before(), within])
            moments = [self._moment(sound, index) for index in range(count)]
            self._say(count)
        self._number += len(moments)
        return moments

    def _before(self) -> Samples:
        """The sound of the last ``look_back``; silence before the first picture."""
        pictures = -(-self._back // self._length)
        last = [*islice(reversed(self._said), pictures)][::-1]
        sound = np.concatenate([np.zeros(self._back, np.float32), *last])
        return sound[len(sound) - self._back :]

    def _moment(self, sound: Samples, index: int) -> Moment:
        window = np.zeros(self._back + self._length + self._ahead, np.float32)
        known = sound[index * self._length :][: len(window)]
        window[: len(known)] = known
        return Moment(number=self._number + index, sound=window, speaking=True)

    def _say(self, count: int) -> None:
        """``count`` more pictures have their sound; silence where there is none left."""
        kept = min(count, self._said.maxlen or count)
        self._speech = self._speech[(count - kept) * self._length :]
        for _ in range(kept):
            part = self._speech[: self._length]
            self._said.append(np.pad(part, (0, self._length - len(part))))
            self._speech = self._speech[self._length :]

    def _shrunk(
        self, generation: int, moments: Sequence[Moment], error: FaceOutOfMemory
    ) -> FaceOutOfMemory:
        """Draw fewer at once from now on, and ``moments`` again."""
        with self._lock:
            if generation == self._generation:
                said = [self._said.pop() for _ in moments][::-1]
                if moments[0].speaking:
                    self._speech = np.concatenate([*said, self._speech])
                self._number = moments[0].number
        if len(moments) == 1:
            return error
        self._most_at_once = self._at_once = len(moments) // 2
        self._held = 0
        return FaceOutOfMemory(
            f"There is no room to draw {len(moments)} pictures at once: {self._at_once} from now"
            " on.",
            shrunk=True,
        )

    def _fit(self, pace: float) -> None:
        """Fit the batch's size to ``pace``: a picture's time to draw ÷ the time it is shown."""
        if pace > 1:
            self._at_once = min(self._at_once * 2, self._most_at_once)
        elif pace < 0.5:
            self._at_once = max(self._at_once // 2, 1)
