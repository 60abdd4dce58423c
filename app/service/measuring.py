"""What a lesson takes of this machine, found out by holding one.

``python -m maestra.app.service.measuring`` reads a configuration (dotted keys and values, JSON)
from standard input, and writes a ``Cost`` as JSON to standard output. It teaches a lesson of its
own, in real time, with the configuration's own senses, voice, face and size of picture: twenty
seconds of silence, playing, and a question that is answered. The processor's time of its processes
is what is counted, so others at work beside it cost it little.

Whatever of the configuration sends something to somebody else is left out: what is done elsewhere
takes nothing here, and no one is to pay for a measurement.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import threading
import time
import wave
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
from attrs import field, frozen

from maestra.core.hearing import FloorLabel
from maestra.core.log import encode
from maestra.ports.audio import FRAME_RATE

from ..config import Config, ConversationConfig, from_values
from .machine import group_memory, group_time, processors

__all__ = ["PHASES", "Cost", "phase_at", "trouble_in", "without_others"]

PHASES: Final = ("idle", "playing", "talking")
"""What a second of a lesson can be: nothing happens, somebody plays, or somebody speaks or the
teacher answers. What talking takes is not told apart by who talks: an answer is prepared while its
question is still being spoken."""

_MUSIC: Final = (FloorLabel.PLAYING.value, FloorLabel.SINGING.value, FloorLabel.BOTH.value)
_ANSWERS: Final = ("responding", "speaking")

_CLIPS: Final = ((0.0, 1.5), (5.6, 13.6), (33.6, 36.0))
"""Seconds of the demo lesson: silence, a melody, and "Teacher, comment." """

_LISTENS: Final = 8.0
"""Seconds of silence in which the answer is given."""

_EVERY: Final = 0.5

_HELD: Final = 0.02
"""Share of pictures that may be shown twice by a lesson that keeps up."""

_WORK: Final = 0.4
"""Seconds of processor time in each half of the comparison of one processor with all."""


@frozen(kw_only=True)
class Cost:
    """What one lesson takes.

    ``processors``: how many processors each of ``PHASES`` keeps busy, on average; ``busiest`` is
    the most that one second took. ``memory``: bytes, with pages that its processes share counted
    once. ``together``: how fast a processor is while all the others work, of its speed when it
    works alone. ``frames``: the fewest pictures that a second of it had. ``trouble``: why it took
    less than it would have, if so: what does not keep up leaves things out.
    """

    processors: Mapping[str, float]
    busiest: float
    memory: int
    together: float
    frames: float = field(default=0.0)
    trouble: str = field(default="")


def phase_at(events: Sequence[Mapping[str, Any]], at: float) -> str:
    """Which of ``PHASES`` it was at ``at`` (s, monotonic), by a lesson's records."""
    state, floor = "", ""
    for event in events:
        if float(event["wall"]) > at:
            break
        if event["type"] == "state":
            state = str(event["to"])
        elif event["type"] == "floor":
            floor = str(event["label"])
    if state in _ANSWERS or floor == FloorLabel.SPEECH.value:
        return "talking"
    return "playing" if floor in _MUSIC else "idle"


def trouble_in(events: Sequence[Mapping[str, Any]]) -> str:
    """What, by its records, a lesson could not keep up with; empty: nothing."""
    for event in events:
        match event:
            case {"type": "warning", "source": "hearing" | "music" | "session", "text": text}:
                return str(text)
            case {"type": "adapter_failed" | "face_degraded" as kind}:
                return str(event.get("text") or event.get("cause") or kind)
            case _:
                pass
    slices = [event for event in events if event["type"] == "slice"]
    if sum(event["held"] for event in slices) > _HELD * FRAME_RATE * len(slices):
        return "pictures were not drawn in time"
    if not any(event["type"] == "reply_started" for event in events):
        return "the question was not answered"
    return ""


# --- the lesson ---------------------------------------------------------------


