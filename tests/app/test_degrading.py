"""When a face is slow: fewer pictures, then held, then still, and back."""

from __future__ import annotations

from maestra.app.workers.degrading import HELD_AFTER, STILL_AFTER, Degrading, Level


class Face:
    """Draws on a virtual clock, and remembers which levels were said."""

    def __init__(self) -> None:
        self.degrading = Degrading()
        self.now = 100.0
        self.said: list[tuple[Level, str]] = []

    def draws(self, seconds: float, *, took: float) -> list[Level]:
        """For so long, one picture after the other, and never faster than they are shown."""
        begun, end = len(self.said), self.now + seconds
        while self.now < end:
            waited = 0.0
            while waited + 0.04 < took:
                waited += 0.04
                self._note(self.degrading.waits(self.now + waited, waited))
            self.now += max(took, 0.04)
            self._note(self.degrading.came(self.now, took))
        return [level for level, _ in self.said[begun:]]

    def hangs(self, seconds: float) -> list[Level]:
        begun = len(self.said)
        for n in range(1, round(seconds / 0.04) + 1):
            self._note(self.degrading.waits(self.now + n * 0.04, n * 0.04))
        self.now += seconds
        return [level for level, _ in self.said[begun:]]

    def _note(self, cause: str) -> None:
        if cause:
            self.said.append((self.degrading.level, cause))


def test_a_quick_face_is_left_alone_and_a_hiccup_is_forgiven() -> None:
    face = Face()
    assert [] == face.draws(5, took=0.01)
    assert [] == face.draws(0.1, took=0.2)
    assert [] == face.draws(5, took=0.03)


def test_half_speed_means_every_second_slot_until_it_is_quick_enough() -> None:
    face = Face()
    assert [Level.FEWER] == face.draws(5, took=0.08)
    assert "2.0 times" in face.said[-1][1]
    assert [] == face.draws(5, took=0.04), "not quick enough to draw all"
    begun = face.now
    assert [Level.FULL] == face.draws(3, took=0.02)
    assert face.now - begun < 4


def test_a_hanging_face_is_held_then_still_and_comes_back_by_steps() -> None:
    face = Face()
    face.draws(1, took=0.01)
    assert [] == face.hangs(HELD_AFTER - 0.05)
    assert [Level.HELD, Level.STILL] == face.hangs(STILL_AFTER + 1)
    assert [Level.FEWER, Level.FULL] == face.draws(3, took=0.01)


def test_a_face_that_takes_long_for_each_picture_says_so_once() -> None:
    face = Face()
    assert [Level.HELD] == face.draws(20, took=0.7)
    assert [Level.STILL] == face.draws(20, took=1.3)
    assert [Level.HELD] == face.draws(5, took=0.7)
