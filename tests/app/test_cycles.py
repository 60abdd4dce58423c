"""What lessons that come and go have left behind."""

from __future__ import annotations

import pytest

pytest.importorskip("psutil")

from attrs import evolve

from maestra.app.experiments.many_lessons.cycles import Cycle, Left, compare


def cycles(count: int, *, grows: int, until: int) -> list[Cycle]:
    """So many, with a service that grows by so many bytes in each of the first ``until``."""
    return [
        Cycle(
            number=number,
            loading=1.0,
            stopping=1.0,
            processes=6,
            descriptors=20,
            threads=4,
            uss=10**8 + grows * min(number, until),
            children=0,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "until", "memory", "wrong"),
    [
        (200, 200, 9_000_000, True),
        (200, 100, 0, False),  # it remembers a hundred that have ended
        (140, 140, 3_000_000, False),
        (119, 119, None, False),  # too few to tell
    ],
)
def test_a_service_that_goes_on_growing_is_found(
    count: int, until: int, memory: int | None, wrong: bool
) -> None:
    left = Left()
    compare(cycles(count, grows=100_000, until=until), left)

    assert (left.memory, bool(left)) == (memory, wrong)


def test_a_connection_that_is_being_closed_is_not_left_behind() -> None:
    found = cycles(30, grows=0, until=0)
    left = Left()
    compare([*found[:-1], evolve(found[-1], descriptors=21)], left)
    assert not left

    compare([evolve(one, descriptors=20 + one.number) for one in found], left)
    assert left.descriptors == 18