def without_others(config: Config) -> Config:
    """``config`` with those of our backends alone that send nothing to anybody, and listening for
    the wake phrases of the demo lesson."""
    from ..backends import CATALOGUE

    def own(port: str, chosen: Sequence[str], instead: str) -> tuple[str, ...]:
        kept = [
            name for name in chosen if (one := CATALOGUE.get((port, name))) is None or one.stays
        ]
        return tuple(kept) or (instead,)

    return attrs.evolve(
        config,
        conversation=ConversationConfig(),
        brain=attrs.evolve(config.brain, backend=own("brain", config.brain.backend, "coach")),
        voice=attrs.evolve(config.voice, backend=own("voice", config.voice.backend, "piper")),
        senses=attrs.evolve(
            config.senses, asr=own("senses.asr", config.senses.asr, "faster-whisper")
        ),
    )


def _write_student(path: Path) -> None:
    """What the student does: the clips of the demo lesson, and then nothing."""
    import av
    import numpy as np

    from ..demo import LESSON

    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(LESSON)) as file:
        frames = [
            frame.to_ndarray()[0]
            for decoded in file.decode(audio=0)
            for frame in resampler.resample(decoded)
        ]
    sound = np.concatenate(frames)
    clips = [sound[round(begin * 16_000) : round(end * 16_000)] for begin, end in _CLIPS]
    clips.append(np.zeros(round(_LISTENS * 16_000), np.int16))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(np.concatenate(clips).astype("<i2").tobytes())


@asynccontextmanager
async def _watched(samples: list[tuple[float, float]]) -> AsyncIterator[None]:
    """Note now and then what our processes have used."""
    group = os.getpgrp()
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while True:
                samples.append((time.monotonic(), group_time(group)))
                await anyio.sleep(_EVERY)

        tasks.start_soon(watch)
        yield
        tasks.cancel_scope.cancel()


async def _hold(config: Config, together: float) -> Cost:
    from ..session import open_session

    events: list[Mapping[str, Any]] = []
    samples: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="maestra-") as folder:
        student = Path(folder) / "student.wav"
        _write_student(student)
        async with open_session(
            config, ingest=str(student), publish=str(Path(folder) / "teacher.mp4")
        ) as session:
            async with _watched(samples):
                await session.wait()
            memory = group_memory(os.getpgrp())
            told = session.events()
        async for record in told:
            events.append(encode(record))
    by_phase: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for (begun, used), (ended, used_then) in itertools.pairwise(samples):
        phase = phase_at(events, (begun + ended) / 2)
        by_phase[phase].append((used_then - used) / (ended - begun))
    seconds = [
        (after[1] - before[1]) / (after[0] - before[0])
        for before, after in zip(samples, samples[2:], strict=False)
    ]
    return Cost(
        processors={
            phase: round(sum(taken) / len(taken), 3) for phase, taken in by_phase.items() if taken
        },
        busiest=round(max(seconds, default=0.0), 3),
        memory=memory or 0,
        together=together,
        frames=min((event["fps"] for event in events if event["type"] == "slice"), default=0.0),
        trouble=trouble_in(events),
    )


# --- one processor, and all of them -------------------------------------------


def _speed(workers: int) -> float:
    """Rounds of work in a second of processor time, while so many do the same."""
    import numpy as np

    rounds: list[tuple[int, float]] = []

    def work() -> None:
        a = np.full((192, 192), 0.5, np.float32)
        picture = np.zeros((512, 512, 3), np.float32)
        count, begun = 0, time.thread_time()
        while (used := time.thread_time() - begun) < _WORK:
            np.matmul(a, a)
            np.add(picture, 1.0, out=picture)
            count += 1
        rounds.append((count, used))

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(count for count, _ in rounds) / sum(used for _, used in rounds)


def _together() -> float:
    count = processors()
    return round(min(1.0, _speed(count) / _speed(1)), 3) if count > 1 else 1.0


def main() -> int:
    # As a lesson's workers have it: what is compared is processors, not libraries' own threads.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    config = without_others(from_values(json.load(sys.stdin)))
    cost = anyio.run(_hold, config, _together())
    print(json.dumps(attrs.asdict(cost)))
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a thread of a library's is not to be waited for
