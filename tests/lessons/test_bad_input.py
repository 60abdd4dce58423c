"""Bad input, as a user would give it: one clear sentence, an exit code, nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from maestra.app.demo import LESSON

pytestmark = [pytest.mark.timeout(90), pytest.mark.models]


def maestra(*arguments: str | Path) -> tuple[int, str]:
    """The exit code and all that was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "maestra.app.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=80,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def no_such_file(folder: Path) -> str:
    return str(folder / "nothing.flac")


def corrupt(folder: Path) -> str:
    path = folder / "corrupt.flac"
    path.write_bytes(bytes(range(256)) * 40)
    return str(path)


def empty(folder: Path) -> str:
    path = folder / "empty.mp3"
    path.touch()
    return str(path)


def without_sound(folder: Path) -> str:
    path = folder / "mute.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for _ in range(5):
            picture = np.zeros((64, 64, 3), np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode(None))
    return str(path)


@pytest.mark.parametrize("make", [no_such_file, corrupt, empty, without_sound])
@pytest.mark.parametrize("command", ["lesson", "analyse"])
def test_a_bad_file_gets_one_sentence_and_exit_code_3(
    command: str, make: object, tmp_path: Path
) -> None:
    assert callable(make)
    code, printed = maestra(command, make(tmp_path))

    assert 3 == code, printed
    assert "Traceback" not in printed
    complaint = [line for line in printed.splitlines() if line.startswith("maestra:")]
    assert 1 == len(complaint), printed


def truncated(folder: Path) -> str:
    """Four seconds of a scale, of which half are there."""
    whole, path = folder / "whole.flac", folder / "truncated.flac"
    at = np.arange(4 * 44_100) / 44_100
    tone = 0.3 * np.sin(2 * np.pi * 261.63 * 2 ** (np.floor(2 * at) / 12) * at)
    with av.open(str(whole), "w") as output:
        stream = output.add_stream("flac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (tone * 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = 44_100
        output.mux([*stream.encode(frame), *stream.encode(None)])
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return str(path)


@pytest.mark.parametrize(("command", "expected"), [("analyse", 3), ("lesson", 0)])
def test_a_truncated_recording_is_heard_as_far_as_it_goes(
    command: str, expected: int, tmp_path: Path
) -> None:
    code, printed = maestra(command, truncated(tmp_path))

    assert expected == code, printed
    assert "Traceback" not in printed
    assert 1 == printed.count("is cut short"), printed
    assert command == "lesson" or len(printed.splitlines()) > 1, "and what was heard"


@pytest.mark.parametrize(
    "address",
    [
        "concat:a.flac|b.flac",
        "http://127.0.0.1/lesson.mp3",
        "rtmp://",
        "data:audio/wav;base64,AAAA",
        "subfile,,start,0,end,9,,:a.flac",
    ],
)
def test_an_address_that_may_not_be_opened_is_refused_at_once(address: str) -> None:
    code, printed = maestra("lesson", address)

    assert code in (2, 3), printed
    assert "Traceback" not in printed
    assert 1 == sum(line.startswith("maestra:") for line in printed.splitlines()), printed


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    code, printed = maestra("lesson", LESSON, "--publish", tmp_path / "no" / "such" / "out.mp4")

    assert 3 == code, printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("lesson",),
        ("lesson", str(LESSON), "--set", "brain.timeot=3"),
        ("lesson", str(LESSON), "--set", "brain.backend=oracle"),
        ("lesson", str(LESSON), "--persona", "nobody"),
        ("lesson", "rtmp://127.0.0.1/live/x", "--pace", "fast"),
    ],
)
def test_bad_usage_gets_exit_code_2(arguments: tuple[str, ...]) -> None:
    code, printed = maestra(*arguments)

    assert 2 == code, printed
    assert "Traceback" not in printed


def test_a_missing_model_gets_exit_code_4() -> None:
    code, printed = maestra("lesson", LESSON, "--set", "senses.asr_model=gigantic")

    assert 4 == code, printed
    assert "gigantic" in printed
    assert "Traceback" not in printed
