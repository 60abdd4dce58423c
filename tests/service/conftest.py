"""What the service's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fakes.service import Caller


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """Somebody with the token, and a service whose sessions hold no lesson."""
    from fakes.service import calling  # whose libraries are an extra

    async with calling() as one:
        yield one
