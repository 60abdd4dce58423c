"""What the service and a runner say to each other stays whole."""

from __future__ import annotations

import json
import socket

import anyio
import pytest

from maestra.app.service.lines import Lines

pytestmark = pytest.mark.anyio


async def test_who_is_cancelled_in_the_middle_of_a_line_leaves_no_half() -> None:
    ours, theirs = socket.socketpair()
    speaker, listener = await Lines.of(ours), await Lines.of(theirs)
    long = {"text": "x" * 2_000_000}  # far more than a socket takes at once
    scope = anyio.CancelScope()

    async def say() -> None:
        with scope:
            await speaker.send(long)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            tasks.start_soon(speaker.send, {"text": "next"})
            heard = [await listener.receive(), await listener.receive()]
    await speaker.aclose()
    await listener.aclose()

    assert heard == [long, {"text": "next"}]


@pytest.mark.parametrize("value", [float("nan"), "half a \ud83c", "x" * 4_200_000])
async def test_what_cannot_be_heard_is_not_said(value: object) -> None:
    ours, theirs = socket.socketpair()
    speaker, listener = await Lines.of(ours), await Lines.of(theirs)
    with anyio.fail_after(10):
        with pytest.raises(ValueError):
            await speaker.send({"value": value})
        await speaker.send({"a": 1})
        assert await listener.receive() == {"a": 1}
    await speaker.aclose()
    await listener.aclose()


@pytest.mark.parametrize("line", ["[1]", "{", '"x"', '{"a": ' + 100_000 * "["])
async def test_what_is_no_message_is_said_to_be_none(line: str) -> None:
    ours, theirs = socket.socketpair()
    listener = await Lines.of(theirs)
    ours.sendall(line.encode() + b"\n" + json.dumps({"a": 1}).encode() + b"\n")
    with pytest.raises(ValueError):
        await listener.receive()

    assert await listener.receive() == {"a": 1}
    ours.close()
    await listener.aclose()
