"""The playout queue: which picture and which sound each output slot gets.

A slot is 40 ms of output. For every slot the runtime calls :meth:`PlayoutQueue.take` once, in
order, and writes what it is given, whatever has or has not arrived. There are two kinds of slices:

* *Idle* (epoch 0): a picture for one certain slot, silent. Too late, it is dropped.
* *Speech* (epoch > 0): part of a reply. Those of a reply form an ordered queue that is played one
  per slot; its ``slot`` says when it wants to be played at the earliest. Too late, it is played as
  soon as possible: a gap in the queue is silence (an underrun), never a lost word.

Speech goes before idle. A slice is taken whole or not at all, so picture and sound of a reply
cannot drift apart. Epochs only grow: what carries an older one than the newest speech seen, or a
flushed one, is dropped here at once.

The caller reads no clock for us and gets no I/O from us: slots are the only time there is.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Generic, Protocol, TypeVar

from attrs import asdict, define, frozen

__all__ = ["Offer", "PlayoutQueue", "PlayoutSlice", "PlayoutStatistics", "Taken"]


class PlayoutSlice(Protocol):
    """One A/V slice; ``sound`` ``None`` is silence, ``picture`` ``None`` holds the last one.

    ``heard_to`` is how many characters of the reply have been spoken when this slice ends;
    ``last`` ends the reply.
    """

    @property
    def slot(self) -> int: ...

    @property
    def epoch(self) -> int: ...

    @property
    def sound(self) -> bytes | None: ...

    @property
    def picture(self) -> bytes | None: ...

    @property
    def heard_to(self) -> int: ...

    @property
    def last(self) -> bool: ...


S = TypeVar("S", bound=PlayoutSlice)


class Offer(enum.Enum):
    """What became of a slice that was offered."""

    QUEUED = "queued"
    STALE = "stale"
    """Its epoch is over, or its idle slot has passed: dropped."""
    FULL = "full"
    """There is no room: dropped whole. Ask :attr:`PlayoutQueue.has_room` first."""


@frozen(kw_only=True)
class Taken(Generic[S]):
    """What to write for ``slot``.

    ``slice`` is ``None`` where there is none: silence, and the last picture again. ``epoch`` is the
    reply that is heard in this slot, 0 for none. ``started`` marks the first sound of a reply,
    ``finished`` the last slice of one; ``underrun`` a gap within one; ``late`` a slice of speech
    that comes after the slot it was made for.
    """

    slot: int
    slice: S | None
    epoch: int = 0
    started: bool = False
    finished: bool = False
    underrun: bool = False
    late: bool = False

    @property
    def sound(self) -> bytes | None:
        return self.slice.sound if self.slice is not None and self.epoch else None

    @property
    def picture(self) -> bytes | None:
        return self.slice.picture if self.slice is not None else None


@frozen(kw_only=True)
class PlayoutStatistics:
    """Counts over the slots since the last call of :meth:`PlayoutQueue.statistics`.

    ``fresh`` slots had a picture of their own, ``held`` ones the last picture again, ``skipped``
    ones nothing at all. ``late`` counts slices that came after their slot (idle: dropped; speech:
    played later). ``queued`` is how many slices of speech wait now.
    """

    slots: int
    fresh: int
    held: int
    skipped: int
    underruns: int
    late: int
    queued: int


@define(kw_only=True)
class _Counts:
    slots: int = 0
    fresh: int = 0
    held: int = 0
    skipped: int = 0
    underruns: int = 0
    late: int = 0


class PlayoutQueue(Generic[S]):
    """See the module.

    ``capacity`` bounds the speech that waits, ``idle_ahead`` how many slots ahead an idle slice may
    lie; both in slots. If not ``punctual``, speech is played as soon as it is there, whatever slot
    it was made for: on a virtual clock nobody sees, and the result must not depend on how fast it
    was made.
    """

    def __init__(self, *, capacity: int = 50, idle_ahead: int = 25, punctual: bool = True) -> None:
        if capacity < 1 or idle_ahead < 1:
            raise ValueError("a playout queue holds at least one slice of each kind")
        self._capacity = capacity
        self._idle_ahead = idle_ahead
        self._punctual = punctual
        self._slot = 0
        self._speech: deque[S] = deque()
        self._idle: dict[int, S] = {}
        self._newest = 0  # the newest epoch of speech that was seen
        self._over = 0  # this epoch and all before it are over: flushed or played out
        self._paused = 0  # the epoch that is paused, 0 for none
        self._sounding = 0  # the epoch whose first sound has been played
        self._begun = 0  # the epoch of which a slice has been played and not yet the last
        self._heard = (0, 0)
        self._counts = _Counts()

    @property
    def slot(self) -> int:
        """The next slot to be taken."""
        return self._slot

    @property
    def queued(self) -> int:
        """How many slices of speech wait."""
        return len(self._speech)

    @property
    def has_room(self) -> bool:
        """Whether a slice of speech would find room."""
        return len(self._speech) < self._capacity

    @property
    def current(self) -> int:
        """The reply that is being played, paused or about to be; 0 for none."""
        return self._newest if self._newest > self._over else 0

    def is_waited_for(self, epoch: int) -> bool:
        """Whether slices of reply ``epoch`` may yet have to be played: not paused, not over."""
        return epoch > self._over and epoch >= self._newest and not self._paused

    @property
    def heard(self) -> tuple[int, int]:
        """The playback position: (epoch, characters of that reply that have been played)."""
        return self._heard

    @property
    def covered(self) -> bool:
        """Whether there is a slice, and not merely nothing, to give for the next slot."""
        return self._speech_is_due() or self._slot in self._idle

    def heard_to(self, epoch: int) -> int:
        """How many characters of reply ``epoch`` have been played."""
        return self._heard[1] if self._heard[0] == epoch else 0

    def offer(self, item: S) -> Offer:
        """Queue a slice, whole or not at all."""
        if item.epoch == 0:
            return self._offer_idle(item)
        if item.epoch <= self._over or item.epoch < self._newest:
            return Offer.STALE
        if item.epoch > self._newest:
            self._newest = item.epoch
            self._end(item.epoch - 1)
        if not self.has_room:
            return Offer.FULL
        self._speech.append(item)
        return Offer.QUEUED

    def _offer_idle(self, item: S) -> Offer:
        if item.slot < self._slot:
            self._counts.late += 1
            return Offer.STALE
        if item.slot >= self._slot + self._idle_ahead:
            return Offer.FULL
        self._idle[item.slot] = item
        return Offer.QUEUED

    def take(self, slot: int) -> Taken[S]:
        """What to write for ``slot``, which must be the next one.

        :raises ValueError: it is not; nothing changes.
        """
        if slot != self._slot:
            raise ValueError(f"slot {self._slot} is next, not {slot}")
        idle = self._idle.pop(slot, None)
        taken = self._take_speech() if self._speech_is_due() else self._take_idle(idle)
        self._slot += 1
        counts = self._counts
        counts.slots += 1
        counts.fresh += taken.picture is not None
        counts.held += taken.picture is None
        counts.underruns += taken.underrun
        counts.late += taken.late
        return taken

    def skip(self, slot: int) -> None:
        """Slots before ``slot`` are not written: the machine was asleep. No speech is lost."""
        skipped = max(0, slot - self._slot)
        self._slot += skipped
        self._counts.slots += skipped
        self._counts.skipped += skipped
        for past in [number for number in self._idle if number < self._slot]:
            del self._idle[past]

    def _speech_is_due(self) -> bool:
        if self._paused or not self._speech:
            return False
        return self._speech[0].slot <= self._slot or not self._punctual

    def _take_speech(self) -> Taken[S]:
        item = self._speech.popleft()
        started = item.sound is not None and self._sounding != item.epoch
        if started:
            self._sounding = item.epoch
        self._begun = item.epoch
        self._heard = (item.epoch, item.heard_to)
        if item.last:
            self._end(item.epoch)
        return Taken(
            slot=self._slot,
            slice=item,
            epoch=item.epoch,
            started=started,
            finished=item.last,
            late=item.slot < self._slot,
        )

    def _take_idle(self, idle: S | None) -> Taken[S]:
        return Taken(slot=self._slot, slice=idle, underrun=bool(self._begun) and not self._paused)

    def pause(self, epoch: int) -> None:
        """Silence from the next slot on; keep the speech of reply ``epoch``. Stale: nothing."""
        if epoch > self._over and epoch >= self._newest:
            self._paused = epoch

    def resume(self, epoch: int) -> None:
        """Go on with reply ``epoch`` exactly where it was paused. Not paused: nothing."""
        if self._paused == epoch:
            self._paused = 0

    def flush(self, epoch: int) -> None:
        """Silence from the next slot on; drop what carries ``epoch`` or less, now and later."""
        self._end(epoch)

    def statistics(self) -> PlayoutStatistics:
        """The counts since the last call."""
        counts, self._counts = self._counts, _Counts()
        return PlayoutStatistics(**asdict(counts), queued=self.queued)

    def _end(self, epoch: int) -> None:
        """Epoch ``epoch`` and all before it are over."""
        self._over = max(self._over, epoch)
        self._newest = max(self._newest, self._over)
        self._speech = deque(item for item in self._speech if item.epoch > self._over)
        if self._paused <= self._over:
            self._paused = 0
        if self._begun <= self._over:
            self._begun = 0
