"""A face that is slow, hangs, fails or has no memory left, in a whole lesson: what is heard and
seen."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from fakes.distribution import bring
from numpy.typing import NDArray

from maestra.app.config import Config, FaceConfig
from maestra.app.session import open_session
from maestra.core import log

from .event_logs import records
from .test_whole_lessons import excerpt

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.models,
]

_FACE = '''
import os, time
from maestra.adapters.face.puppet import Puppet
from maestra.app import personas
from maestra.ports.errors import FaceOutOfMemory

class Failing(Puppet):
    """The puppet. While it speaks, from its tenth picture on, something goes wrong."""

    spoken = 0

    def draw(self, moments):
        self.spoken += sum(moment.speaking for moment in moments)
        if self.spoken > 10:
            match os.environ["FAILING_FACE"]:
                case "half speed" if self.spoken < 50:
                    time.sleep(0.08)
                case "hangs" if self.spoken == 11:
                    time.sleep(1.3)
                case "hangs for good":
                    time.sleep(6)
                case "out of memory":
                    raise FaceOutOfMemory("The GPU is full.")
                case "raises":
                    raise ZeroDivisionError
                case "returns nothing":
                    return None
        return super().draw(moments)

def build(config, who):
    return Failing(personas.portrait_path(who), personas.mesh_path(who), who.manner, 1)
'''


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution brings the face ``failing``, here and in the speaker's process."""
    for package in ("faster_whisper", "piper", "torch"):
        pytest.importorskip(package)
    bring(tmp_path / "packages", monkeypatch, port="face", source=_FACE)


def _answer(video: Path) -> NDArray[np.bool_]:
    """Of every 20 ms between the first and the last sound of ``video``, whether any is heard."""
    with av.open(str(video)) as playable:
        (stream,) = playable.streams.audio
        sound = np.concatenate([f.to_ndarray().mean(axis=0) for f in playable.decode(stream)])
        step = stream.rate // 50
    level = np.abs(sound[: len(sound) // step * step]).reshape(-1, step).max(axis=1)
    heard = np.flatnonzero(level > 0.01)
    loud: NDArray[np.bool_] = (level > 0.01)[heard[0] : heard[-1] + 1]
    return loud


@pytest.mark.parametrize(
    ("what", "steps"),
    [
        ("half speed", ["fewer", "full"]),
        ("hangs", ["held", "still", "fewer", "full"]),
        ("hangs for good", ["held", "still", "anew", "puppet"]),
        ("out of memory", ["anew", "puppet"]),
        ("raises", ["again", "puppet"]),
        ("returns nothing", ["again", "puppet"]),
    ],
)
async def test_a_failing_face_costs_pictures_and_no_sound(
    what: str, steps: list[str], failing: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING_FACE", what)

    events, video = tmp_path / "events.jsonl", tmp_path / "teacher.mp4"
    async with open_session(
        config=Config(face=FaceConfig(backend=("failing",))),
        ingest=str(excerpt(tmp_path / "lesson.wav", 25.0, 48.0)),
        publish=str(video),
        events_path=events,
    ) as session:
        await session.wait()

    found = records(events)
    done = [
        r.level if isinstance(r, log.FaceDegraded) else r.after
        for r in found
        if isinstance(r, log.FaceDegraded | log.AdapterSwitched)
    ]
    remaining = iter(done)
    assert all(step in remaining for step in steps), done
    stopped = next(r for r in found if isinstance(r, log.ReplyStopped))
    said = " ".join(r.text for r in found if isinstance(r, log.ReplyText))
    assert ("finished", said) == (stopped.cause, stopped.heard_text)
    # Between two sentences nothing is heard for about half a second.
    pauses = np.diff(np.flatnonzero(_answer(video))).max() / 50
    underruns = sum(r.underruns for r in found if isinstance(r, log.Slice))
    print(f"{what}: {done}; longest pause {pauses:.2f} s, {underruns} underruns")
    assert pauses < 0.8
    assert underruns <= 5, "a busy machine has a few, a face that is waited for has twenty"
