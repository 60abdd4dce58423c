"""What the session does for an adapter that lives as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from maestra.ports.lifetime import Lives

__all__ = ["living"]


@asynccontextmanager
async def living(adapter: object) -> AsyncGenerator[None]:
    """Have ``adapter`` live meanwhile, if it does that. Errors pass as they are."""
    if not isinstance(adapter, Lives):
        yield
        return
    life = asyncio.create_task(adapter.live())
    await asyncio.sleep(0)
    try:
        yield
        assert not life.done(), "it lives until it is cancelled"
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
