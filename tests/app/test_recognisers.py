"""Recognisers in a line: one that fails is replaced within the utterance, and comes back."""

from __future__ import annotations

import anyio
import numpy as np
import pytest
from fakes.senses import FakeRecogniser, FakeStreamingRecogniser

from maestra.app.messages import Failed, Switched
from maestra.app.recognisers import RecogniserLine
from maestra.ports.errors import BackendRefused, SensesError

SOUND = np.zeros(16_000, np.float32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def line(*recognisers: FakeRecogniser, clock: Clock | None = None) -> RecogniserLine:
    names = ("cloud", "local", "third")
    return RecogniserLine(list(zip(names, recognisers, strict=False)), clock=clock or Clock())


def test_the_first_serves_and_hears() -> None:
    cloud, local = FakeStreamingRecogniser("from afar"), FakeRecogniser("from here")
    both = line(cloud, local)
    both.expect(["Teacher"])
    both.begin(SOUND)
    both.hear(SOUND)

    assert both.streams
    assert "from afar" == both.so_far().text == both.transcribe(SOUND).text
    assert [2.0] == cloud.heard
    assert [] == local.asked == both.reports()
    assert ("Teacher",) == cloud.expected == local.expected


def test_the_same_words_are_asked_of_the_next() -> None:
    cloud = FakeStreamingRecogniser("", error=SensesError("no connection"))
    both = line(cloud, FakeRecogniser("from here"))
    both.begin(SOUND)

    assert "from here" == both.transcribe(SOUND).text
    failed, switched = both.reports()
    assert isinstance(failed, Failed) and isinstance(switched, Switched)
    assert ("cloud", "no connection") == (failed.adapter, failed.text)
    assert ("cloud", "local") == (switched.before, switched.after)


def test_who_fails_again_and_again_hears_nothing_until_it_is_tried_again() -> None:
    clock = Clock()
    cloud = FakeStreamingRecogniser("from afar", error=SensesError("no connection"))
    both = line(cloud, FakeRecogniser("from here"), clock=clock)
    for _ in range(4):
        both.begin(SOUND)
        both.transcribe(SOUND)
    assert len(cloud.heard) == 2
    assert not both.streams
    assert "" == both.so_far().text

    clock.now, cloud.error = 60.0, None
    both.begin(SOUND)
    assert "from afar" == both.transcribe(SOUND).text
    assert isinstance(both.reports()[-1], Switched)


def test_one_that_streams_and_is_not_the_first_hears_each_utterance_whole() -> None:
    local = FakeRecogniser("", error=SensesError("broken"))
    cloud = FakeStreamingRecogniser("from afar")
    both = line(local, cloud)
    for seconds in (1, 4, 3):
        utterance = np.zeros(16_000 * seconds, np.float32)
        both.begin(utterance)
        both.transcribe(utterance)

    assert [1.0, 4.0, 3.0] == cloud.heard


def test_one_that_is_tried_again_in_mid_utterance_hears_what_it_missed() -> None:
    clock = Clock()
    cloud = FakeStreamingRecogniser("from afar", error=SensesError("no connection"))
    both = line(cloud, FakeRecogniser("from here"), clock=clock)
    for _ in range(2):
        both.begin(SOUND)
        both.transcribe(SOUND)
    cloud.heard.clear()
    both.begin(SOUND)
    both.hear(SOUND)
    clock.now, cloud.error = 60.0, None

    assert "from afar" == both.transcribe(np.zeros(32_000, np.float32)).text
    assert [2.0] == cloud.heard


def test_when_all_fail_the_last_ones_error_is_told_and_it_is_asked_again() -> None:
    local = FakeRecogniser("from here", error=ValueError("odd"))
    both = line(FakeRecogniser("", error=SensesError("away")), local)
    for _ in range(4):
        with pytest.raises(SensesError, match="ValueError: odd"):
            both.transcribe(SOUND)
    local.error = None
    assert "from here" == both.transcribe(SOUND).text


def test_closing_it_closes_all() -> None:
    cloud = FakeStreamingRecogniser("")
    line(FakeRecogniser(""), cloud).close()

    assert cloud.closed


class Checked(FakeRecogniser):
    def __init__(self, text: str, error: Exception | None = None) -> None:
        super().__init__(text)
        self._refusal = error

    async def check(self) -> None:
        if self._refusal is not None:
            raise self._refusal


def test_a_refused_key_is_told_and_a_lost_connection_reported() -> None:
    both = line(Checked("", SensesError("no route")), FakeRecogniser("from here"))
    anyio.run(both.check)
    (failed,) = both.reports()
    assert isinstance(failed, Failed)
    assert ("cloud", "no route") == (failed.adapter, failed.text)

    both = line(FakeRecogniser("from here"), Checked("", BackendRefused("KEY is not accepted")))
    with pytest.raises(BackendRefused, match="KEY is not accepted"):
        anyio.run(both.check)
