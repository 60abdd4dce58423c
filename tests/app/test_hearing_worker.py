"""The hearing worker: whose key is accepted is asked before the lesson, and not in it."""

from __future__ import annotations

from collections import deque

import pytest
from attrs import define, field

from maestra.app import composition
from maestra.app.config import Config
from maestra.app.messages import Failed, Hello, Stop
from maestra.app.workers.hearing import HearingSettings, run
from maestra.ports.errors import BackendRefused


@define
class Script:
    """A pipe whose other end is a script."""

    messages: deque[object]
    said: list[object] = field(factory=list)

    def recv(self) -> object:
        return self.messages.popleft()

    def send(self, message: object) -> None:
        self.said.append(message)


class Revoked:
    """An ear whose recogniser's key is not accepted."""

    async def check(self) -> None:
        raise BackendRefused("DEEPGRAM_API_KEY is not accepted")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("anew", [False, True])
def test_a_key_that_was_revoked_ends_no_lesson(monkeypatch: pytest.MonkeyPatch, anew: bool) -> None:
    monkeypatch.setattr(composition, "hearing", lambda config, **options: Revoked())
    script = Script(deque([Stop()]))
    run(script, HearingSettings(config=Config(), fast=False, anew=anew))  # type: ignore[arg-type]

    (said,) = script.said
    if anew:
        assert isinstance(said, Hello)
    else:
        assert isinstance(said, Failed) and said.fatal
        assert BackendRefused.__name__ == said.kind
