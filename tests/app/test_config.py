"""The configuration."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from maestra.app import backends
from maestra.app.config import (
    BrainConfig,
    Config,
    ConfigError,
    FaceConfig,
    StreamConfig,
    change,
    load,
    options,
    variable,
)


def _file(folder: Path, text: str) -> Path:
    path = folder / "maestra.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_set_is_the_default() -> None:
    effective = load(environ={})

    assert effective.config == Config()
    assert set(effective.origins.values()) == {"default"}


def test_later_sources_win_and_each_value_knows_its_origin(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        """
        persona = "teacher_mary_v1"

        [conversation]
        window = 20
        strictness = "low"
        # window = 3
        [brain]
        timeout = 3.5
        """,
    )

    effective = load(
        path,
        environ={"MAESTRA_CONVERSATION__WINDOW": "30", "MAESTRA_BRAIN__TIMEOUT": "4", "HOME": "/"},
        assignments=["conversation.window = 40"],
    )

    assert effective.config.conversation.window == 40.0
    assert effective.config.brain.timeout == 4.0
    assert effective.config.conversation.strictness == "low"
    assert effective.origins["conversation.window"] == "--set"
    assert effective.origins["brain.timeout"] == "environment MAESTRA_BRAIN__TIMEOUT"
    assert effective.origins["conversation.strictness"] == f"{path}:6"
    assert effective.origins["persona"] == f"{path}:2"
    assert effective.origins["face.size"] == "default"


def test_a_whole_number_does_for_a_number(tmp_path: Path) -> None:
    effective = load(_file(tmp_path, "[brain]\ntimeout = 3"), environ={})

    assert type(effective.config.brain.timeout) is float


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("teacher, comment", ("teacher, comment",)),
        ('["teacher, comment", "maestra"]', ("teacher, comment", "maestra")),
    ],
)
def test_a_list_may_be_one_text(text: str, phrases: tuple[str, ...]) -> None:
    effective = load(environ={}, assignments=[f"conversation.wake_phrases={text}"])

    assert effective.config.conversation.wake_phrases == phrases


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("brain.timout=3", "--set brain.timout is not an option; did you mean brain.timeout?"),
        ("stream.window=3", "did you mean conversation.window?"),
        ("nonsense=3", "`maestra config` lists them all"),
        ("brain.timeout", "--set wants section.key=value, not 'brain.timeout'"),
        ("brain.timeout=soon", "--set brain.timeout must be a number, not 'soon'"),
        ("brain.timeout=nan", "brain.timeout must be at least 0.1, not nan"),
        ("brain.timeout=0", "brain.timeout must be at least 0.1, not 0"),
        ("conversation.window=0", "conversation.window must be at least 0.1, not 0"),
        ("conversation.window=301", "conversation.window must be at most 300, not 301"),
        ("face.size=511", "face.size must be an even number, not 511"),
        ("face.size=512.5", "--set face.size must be a whole number, not '512.5'"),
        ("conversation.keep_audio=maybe", "must be true or false, not 'maybe'"),
        ("conversation.strictness=loose", "must be one of low, medium, high, not 'loose'"),
        ("conversation.wake_phrases=[]", "conversation.wake_phrases must not be empty"),
        ("conversation.wake_phrases=", "must be words that can be said, not ''"),
        ('conversation.wake_phrases=["teacher", "!! 9"]', "that can be said, not '!! 9'"),
        ("conversation.wake_phrases=[1]", "must be a list of strings, not (1,)"),
        ("brain.options=3", "brain.options must be a table, not 3"),
        ("brain.options={ model = 'x' }", "stands in the table of its backend, [brain.options."),
        ("voice.backend=pipr", "no backend is called 'pipr'; did you mean piper?"),
        ("brain.backend=coach,oracle", "no backend is called 'oracle'; there is coach"),
        ("brain.backend=[]", "brain.backend must not be empty"),
        ("brain.backend=coach,coach", "must name each backend once, not coach, coach"),
        ("brain.options.openai=3", "brain.options.openai is not an option"),
        ("brain.options.oracel.model=x", "no backend is called 'oracel'"),
        ("stream.reconnect_min=20", "stream.reconnect_min (20) must not be more than"),
    ],
)
def test_a_bad_assignment_is_refused_in_one_sentence(assignment: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={}, assignments=[assignment])

    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[brain", "is not TOML"),
        ("brain = 3", "brain is a section: write it as [brain]"),
        ("[brian]\ntimeout = 3", "section [brian] is not an option; did you mean brain?"),
        ("[brain]\ntimout = 3", "maestra.toml:2: brain.timout is not an option"),
        ("[face]\nsize = true", "face.size must be a whole number, not True"),
        ("[face]\nsize = '512'", "face.size must be a whole number, not '512'"),
        ("[conversation]\nkeep_audio = 1", "conversation.keep_audio must be true or false, not 1"),
        ("[conversation]\nwake_phrases = 'x'", "must be a list of strings, not 'x'"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(_file(tmp_path, text), environ={})

    assert sentence in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "absent.toml", environ={})


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean MAESTRA_BRAIN__TIMEOUT"):
        load(environ={"MAESTRA_BRAIN_TIMEOUT": "3"})


def test_every_option_can_be_set_by_its_own_variable_and_its_own_text() -> None:
    values = {
        option.key: str(option.default).lower() if option.kind is bool else str(option.default)
        for option in options()
        if option.kind in (bool, int, float, str)
    }

    effective = load(environ={variable(key): text for key, text in values.items()})

    assert effective.config == Config()
    assert all(effective.origins[key].startswith("environment") for key in values)


def test_every_option_says_what_it_means() -> None:
    for option in options():
        assert option.about["doc"].endswith((".", ")")), option.key


def test_options_that_are_live_may_change_and_others_may_not() -> None:
    config = Config()

    changed = change(config, {"conversation.window": 5, "conversation.wake_phrases": ["maestra"]})

    assert changed.conversation.window == 5.0
    assert changed.conversation.wake_phrases == ("maestra",)
    assert changed.brain is config.brain
    with pytest.raises(ConfigError, match=r"brain.backend cannot change while a session runs"):
        change(config, {"brain.backend": "coach"})
    with pytest.raises(ConfigError, match=r"did you mean conversation.window"):
        change(config, {"conversation.windows": 5})
    with pytest.raises(ConfigError, match="at most 300"):
        change(config, {"conversation.window": 1000})


def test_a_library_user_is_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"brain.timeout must be at least 0.1"):
        BrainConfig(timeout=0.0)
    with pytest.raises(ConfigError, match=r"face.size must be a whole number, not 512.0"):
        FaceConfig(size=512.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must not be more than"):
        attrs.evolve(StreamConfig(), reconnect_max=0.1)


def test_a_third_partys_backend_is_as_good_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint(name="oracle", value="json:loads", group="maestra.brain")
    monkeypatch.setattr(
        backends, "entry_points", lambda group: [point] if group == "maestra.brain" else []
    )

    effective = load(environ={}, assignments=["brain.backend=oracle"])

    assert effective.config.brain.backend == ("oracle",)
    assert backends.load_third_party("brain", "oracle")("1") == 1
    with pytest.raises(backends.NoSuchBackend, match="no voice backend is called 'oracle'"):
        backends.load_third_party("voice", "oracle")


def test_a_third_partys_backend_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint(name="oracle", value="no_such_module:build", group="maestra.brain")
    monkeypatch.setattr(backends, "entry_points", lambda group: [point])

    with pytest.raises(backends.NoSuchBackend, match="cannot be imported: No module named"):
        backends.load_third_party("brain", "oracle")
