"""Makes the demo lesson from clips: ``python -m maestra.app.demo.make_lesson CLIPS FOLDER``.

CLIPS holds a ``manifest.json`` that says of every clip where its speech or its first note begins
and ends. Only clips that were made (synthetic voices, rendered performances) are used, so the
lesson may go wherever Maestra goes. FOLDER gets ``lesson.flac`` and ``lesson.json``: what is in it
and when, in seconds, which is what the latencies are measured from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["main"]

_RATE_HZ = 32_000
_DURATION = 88.0
_FADE = 0.02


@frozen
class _Cue:
    """``clip`` sounds from ``at``; ``seconds`` cuts it; ``level_db`` is its loudness in dBFS."""

    at: float
    role: str
    clip: str
    level_db: float
    seconds: float | None = None


_SCRIPT = (
    _Cue(1.5, "chat", "lines/chat_056_s2.flac", -24),
    _Cue(5.0, "music", "exercises/piano_twinkle_rush.flac", -22),
    _Cue(35.0, "wake", "lines/wake_031_s2.flac", -24),
    _Cue(49.0, "follow_up", "lines/follow_000_s2.flac", -24),
    _Cue(53.3, "barge_in", "lines/barge_000_s2.flac", -24),
    _Cue(60.5, "music", "exercises/piano_scale_clean.flac", -22),
    _Cue(73.5, "wake", "lines/wake_032_s2.flac", -24),
    _Cue(77.4, "barge_in_music", "exercises/piano_ode_metronome.flac", -22, 7.5),
)
"""The second answer is interrupted by a word some 2.5 s into it, the third by playing."""


def main(clips: Path, folder: Path) -> None:
    """Make the lesson of the clips under ``clips`` in ``folder``."""
    manifest = {
        entry["file"]: entry
        for entry in json.loads((clips / "manifest.json").read_text(encoding="utf-8"))
    }
    lesson = np.zeros(round(_DURATION * _RATE_HZ), np.float32)
    events = []
    for cue in _SCRIPT:
        entry = manifest[cue.clip]
        if not entry["origin"].startswith("synthetic"):
            raise SystemExit(f"{cue.clip} is a recording: the lesson must be made of made clips")
        samples = _read(clips / cue.clip)
        if cue.seconds is not None:
            samples = samples[: round(cue.seconds * _RATE_HZ)]
            fade = round(_FADE * _RATE_HZ)
            samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        samples *= 10 ** (cue.level_db / 20) / np.sqrt(np.mean(samples**2))
        start = round(cue.at * _RATE_HZ)
        lesson[start : start + len(samples)] += samples
        events.append(_event(cue, entry, len(samples) / _RATE_HZ))
    if np.max(np.abs(lesson)) >= 1:
        raise SystemExit("the lesson is too loud")
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "lesson.flac", lesson)
    document = {"duration": _DURATION, "rate_hz": _RATE_HZ, "events": events}
    (folder / "lesson.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _event(cue: _Cue, entry: Mapping[str, Any], duration: float) -> dict[str, Any]:
    """When the thing itself begins and ends: the words without their clip's silences, the music
    from its first note."""
    truth = entry["truth"]
    speech = "transcript" in truth
    first, last = (
        (truth["speech_start_s"], truth["speech_end_s"])
        if speech
        else (truth["onsets"][0], duration)
    )
    return {
        "role": cue.role,
        "start": round(cue.at + first, 4),
        "end": round(cue.at + last, 4),
        "text": truth["transcript"] if speech else f"{truth['piece']} ({truth['expect']})",
        "source": entry["source"],
        "licence": entry["licence"],
    }


def _read(path: Path) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE_HZ)
    with av.open(path) as container:
        frames = [
            out.to_ndarray()[0]
            for frame in [*container.decode(audio=0), None]
            for out in resampler.resample(frame)
        ]
    return np.concatenate(frames)


def _write(path: Path, samples: NDArray[np.float32]) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("flac", rate=_RATE_HZ, layout="mono", format="s16")
        stream.options = {"compression_level": "12"}
        whole = np.round(samples * 32767).astype(np.int16)
        for start in range(0, len(whole), 4096):
            block = whole[start : start + 4096]
            frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="s16", layout="mono")
            frame.sample_rate = _RATE_HZ
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
