"""The playout queue: every word once, in order, and nothing of what is over."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from attrs import frozen
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from maestra.core.playout import Offer, PlayoutQueue

CAPACITY = 6
IDLE_AHEAD = 5


@frozen(kw_only=True)
class Piece:
    slot: int
    epoch: int = 0
    sound: bytes | None = None
    picture: bytes | None = None
    heard_to: int = 0
    last: bool = False


def speech(slot: int, number: int, *, epoch: int = 1, last: bool = False) -> Piece:
    mark = b"%d/%d" % (epoch, number)
    return Piece(slot=slot, epoch=epoch, sound=mark, picture=mark, heard_to=number + 1, last=last)


def idle(slot: int) -> Piece:
    return Piece(slot=slot, picture=b"idle %d" % slot)


def queue() -> PlayoutQueue[Piece]:
    return PlayoutQueue(capacity=CAPACITY, idle_ahead=IDLE_AHEAD)


def test_idle_pictures_are_shown_in_their_slots_in_silence() -> None:
    playout = queue()
    for slot in (0, 2):
        assert playout.offer(idle(slot)) is Offer.QUEUED
    taken = [playout.take(slot) for slot in range(3)]
    assert [one.picture for one in taken] == [b"idle 0", None, b"idle 2"]
    assert [one.sound for one in taken] == [None, None, None]
    assert not any(one.underrun for one in taken)


def test_late_idle_is_dropped_and_far_idle_has_no_room() -> None:
    playout = queue()
    playout.take(0)
    assert playout.offer(idle(0)) is Offer.STALE
    assert playout.offer(idle(1 + IDLE_AHEAD)) is Offer.FULL
    assert playout.statistics().late == 1


def test_speech_replaces_idle_from_its_slot_on() -> None:
    playout = queue()
    for slot in range(4):
        playout.offer(idle(slot))
    playout.offer(speech(1, 0))
    playout.offer(speech(2, 1, last=True))
    taken = [playout.take(slot) for slot in range(4)]
    assert [one.picture for one in taken] == [b"idle 0", b"1/0", b"1/1", b"idle 3"]
    assert [one.started for one in taken] == [False, True, False, False]
    assert [one.finished for one in taken] == [False, False, True, False]


def test_late_speech_is_played_all_the_same_and_the_gap_is_an_underrun() -> None:
    playout = queue()
    playout.offer(speech(0, 0))
    assert playout.take(0).sound == b"1/0"
    gap = playout.take(1)
    assert (gap.sound, gap.underrun) == (None, True)
    playout.offer(speech(1, 1, last=True))
    taken = playout.take(2)
    assert (taken.sound, taken.late, taken.finished) == (b"1/1", True, True)
    assert not playout.take(3).underrun
    statistics = playout.statistics()
    assert (statistics.underruns, statistics.late, statistics.fresh, statistics.held) == (
        1,
        1,
        2,
        2,
    )


def test_pause_keeps_and_resume_goes_on_exactly_there() -> None:
    playout = queue()
    for number in range(3):
        playout.offer(speech(number, number))
    playout.take(0)
    playout.pause(1)
    playout.offer(idle(1))
    silent = playout.take(1)
    assert (silent.sound, silent.picture, silent.underrun) == (None, b"idle 1", False)
    assert playout.heard == (1, 1)
    playout.resume(1)
    assert [playout.take(slot).sound for slot in (2, 3)] == [b"1/1", b"1/2"]


def test_pause_before_the_first_slice_holds_the_reply() -> None:
    playout = queue()
    playout.pause(1)
    playout.offer(speech(0, 0))
    assert playout.take(0).sound is None
    playout.resume(2)  # another's: nothing
    assert playout.take(1).sound is None
    playout.resume(1)
    assert playout.take(2).started


def test_flush_is_silent_at_once_and_for_good() -> None:
    playout = queue()
    for number in range(3):
        playout.offer(speech(number, number))
    playout.take(0)
    playout.flush(1)
    assert playout.heard_to(1) == 1
    assert playout.heard_to(2) == 0
    assert playout.offer(speech(3, 3)) is Offer.STALE
    taken = playout.take(1)
    assert (taken.sound, taken.picture, taken.underrun) == (None, None, False)
    assert playout.offer(speech(2, 0, epoch=2)) is Offer.QUEUED
    assert playout.take(2).sound == b"2/0"


def test_a_newer_reply_ends_an_older_one_even_a_paused_one() -> None:
    playout = queue()
    playout.offer(speech(0, 0))
    playout.pause(1)
    playout.offer(speech(0, 0, epoch=2))
    assert playout.offer(speech(1, 1)) is Offer.STALE
    assert [playout.take(0).sound, playout.take(1).sound] == [b"2/0", None]


def test_full_is_refused_whole() -> None:
    playout = queue()
    offers = [playout.offer(speech(0, number)) for number in range(CAPACITY + 1)]
    assert offers == [Offer.QUEUED] * CAPACITY + [Offer.FULL]
    assert not playout.has_room


def test_slots_are_taken_in_order() -> None:
    playout = queue()
    with pytest.raises(ValueError, match="slot 0 is next, not 1"):
        playout.take(1)
    assert playout.slot == 0


def test_skipped_slots_lose_idle_but_no_speech() -> None:
    playout = queue()
    playout.offer(idle(1))
    playout.offer(speech(2, 0, last=True))
    playout.skip(4)
    assert playout.take(4).sound == b"1/0"
    statistics = playout.statistics()
    assert (statistics.slots, statistics.skipped) == (5, 4)


def test_covered_says_whether_there_is_a_slice_for_the_next_slot() -> None:
    playout = queue()
    assert not playout.covered
    playout.offer(speech(1, 0))
    assert not playout.covered
    playout.offer(idle(0))
    assert playout.covered
    playout.take(0)
    assert playout.covered
    playout.pause(1)
    assert not playout.covered


def test_on_a_virtual_clock_speech_does_not_wait_for_its_slot() -> None:
    playout: PlayoutQueue[Piece] = PlayoutQueue(punctual=False)
    playout.offer(speech(7, 0))
    assert playout.take(0).sound == b"1/0"


def test_current_and_waited_for() -> None:
    playout = queue()
    assert (playout.current, playout.is_waited_for(1)) == (0, True)
    playout.offer(speech(0, 0))
    assert (playout.current, playout.is_waited_for(1)) == (1, True)
    playout.pause(1)
    assert (playout.current, playout.is_waited_for(1)) == (1, False)
    playout.flush(1)
    assert (playout.current, playout.is_waited_for(1)) == (0, False)
    assert playout.is_waited_for(2)


class Lesson(RuleBasedStateMachine):
    """Drives the queue as a speaker and a session would, and keeps its own simple books."""

    def __init__(self) -> None:
        super().__init__()
        self.playout = queue()
        self.slot = 0
        self.epoch = 1
        self.made = 0
        self.ended = False
        self.waiting: list[Piece] = []
        self.played: list[tuple[int, int]] = []
        self.over = 0
        self.paused = False

    @rule(ahead=st.integers(0, 3), last=st.booleans(), with_picture=st.booleans())
    def speak(self, ahead: int, last: bool, with_picture: bool) -> None:
        if self.ended or self.epoch <= self.over:
            return
        mark = b"%d/%d" % (self.epoch, self.made)
        piece = Piece(
            slot=self.slot + ahead,
            epoch=self.epoch,
            sound=mark,
            picture=mark if with_picture else None,
            heard_to=self.made + 1,
            last=last,
        )
        offer = self.playout.offer(piece)
        if len(self.waiting) >= CAPACITY:
            assert offer is Offer.FULL
            return
        assert offer is Offer.QUEUED
        self.waiting.append(piece)
        self.made += 1
        self.ended = last

    @rule(epoch=st.integers(0, 5), ahead=st.integers(0, 3))
    def speak_of_the_past(self, epoch: int, ahead: int) -> None:
        if 0 < epoch < self.epoch or 0 < epoch <= self.over:
            assert self.playout.offer(speech(self.slot + ahead, 99, epoch=epoch)) is Offer.STALE

    @rule(ahead=st.integers(-2, IDLE_AHEAD + 2))
    def idle(self, ahead: int) -> None:
        offer = self.playout.offer(idle(self.slot + ahead))
        if 0 <= ahead < IDLE_AHEAD:
            assert offer is Offer.QUEUED
        else:
            assert offer in (Offer.STALE, Offer.FULL)

    @rule()
    def next_reply(self) -> None:
        self.epoch += 1
        self.made, self.ended = 0, False
        # Its first slice is what ends the old one, for the queue.
        piece = speech(self.slot, 0, epoch=self.epoch)
        assert self.playout.offer(piece) is Offer.QUEUED
        self.waiting, self.made, self.paused = [piece], 1, False
        self.over = self.epoch - 1

    @rule()
    def pause(self) -> None:
        self.playout.pause(self.epoch)
        if self.epoch > self.over:
            self.paused = True

    @rule()
    def resume(self) -> None:
        self.playout.resume(self.epoch)
        self.paused = False

    @rule(back=st.integers(0, 1))
    def flush(self, back: int) -> None:
        epoch = self.epoch - back
        self.playout.flush(epoch)
        self.over = max(self.over, epoch)
        if epoch == self.epoch:
            self.waiting, self.paused = [], False

    @rule(count=st.integers(1, 3))
    def skip(self, count: int) -> None:
        self.slot += count
        self.playout.skip(self.slot)

    @rule()
    def take(self) -> None:
        due = not self.paused and self.waiting and self.waiting[0].slot <= self.slot
        taken = self.playout.take(self.slot)
        assert taken.slot == self.slot
        self.slot += 1
        if not due:
            assert taken.sound is None
            assert taken.epoch == 0
            assert taken.picture in (None, b"idle %d" % taken.slot)
            return
        piece = self.waiting.pop(0)
        assert (taken.sound, taken.picture) == (piece.sound, piece.picture)
        assert taken.epoch == piece.epoch > self.over
        assert piece.sound is not None
        epoch, number = (int(part) for part in piece.sound.split(b"/"))
        # Each once, in order, and never two replies mixed.
        assert number == sum(1 for played, _ in self.played if played == epoch)
        assert not self.played or epoch >= self.played[-1][0]
        assert taken.started == (number == 0)
        self.played.append((epoch, number))
        assert self.playout.heard == (epoch, number + 1)
        if piece.last:
            assert taken.finished
            self.over = max(self.over, epoch)

    @invariant()
    def the_queue_is_bounded_and_agrees(self) -> None:
        assert self.playout.queued == len(self.waiting) <= CAPACITY
        assert self.playout.slot == self.slot

    def teardown(self) -> None:
        statistics = self.playout.statistics()
        assert statistics.slots == self.slot
        assert statistics.fresh + statistics.held + statistics.skipped == self.slot


Lesson.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLesson = Lesson.TestCase
