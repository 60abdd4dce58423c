"""The configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs
import pytest

from maestra.app import backends, composition
from maestra.app.config import (
    BrainConfig,
    Config,
    ConfigError,
    FaceConfig,
    StreamConfig,
    backend_settings,
    change,
    load,
    options,
    presets,
    variable,
)
from maestra.app.dependencies import serving


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


# --- an order of backends, and their options ---


@pytest.mark.parametrize(
    "assignment",
    [
        "brain.backend=gemini-live,openai,coach",
        "brain.backend=gemini-live, openai",
        'brain.backend=["gemini-live", "openai"]',
    ],
)
def test_backends_are_a_name_or_an_order_and_the_coach_comes_last(assignment: str) -> None:
    brain = load(environ={}, assignments=[assignment]).config.brain

    assert brain.order == ("gemini-live", "openai", "coach")


def test_one_line_chooses_a_backend(tmp_path: Path) -> None:
    for text, order in (
        ('backend = "openai"', ("openai", "coach")),
        ('backend = ["coach", "openai"]', ("coach", "openai")),
    ):
        assert load(_file(tmp_path, f"[brain]\n{text}"), environ={}).config.brain.order == order
    assert serving(load(environ={}, assignments=["voice.backend=kokoro,piper"]).config)[
        "voice"
    ] == ("kokoro", "piper")


def test_an_option_of_a_backend_comes_from_anywhere_and_knows_its_origin(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        """
        [brain.options.openai]
        model = "one"
        temperature = 0.2
        [brain.options.gemini-live]
        model = "live"
        """,
    )

    effective = load(
        path,
        environ={"MAESTRA_BRAIN__OPTIONS__GEMINI_LIVE__MODEL": "newer"},
        assignments=["brain.options.openai.model=gpt-4o", "brain.options.openai.retries=3"],
    )

    assert effective.config.brain.options == {
        "openai": {"model": "gpt-4o", "temperature": 0.2, "retries": 3},
        "gemini-live": {"model": "newer"},
    }
    assert effective.origins["brain.options.openai.model"] == "--set"
    assert effective.origins["brain.options.openai.temperature"] == f"{path}:4"
    assert effective.values()["brain.options.gemini-live.model"] == "newer"


@attrs.frozen(kw_only=True)
class _Settings:
    """What a backend might be told."""

    model: str = "small"
    patience: float = attrs.field(default=1.0, metadata={"minimum": 0.1, "maximum": 60})
    layers: int = 0
    quick: bool = False
    words: tuple[str, ...] = ()
    device: Literal["cpu", "cuda"] = "cpu"
    style: str | None = None
    voice: str = attrs.field(default="x", validator=attrs.validators.matches_re("x|y"))


def test_a_backends_settings_are_filled_and_typed() -> None:
    settings = backend_settings(
        _Settings, {"patience": 2, "words": ["a", "b"], "style": "calm", "device": "cuda"}
    )

    assert settings == _Settings(patience=2.0, words=("a", "b"), style="calm", device="cuda")
    assert type(settings.patience) is float


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"modle": "x"}, "t.modle is not an option; did you mean model?"),
        ({"zzz": 1}, "t.zzz is not an option; there is model, patience"),
        ({"model": 3}, "t.model must be a string, not 3"),
        ({"layers": 1.5}, "t.layers must be a whole number, not 1.5"),
        ({"layers": True}, "t.layers must be a whole number, not True"),
        ({"quick": 1}, "t.quick must be true or false, not 1"),
        ({"patience": 0}, "t.patience must be at least 0.1, not 0"),
        ({"patience": float("nan")}, "t.patience must be at least 0.1, not nan"),
        ({"patience": 61}, "t.patience must be at most 60, not 61"),
        ({"words": "a"}, "t.words must be a list of strings, not 'a'"),
        ({"device": "tpu"}, "t.device must be one of cpu, cuda, not 'tpu'"),
        ({"voice": "z"}, "t: "),
    ],
)
def test_a_bad_setting_of_a_backend_is_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backend_settings(_Settings, given, where="t")

    assert str(caught.value).startswith(sentence)


def test_every_backends_settings_say_what_they_mean() -> None:
    for port, name in backends.CATALOGUE:
        cls = composition.settings_class(port, name)
        if cls is None:
            continue
        if all(attribute.default is not attrs.NOTHING for attribute in attrs.fields(cls)):
            assert backend_settings(cls, {}) == cls()
        for attribute in attrs.fields(cls):
            assert attribute.metadata["doc"], (name, attribute.name)


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://host/v1",
        "localhost:8080",
        "https://",
        "https://host:99999",
        "https://me:hunter2@host/v1",
        "https://[",
    ],
)
def test_a_secret_is_sent_to_an_address_of_the_web_only(address: str) -> None:
    asked = 0
    for port, name in backends.CATALOGUE:
        cls = composition.settings_class(port, name)
        if cls is None or "base_url" not in attrs.fields_dict(cls):
            continue
        asked += 1
        with pytest.raises(ConfigError, match="base_url") as caught:
            backend_settings(cls, {"base_url": address})
        assert "hunter2" not in str(caught.value)
        scheme = attrs.fields_dict(cls)["base_url"].metadata["schemes"][0]
        assert backend_settings(cls, {"base_url": f"{scheme}://host:8080/v1"})
    assert 5 == asked


# --- before the lesson ---


def test_a_key_that_is_missing_is_said_with_the_variables_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = load(environ={}, assignments=["brain.backend=openai"]).config

    with pytest.raises(ConfigError, match=r"^the brain backend openai needs .* OPENAI_API_KEY"):
        composition.check(config)
    composition.check(config, keys=False)

    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    composition.check(config)
    assert composition.key(config, "brain", "openai") == "sk-secret"
    assert "sk-secret" not in repr(config)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("http://192.168.1.7:8080/v1", "192.168.1.7"),
        ("http://models.example.org/v1", "models.example.org"),
        ("https://models.example.org/v1", ""),
        ("http://localhost:8080/v1", ""),
        ("http://127.0.0.1:8080/v1", ""),
        ("http://[::1]:8080/v1", ""),
    ],
)
def test_a_key_goes_nowhere_unencrypted(
    monkeypatch: pytest.MonkeyPatch, address: str, refused: str
) -> None:
    given = ["brain.backend=openai", f"brain.options.openai.base_url={address}"]
    config = load(environ={}, assignments=given).config
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    if refused:
        with pytest.raises(ConfigError, match=f"OPENAI_API_KEY to {refused} unencrypted") as caught:
            composition.check(config)
        assert "sk-secret" not in str(caught.value)
    else:
        composition.check(config)
    monkeypatch.delenv("OPENAI_API_KEY")
    composition.check(config)


def test_a_server_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = load(
        environ={},
        assignments=[
            "brain.backend=openai",
            "brain.options.openai.base_url=http://localhost:8080/v1",
        ],
    ).config

    composition.check(config)
    assert composition.key(config, "brain", "openai") == ""


def test_an_option_that_no_backend_knows_is_said_before_the_lesson() -> None:
    config = load(environ={}, assignments=["brain.options.coach.mood=kind"]).config

    with pytest.raises(ConfigError, match=r"^brain.options.coach: coach has no options"):
        composition.check(config)


@pytest.mark.parametrize(
    ("chosen", "forethought"),
    [
        ("coach", "voice"),
        ("llama", "words"),
        ("openai", "turn"),
        ("gemini-live", "turn"),
        ("somebodys", "turn"),
    ],
)
def test_only_what_is_free_is_asked_in_vain(chosen: str, forethought: str) -> None:
    class Silent:
        reply = None

    first = (chosen, Silent())
    assert composition.forethought(Config(), first) == forethought  # type: ignore[arg-type]
    words = Config(brain=BrainConfig(forethought="words"))
    assert composition.forethought(words, first) == "words"  # type: ignore[arg-type]


# --- presets ---


def test_the_presets_are_the_four() -> None:
    assert list(presets()) == ["cloud-chain", "embedded", "gemini", "local-gpu"]
    assert all(preset.about.endswith(".") for preset in presets().values())


@pytest.mark.parametrize("name", presets())
def test_a_preset_can_be_loaded_by_name_and_everything_in_it_makes_sense(name: str) -> None:
    config = load(Path(name), environ={}).config

    composition.check(config, keys=False)
    for port, chosen in serving(config).items():
        assert all((port, backend) in backends.CATALOGUE for backend in chosen)


def test_the_embedded_preset_is_the_default() -> None:
    assert load(Path("embedded"), environ={}).config == Config()


def test_what_the_local_preset_fills_of_a_gpu_is_what_it_says_and_fits() -> None:
    chosen = serving(load(Path("local-gpu"), environ={}).config)
    total = sum(backends.CATALOGUE[port, names[0]].gpu_gb for port, names in chosen.items())

    assert total <= 14
    assert f"{total:.1f}" in presets()["local-gpu"].path.read_text(encoding="utf-8")
    assert all(
        backends.CATALOGUE[port, name].stays for port, names in chosen.items() for name in names
    )
