"""How soon something that is being made stops when nobody wants it any more."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from maestra.app.backends import CATALOGUE

__all__ = ["cancels", "how_soon_quiet", "quickest"]

_TIMES = 40


def cancels(port: str, name: str) -> bool:
    """Whether the table says so of the backend ``name``; a fake's is not in it."""
    return name == "fake" or bool(CATALOGUE[port, name].cancels)


async def quickest(once: Callable[[], Awaitable[float]], bound: float, *, times: int = 3) -> None:
    """Assert that ``once`` says less than ``bound`` (s), at the best of so many ``times``: what is
    slow is slow each time, a machine that is busy is not."""
    took = [await once()]
    while min(took) >= bound and len(took) < times:
        took.append(await once())
    assert min(took) < bound, took


async def how_soon_quiet(name: str, begin: Callable[[], AsyncIterator[object]]) -> float:
    """Cancel whoever iterates over ``begin()`` at moments spread over its whole time; print how
    long it takes until that has ended, and return the 95th percentile (s)."""
    whole = anyio.current_time()
    async for _ in begin():
        pass
    whole = anyio.current_time() - whole
    taken = [
        1000 * await _cut_off(begin, whole * (number + 0.5) / _TIMES) for number in range(_TIMES)
    ]
    cuts = statistics.quantiles(taken, n=20, method="inclusive")
    print(
        f"{name}: p50 {statistics.median(taken):.2f} ms, p95 {cuts[-1]:.2f} ms,"
        f" longest {max(taken):.2f} ms, n {_TIMES}, each of {whole:.2f} s"
    )
    return cuts[-1] / 1000


async def _cut_off(begin: Callable[[], AsyncIterator[object]], after: float) -> float:
    """Seconds until it has ended that is cancelled ``after`` so many seconds."""

    async def use() -> None:
        async for _ in begin():
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await anyio.sleep(after)
        begun = anyio.current_time()
        tasks.cancel_scope.cancel()
    return anyio.current_time() - begun
