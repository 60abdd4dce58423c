"""Nothing is written over what is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maestra.app.cli import main
from maestra.app.config import load
from maestra.app.paths import Place, WouldOverwrite, refuse_overwriting
from maestra.app.session import open_session
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import MaestraError

SOUND = b"the only recording there is"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recording and other names for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.mp4").write_bytes(SOUND)
    os.link("w.mp4", "hard.mp4")
    Path("soft.mp4").symlink_to("w.mp4")
    Path("sub").mkdir()
    Path("dangling").symlink_to("new.mp4")
    Path("loop.mp4").symlink_to("loop.mp4")
    return tmp_path


@pytest.mark.parametrize("other", ["w.mp4", "./sub/../w.mp4", "hard.mp4", "soft.mp4"])
def test_no_name_of_an_input_is_written_to(other: str, folder: Path) -> None:
    with pytest.raises(WouldOverwrite, match=r"^publish would overwrite ingest: \S+$") as caught:
        refuse_overwriting({"ingest": StreamUrl.parse("w.mp4")}, {"publish": other})

    assert isinstance(caught.value, MaestraError)


@pytest.mark.parametrize(
    ("publish", "events"),
    [("new.mp4", Path("sub/../new.mp4")), ("new.mp4", "dangling"), ("hard.mp4", "w.mp4")],
)
def test_no_two_outputs_share_a_file(publish: str, events: Place, folder: Path) -> None:
    with pytest.raises(WouldOverwrite, match="publish and events name the same file"):
        refuse_overwriting({}, {"publish": StreamUrl.parse(publish), "events": events})


def test_files_that_differ_streams_and_nothing_are_let_pass(folder: Path) -> None:
    stream = StreamUrl.parse("rtmp://127.0.0.1/live/x")

    refuse_overwriting(
        {"ingest": stream, "file": f"{folder}/w.mp4", "twice": "w.mp4", "settings": None},
        {"publish": stream, "events": "sub/w.mp4", "plot": None, "other": "loop.mp4"},
    )


def test_a_file_address_is_a_file(folder: Path) -> None:
    with pytest.raises(WouldOverwrite):
        refuse_overwriting(
            {"ingest": StreamUrl.parse(f"file://{folder}/w.mp4")}, {"publish": "w.mp4"}
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lesson", "w.mp4", "--publish", "w.mp4"], "--publish would overwrite INPUT"),
        (["lesson", "w.mp4", "--publish", "hard.mp4"], "--publish would overwrite INPUT"),
        (["lesson", "w.mp4", "--events", "soft.mp4"], "--events would overwrite INPUT"),
        (["lesson", "a.wav", "--publish", "b.mp4", "--events", "b.mp4"], "name the same file"),
        (["lesson", "a.wav", "--config", "c.toml", "--events", "c.toml"], "overwrite --config"),
        (
            ["lesson", "a.wav", "--events", "a.jsonl", "--set", "conversation.keep_audio=true"],
            "the sound that conversation.keep_audio keeps would overwrite INPUT",
        ),
        (["analyse", "w.mp4", "--plot", "w.mp4"], "--plot would overwrite FILE"),
        (["analyse", "w.mp4", "--plot", "sub/../w.mp4"], "--plot would overwrite FILE"),
    ],
)
def test_the_command_destroys_no_recording(
    arguments: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "c.toml").touch()
    before = sorted(folder.iterdir())

    assert main(arguments) == 2

    told = capsys.readouterr().err
    assert told.startswith("maestra: ") and told.count("\n") == 1
    assert sentence in told
    assert (folder / "w.mp4").read_bytes() == SOUND
    assert sorted(folder.iterdir()) == before


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("publish", "events", "sentence"),
    [
        (None, "a.jsonl", "the kept sound would overwrite the input: a.wav"),
        (None, "sub/../a.jsonl", "the kept sound would overwrite the input"),
        ("b.wav", "b.jsonl", "the output and the kept sound name the same file"),
        (None, "b.wav", "the event log and the kept sound name the same file"),
    ],
)
async def test_the_library_destroys_no_recording(
    publish: str | None, events: str, sentence: str, folder: Path, anyio_backend: str
) -> None:
    (folder / "a.wav").write_bytes(SOUND)
    before = sorted(os.listdir(folder))
    config = load(assignments=["conversation.keep_audio=true"]).config

    with pytest.raises(WouldOverwrite, match=sentence):
        async with open_session(config, ingest="a.wav", publish=publish, events_path=events):
            pass

    assert (folder / "a.wav").read_bytes() == SOUND
    assert sorted(os.listdir(folder)) == before
