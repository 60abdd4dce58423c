"""The configuration: typed, checked, and able to say where each value came from.

A value is taken from the first of these that has it: ``--set section.key=value``, the environment
(``MAESTRA_SECTION__KEY``), the file (TOML), the default. A key that does not exist is refused with
the nearest one that does. Keys marked as *live* may change while a session runs.

What a backend can be told besides stands in a table of its own, ``[brain.options.openai]``;
``backend_settings`` makes that backend's settings of it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

import attrs
from attrs import Attribute, field, frozen

from maestra.ports.errors import MaestraError

from . import backends

__all__ = [
    "BrainConfig",
    "Config",
    "ConfigError",
    "ConversationConfig",
    "Effective",
    "FaceConfig",
    "Option",
    "Preset",
    "SensesConfig",
    "ServiceConfig",
    "StreamConfig",
    "VoiceConfig",
    "backend_settings",
    "change",
    "from_values",
    "kind_in_words",
    "load",
    "not_none",
    "options",
    "presets",
    "variable",
]

ENVIRONMENT_PREFIX = "MAESTRA_"

_NO_OPTIONS = frozenset({"MAESTRA_MODELS", "MAESTRA_SERVICE_TOKEN"})
"""Of the environment's variables with that prefix, those that are no options."""

DEFAULT = "default"
"""The origin of a value that nobody set."""


class ConfigError(MaestraError):
    """The configuration cannot be used. The text is one sentence that says what to change."""


# --- options ------------------------------------------------------------------


def _about(
    doc: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    port: str = "",
    live: bool = False,
    schemes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What an option means, which values it may have, and whether it may change at run time.

    ``port`` says that the value names a backend (or several) of that port, or, of a table, that it
    holds their options; ``schemes`` that it is an address, unless it is empty.
    """
    return {
        "doc": doc,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "port": port,
        "live": live,
        "schemes": schemes,
    }


def _check(instance: Section, attribute: Attribute[Any], value: Any) -> None:
    """An attrs validator: ``value`` has the attribute's type and lies within its bounds."""
    key, about = _dotted(instance.SECTION, attribute.name), attribute.metadata
    if get_origin(attribute.type) is tuple:
        if not (isinstance(value, tuple) and all(isinstance(item, str) for item in value)):
            raise ConfigError(f"{key} must be a list of strings, not {value!r}")
        if not value and about["minimum"]:
            raise ConfigError(f"{key} must not be empty")
        if about["port"] and len(set(value)) < len(value):
            raise ConfigError(f"{key} must name each backend once, not {', '.join(value)}")
    elif isinstance(value, bool) is not (attribute.type is bool) or not isinstance(
        value, int | float if attribute.type is float else _plain(attribute.type)
    ):
        raise ConfigError(f"{key} must be {_IN_WORDS[attribute.type]}, not {value!r}")
    if attribute.type == _OPTIONS:
        for name, table in value.items():
            if not isinstance(table, Mapping):
                raise ConfigError(
                    f"{key}.{name}: an option stands in the table of its backend,"
                    f" [{key}.{_example(about)}]"
                )
    if about["schemes"] and value:
        _check_address(value, key, about["schemes"])
    if about["choices"] and value not in about["choices"]:
        raise ConfigError(f"{key} must be one of {', '.join(about['choices'])}, not {value!r}")
    if isinstance(value, int | float):
        if about["minimum"] is not None and not value >= about["minimum"]:
            raise ConfigError(f"{key} must be at least {about['minimum']:g}, not {value:g}")
        if about["maximum"] is not None and not value <= about["maximum"]:
            raise ConfigError(f"{key} must be at most {about['maximum']:g}, not {value:g}")


def _example(about: Mapping[str, Any]) -> str:
    """A backend whose options might stand there."""
    return backends.BUILT_IN[about["port"]][0]


def _order(value: Any) -> Any:
    """An attrs converter: one name is an order of one. What is neither is left for ``_check``."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _plain(kind: Any) -> Any:
    return Mapping if get_origin(kind) is Mapping else kind


_STRINGS = tuple[str, ...]
_OPTIONS = Mapping[str, Mapping[str, object]]
_IN_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    _STRINGS: "a list of strings",
    _OPTIONS: "a table",
}


@frozen(kw_only=True)
class Section:
    """A table of the configuration."""

    SECTION: ClassVar[str] = ""


@frozen(kw_only=True)
class SensesConfig(Section):
    """What listens."""

    SECTION: ClassVar[str] = "senses"

    floor: str = field(
        default="yamnet",
        validator=_check,
        metadata=_about("Tells speech, playing, singing and noise apart.", port="senses.floor"),
    )
    vad: str = field(
        default="silero",
        validator=_check,
        metadata=_about("Finds where a voice speaks.", port="senses.vad"),
    )
    asr: tuple[str, ...] = field(
        default=("faster-whisper",),
        converter=_order,
        validator=_check,
        metadata=_about(
            "Writes down what is said: a name, or several in their order.",
            minimum=1,
            port="senses.asr",
        ),
    )
    asr_model: str = field(
        default="tiny.en",
        validator=_check,
        metadata=_about("The recogniser's model: a registered name, or a path to a folder."),
    )
    music: str = field(
        default="crepe-madmom",
        validator=_check,
        metadata=_about("Finds notes, beats and tempo.", port="senses.music"),
    )
    a4_hz: float = field(
        default=440.0,
        validator=_check,
        metadata=_about("What the A is tuned to.", unit="Hz", minimum=380, maximum=500),
    )
    options: Mapping[str, Mapping[str, object]] = field(
        factory=dict,
        validator=_check,
        metadata=_about("A table of options for each recogniser, by its name.", port="senses.asr"),
    )


@frozen(kw_only=True)
class BrainConfig(Section):
    """What thinks of an answer."""

    SECTION: ClassVar[str] = "brain"

    backend: tuple[str, ...] = field(
        default=("coach",),
        converter=_order,
        validator=_check,
        metadata=_about(
            "Writes the answers: a name, or several in their order. The coach comes last"
            " without being named.",
            minimum=1,
            port="brain",
        ),
    )
    timeout: float = field(
        default=1.5,
        validator=_check,
        metadata=_about(
            "Without a clause for this long, it has failed.", unit="s", minimum=0.1, maximum=60
        ),
    )
    max_words: int = field(
        default=60,
        validator=_check,
        metadata=_about(
            "An answer is cut at the first end of a sentence from here on.",
            unit="words",
            minimum=5,
            maximum=400,
        ),
    )
    forethought: str = field(
        default="auto",
        validator=_check,
        metadata=_about(
            "When an answer is begun that may not be wanted: when a voice is heard, when its words"
            " ask for one, or never before the end of the turn. What is begun in vain is paid for,"
            " too: `auto` asks the coach at a voice, a model on this machine at words, and whoever"
            " takes money for it, or listens itself, at the end of the turn.",
            choices=("auto", "voice", "words", "turn"),
        ),
    )
    options: Mapping[str, Mapping[str, object]] = field(
        factory=dict,
        validator=_check,
        metadata=_about("A table of options for each backend, by its name.", port="brain"),
    )

    @property
    def order(self) -> tuple[str, ...]:
        """The brains in their order of turn, the coach among them."""
        return tuple(dict.fromkeys((*self.backend, "coach")))


@frozen(kw_only=True)
class VoiceConfig(Section):
    """What speaks the answer."""

    SECTION: ClassVar[str] = "voice"

    backend: tuple[str, ...] = field(
        default=("piper",),
        converter=_order,
        validator=_check,
        metadata=_about(
            "Turns words into sound: a name, or several in their order.",
            minimum=1,
            port="voice",
        ),
    )
    timeout: float = field(
        default=1.5,
        validator=_check,
        metadata=_about(
            "Without sound for this long, it has failed; the last in line asks for a moment, and"
            " has nearly three times as long.",
            unit="s",
            minimum=0.1,
            maximum=60,
        ),
    )
    options: Mapping[str, Mapping[str, object]] = field(
        factory=dict,
        validator=_check,
        metadata=_about("A table of options for each backend, by its name.", port="voice"),
    )


@frozen(kw_only=True)
class FaceConfig(Section):
    """What shows the teacher."""

    SECTION: ClassVar[str] = "face"

    backend: tuple[str, ...] = field(
        default=("puppet",),
        converter=_order,
        validator=_check,
        metadata=_about(
            "Draws the pictures: a name, or several in their order. After the last one"
            " come the puppet and a still picture.",
            minimum=1,
            port="face",
        ),
    )
    size: int = field(
        default=512,
        validator=_check,
        metadata=_about(
            "Width and height of the picture, an even number.",
            unit="pixels",
            minimum=64,
            maximum=1080,
        ),
    )
    timeout: float = field(
        default=1.5,
        validator=_check,
        metadata=_about(
            "Without a picture for this long, it has failed.", unit="s", minimum=0.1, maximum=60
        ),
    )
    options: Mapping[str, Mapping[str, object]] = field(
        factory=dict,
        validator=_check,
        metadata=_about("A table of options for each backend, by its name.", port="face"),
    )

    def __attrs_post_init__(self) -> None:
        if self.size % 2:
            raise ConfigError(f"face.size must be an even number, not {self.size}")


@frozen(kw_only=True)
class StreamConfig(Section):
    """How sound comes in, and how sound and picture go out."""

    SECTION: ClassVar[str] = "stream"

    bridge_after: float = field(
        default=0.15,
        validator=_check,
        metadata=_about(
            "An input this late is bridged with silence.", unit="s", minimum=0.04, maximum=10
        ),
    )
    reconnect_min: float = field(
        default=0.5,
        validator=_check,
        metadata=_about(
            "The first wait before a broken stream is opened again; it doubles from there.",
            unit="s",
            minimum=0.05,
            maximum=60,
        ),
    )
    reconnect_max: float = field(
        default=10.0,
        validator=_check,
        metadata=_about("The longest such wait.", unit="s", minimum=0.05, maximum=600),
    )
    video_bitrate: int = field(
        default=1_500_000,
        validator=_check,
        metadata=_about(
            "Bits of H.264 a second.", unit="bit/s", minimum=100_000, maximum=50_000_000
        ),
    )
    audio_bitrate: int = field(
        default=128_000,
        validator=_check,
        metadata=_about("Bits of AAC a second.", unit="bit/s", minimum=32_000, maximum=512_000),
    )
    keyframe_interval: float = field(
        default=2.0,
        validator=_check,
        metadata=_about("Seconds from keyframe to keyframe.", unit="s", minimum=0.2, maximum=10),
    )
    ca_file: str = field(
        default="",
        validator=_check,
        metadata=_about(
            "A file of certificates (PEM) by which RTMPS and RTSPS servers are judged, such as that"
            " of a server that signed its own; empty: those this system trusts. A server that is"
            " not trusted, or has another name, is refused."
        ),
    )
    encoder: str = field(
        default="auto",
        validator=_check,
        metadata=_about(
            "Who encodes the pictures. nvenc is an NVIDIA GPU's encoder, and x264 where that does"
            " not work; auto tries it, too.",
            choices=("auto", "x264", "nvenc"),
        ),
    )

    def __attrs_post_init__(self) -> None:
        if self.reconnect_min > self.reconnect_max:
            raise ConfigError(
                f"stream.reconnect_min ({self.reconnect_min:g}) must not be more than"
                f" stream.reconnect_max ({self.reconnect_max:g})"
            )


@frozen(kw_only=True)
class ConversationConfig(Section):
    """When the teacher is asked, when it answers, and when it gives way."""

    SECTION: ClassVar[str] = "conversation"

    wake_phrases: tuple[str, ...] = field(
        default=("teacher, comment",),
        validator=_check,
        metadata=_about("What calls the teacher: any of these.", minimum=1, live=True),
    )
    strictness: str = field(
        default="medium",
        validator=_check,
        metadata=_about(
            "How like a wake phrase the words must sound.",
            choices=("low", "medium", "high"),
            live=True,
        ),
    )
    window: float = field(
        default=10.0,
        validator=_check,
        metadata=_about(
            "After an answer, questions need no wake phrase for this long.",
            unit="s",
            minimum=0.1,
            maximum=300,
            live=True,
        ),
    )
    silence_complete: float = field(
        default=0.2,
        validator=_check,
        metadata=_about(
            "Silence that ends a turn whose words are complete.",
            unit="s",
            minimum=0.1,
            maximum=5,
            live=True,
        ),
    )
    silence_open: float = field(
        default=0.9,
        validator=_check,
        metadata=_about(
            "Silence that ends a turn whose words could go on.",
            unit="s",
            minimum=0.1,
            maximum=5,
            live=True,
        ),
    )
    max_utterance: float = field(
        default=30.0,
        validator=_check,
        metadata=_about(
            "A question is cut, and answered, at this length.",
            unit="s",
            minimum=2,
            maximum=300,
            live=True,
        ),
    )
    speech_threshold: float = field(
        default=0.1,
        validator=_check,
        metadata=_about(
            "Speech this long silences the teacher.", unit="s", minimum=0.02, maximum=5, live=True
        ),
    )
    music_threshold: float = field(
        default=0.15,
        validator=_check,
        metadata=_about(
            "Music this long silences the teacher.", unit="s", minimum=0.02, maximum=5, live=True
        ),
    )
    keep_audio: bool = field(
        default=False,
        validator=_check,
        metadata=_about("Keep the student's sound next to the event log. Off: it is forgotten."),
    )

    def __attrs_post_init__(self) -> None:
        for phrase in self.wake_phrases:
            if not any(letter.isalpha() for letter in phrase):
                raise ConfigError(
                    f"conversation.wake_phrases must be words that can be said, not {phrase!r}"
                )


@frozen(kw_only=True)
class ServiceConfig(Section):
    """What `maestra serve` does, and does not."""

    SECTION: ClassVar[str] = "service"

    host: str = field(
        default="127.0.0.1",
        validator=_check,
        metadata=_about("The address that it listens on. The default: this machine only."),
    )
    port: int = field(
        default=8080,
        validator=_check,
        metadata=_about("The port that it listens on; 0: any free one.", minimum=0, maximum=65_535),
    )
    schemes: tuple[str, ...] = field(
        default=("rtmp", "rtmps", "rtsp", "rtsps"),
        validator=_check,
        metadata=_about("What a stream's address may begin with.", minimum=1),
    )
    hosts: tuple[str, ...] = field(
        default=("localhost",),
        validator=_check,
        metadata=_about(
            "Where streams may come from and go to: names, `*.example.com`, addresses, networks"
            " such as `10.1.0.0/16`, or `*` for every public address. A private address must be"
            " named, by its host's whole name or as an address or network; a link-local one as an"
            " address or network. The host of an `rtsp`, `rtsps` or `rtmps` address must stand here"
            " itself."
        ),
    )
    max_sessions: int = field(
        default=0,
        validator=_check,
        metadata=_about(
            "The most sessions at once; 0: as many as `service.measure` finds to fit.",
            minimum=0,
            maximum=1000,
        ),
    )
    measure: bool = field(
        default=True,
        validator=_check,
        metadata=_about(
            "Find out how many sessions fit, at the first start on a machine (half a minute), and"
            " admit no more. Off: `service.max_sessions`, or one for each processor."
        ),
    )
    starts_per_minute: int = field(
        default=30,
        validator=_check,
        metadata=_about("How often a session may be started.", minimum=1, maximum=10_000),
    )
    max_viewers: int = field(
        default=8,
        validator=_check,
        metadata=_about("How many browsers may watch a session at once.", minimum=1, maximum=1000),
    )
    idle_timeout: float = field(
        default=300.0,
        validator=_check,
        metadata=_about(
            "A session without any input for this long is ended.",
            unit="s",
            minimum=1,
            maximum=86_400,
        ),
    )
    drain: float = field(
        default=30.0,
        validator=_check,
        metadata=_about(
            "After SIGTERM, how long running sessions may take to end by themselves.",
            unit="s",
            minimum=0,
            maximum=86_400,
        ),
    )
    traces: str = field(
        default="",
        validator=_check,
        metadata=_about(
            "Where OpenTelemetry traces go, one of each turn, also of `maestra lesson`: an OTLP"
            " collector, like `http://localhost:4318`. Empty: nowhere.",
            schemes=("http", "https"),
        ),
    )
    trace_words: bool = field(
        default=False,
        validator=_check,
        metadata=_about("Whether traces hold what the student and the teacher said."),
    )

    def __attrs_post_init__(self) -> None:
        for scheme in self.schemes:
            if scheme not in ("rtmp", "rtmps", "rtsp", "rtsps"):
                raise ConfigError(
                    f"service.schemes may hold rtmp, rtmps, rtsp and rtsps, not {scheme!r}"
                )


@frozen(kw_only=True)
class Config(Section):
    """Everything that can be set. Immutable; ``change`` makes another."""

    persona: str = field(
        default="teacher_mary_v1",
        validator=_check,
        metadata=_about("Who the teacher is; `maestra personas` lists them."),
    )
    senses: SensesConfig = field(factory=SensesConfig)
    brain: BrainConfig = field(factory=BrainConfig)
    voice: VoiceConfig = field(factory=VoiceConfig)
    face: FaceConfig = field(factory=FaceConfig)
    stream: StreamConfig = field(factory=StreamConfig)
    conversation: ConversationConfig = field(factory=ConversationConfig)
    service: ServiceConfig = field(factory=ServiceConfig)


for _cls in (
    SensesConfig,
    BrainConfig,
    VoiceConfig,
    FaceConfig,
    StreamConfig,
    ConversationConfig,
    ServiceConfig,
    Config,
):
    attrs.resolve_types(_cls, globals(), locals())


@frozen(kw_only=True)
class Option:
    """One option: its dotted key, its type in words, its default and what is known about it."""

    key: str
    kind: Any
    default: Any
    about: Mapping[str, Any]

    @property
    def kind_in_words(self) -> str:
        return _IN_WORDS[self.kind]


def options() -> Iterator[Option]:
    """Every option there is, in the order of the file."""
    for cls in (Config, *(a.type for a in attrs.fields(Config) if _is_section(a))):
        assert cls is not None
        blank = cls()
        for attribute in attrs.fields(cls):
            if not _is_section(attribute):
                yield Option(
                    key=_dotted(cls.SECTION, attribute.name),
                    kind=attribute.type,
                    default=getattr(blank, attribute.name),
                    about=attribute.metadata,
                )


def _is_section(attribute: Attribute[Any]) -> bool:
    return isinstance(attribute.type, type) and issubclass(attribute.type, Section)


def _dotted(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name


# --- reading ------------------------------------------------------------------


@frozen(kw_only=True)
class Effective:
    """A configuration and, by dotted key, where each value came from."""

    config: Config
    origins: Mapping[str, str]

    def values(self) -> Mapping[str, object]:
        """Every value by dotted key."""
        found: dict[str, object] = {}
        for option in options():
            value = _get(self.config, option.key)
            if option.kind == _OPTIONS:
                found |= dict(_flat_options(option.key, value))
            else:
                found[option.key] = value
        return found


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    assignments: Sequence[str] = (),
) -> Effective:
    """The configuration of ``path`` (none: no file), ``environ`` (none: this process's) and
    ``assignments``, each ``section.key=value``.

    :param path: a file, or the name of a preset.

    :raises ConfigError: a file cannot be read, a key is unknown, or a value is not allowed.
    """
    known = {option.key: option for option in options()}
    values: dict[str, Any] = {}
    origins = dict.fromkeys(known, DEFAULT)

    if path is not None:
        preset = presets().get(str(path))
        if preset is not None and not path.exists():
            path = preset.path
        for key, value, line in _from_file(path, known):
            values[key] = value
            origins[key] = f"{path}:{line}" if line else str(path)
    for name, text in sorted((os.environ if environ is None else environ).items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NO_OPTIONS:
            key = _key_of_variable(name, known)
            values[key] = _parse(known.get(key), text, name)
            origins[key] = f"environment {name}"
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise ConfigError(f"--set wants section.key=value, not {assignment!r}")
        _require(key, known, f"--set {key}")
        values[key] = _parse(known.get(key), text, f"--set {key}")
        origins[key] = "--set"

    config = _with(Config(), values, known)
    _check_backends(config, known)
    return Effective(config=config, origins=types.MappingProxyType(origins))


def from_values(values: Mapping[str, object]) -> Config:
    """The configuration that has these values, as ``Effective.values`` gave them.

    :raises ConfigError: a key is unknown, or a value is not allowed.
    """
    known = {option.key: option for option in options()}
    for key in values:
        _require(key, known, key)
    config = _with(Config(), values, known)
    _check_backends(config, known)
    return config


def change(config: Config, values: Mapping[str, object]) -> Config:
    """``config`` with new ``values`` (dotted key to value), as a running session may take them.

    :raises ConfigError: a key is unknown or not live, or a value is not allowed. Then nothing
        changes.
    """
    known = {option.key: option for option in options()}
    for key in values:
        _require(key, known, key)
        if key not in known or not known[key].about["live"]:
            raise ConfigError(f"{key} cannot change while a session runs")
    return _with(config, values, known)


def _with(config: Config, values: Mapping[str, Any], known: Mapping[str, Option]) -> Config:
    tables: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if key not in known:  # an option of a backend
            section, name, backend, last = key.split(".")
            table = tables.setdefault(section, {})
            table.setdefault(name, {}).setdefault(backend, {})[last] = value
            continue
        section, _, name = key.rpartition(".")
        if isinstance(value, list):
            value = tuple(value)
        elif known[key].kind is float and type(value) is int:
            value = float(value)
        tables.setdefault(section, {})[name] = value
    top = tables.pop("", {})
    for section, table in tables.items():
        top[section] = attrs.evolve(getattr(config, section), **table)
    return attrs.evolve(config, **top)


def _get(config: Config, key: str) -> object:
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _require(key: str, known: Mapping[str, object], where: str) -> None:
    """Refuse ``key``, which was met at ``where``, unless it is ``known`` or a backend's option."""
    if key in known or _is_backends(key, known):
        return
    last = key.rpartition(".")[2]  # perhaps it is right, and its section is not
    near = [k for k in known if k.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]}?" if near else "; `maestra config` lists them all"
    raise ConfigError(f"{where} is not an option{hint}")


def _is_backends(key: str, known: Mapping[str, object]) -> bool:
    """``key`` is that of one backend's option, ``brain.options.openai.model``."""
    table, _, rest = key.partition(".options.")
    return f"{table}.options" in known and rest.count(".") == 1 and all(rest.split("."))


def _flat_options(key: str, value: Any) -> Iterator[tuple[str, object]]:
    """The options of all backends in the table ``key``, each by its dotted key.

    :raises ConfigError: it is not a table of tables.
    """
    for backend, table in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(table, Mapping):
            raise ConfigError(
                f"{key}.{backend}: an option stands in the table of its backend, [{key}.NAME]"
            )
        for name, one in table.items():
            yield f"{key}.{backend}.{name}", one


def _from_file(path: Path, known: Mapping[str, Option]) -> Iterator[tuple[str, Any, int | None]]:
    """Key, value and line of every option in the file."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    sections = {key.partition(".")[0] for key in known if "." in key}
    for name, content in document.items():
        if name in sections and not isinstance(content, dict):
            raise ConfigError(f"{path}: {name} is a section: write it as [{name}]")
        if isinstance(content, dict) and name not in sections:
            _require(name, dict.fromkeys(sections), f"{path}: section [{name}]")
        flat = content if isinstance(content, dict) else {name: content}
        section = name if isinstance(content, dict) else ""
        for short, value in flat.items():
            key = _dotted(section, short)
            line = _line_of(text, section, short)
            _require(key, known, f"{path}{f':{line}' if line else ''}: {key}")
            option = known[key]
            if option.kind == _OPTIONS and isinstance(value, dict):
                for deep, one in _flat_options(key, value):
                    table, _, name = deep.rpartition(".")
                    yield deep, one, _line_of(text, table, name) or line
            else:
                yield key, value, line


def _line_of(text: str, section: str, name: str) -> int | None:
    """The line that sets ``name``, for people. ``None`` if it is written in an unusual way."""
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            current = header[1]
            if current == _dotted(section, name):
                return number
        elif current == section and re.match(rf"\s*{re.escape(name)}\s*=", line):
            return number
    return None


def _key_of_variable(name: str, known: Mapping[str, Option]) -> str:
    spelt = {variable(key): key for key in known}
    if name in spelt:
        return spelt[name]
    for start, key in spelt.items():
        backend, _, last = name.removeprefix(f"{start}__").partition("__")
        if known[key].kind == _OPTIONS and name.startswith(f"{start}__") and last:
            named = {variable(one): one for one in backends.names(known[key].about["port"])}
            wanted = named.get(ENVIRONMENT_PREFIX + backend, backend.lower())
            return f"{key}.{wanted}.{last.lower()}"
    near = difflib.get_close_matches(name, spelt, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"the environment's {name} is not an option{hint}")


def variable(key: str) -> str:
    """The environment variable that sets ``key``."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "__").replace("-", "_")


def _parse(option: Option | None, text: str, where: str) -> Any:
    """What the command line or the environment means by ``text``.

    A list may be written as in TOML; any other text is a list of one, or for backends their names
    with commas between them. Without an ``option`` it is a backend's: what is not TOML is a string.
    """
    if option is None:
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
        return tuple(value) if isinstance(value, list) else value
    try:
        if option.kind is bool:
            return {"true": True, "false": False}[text.strip().lower()]
        if option.kind is int:
            return int(text)
        if option.kind is float:
            return float(text)
        if option.kind is str:
            return text
        if option.kind == _STRINGS and not text.lstrip().startswith("["):
            return tuple(map(str.strip, text.split(","))) if option.about["port"] else (text,)
        value = tomllib.loads(f"value = {text}")["value"]
        return tuple(value) if isinstance(value, list) else value
    except (KeyError, ValueError):
        raise ConfigError(f"{where} must be {option.kind_in_words}, not {text!r}") from None


def _check_backends(config: Config, known: Mapping[str, Option]) -> None:
    for option in known.values():
        port = option.about["port"]
        if not port:
            continue
        value = _get(config, option.key)
        there = backends.names(port)
        for name in value if isinstance(value, tuple | Mapping) else (value,):
            if name not in there:
                near = difflib.get_close_matches(str(name), there, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(there)}"
                raise ConfigError(f"{option.key}: no backend is called {name!r}; {hint}")


# --- presets ------------------------------------------------------------------


@frozen(kw_only=True)
class Preset:
    """A configuration file that comes with Maestra. ``about`` is its first line."""

    path: Path
    about: str


def presets() -> Mapping[str, Preset]:
    """The presets by their names."""
    found = {}
    for path in sorted(Path(__file__).with_name("presets").glob("*.toml")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found[path.stem] = Preset(path=path, about=first.removeprefix("#").strip())
    return found


# --- a backend's own settings -------------------------------------------------

_Settings = TypeVar("_Settings")


def backend_settings(
    cls: type[_Settings], options: Mapping[str, object], *, where: str = "options"
) -> _Settings:
    """The settings of a backend, made of its table of options.

    ``cls`` is an attrs class beside the adapter. Its fields are strings, numbers, true or false,
    lists of strings, one of several strings (``Literal``), or may be absent (``| None``). A field's
    metadata say what it means (``doc``), and may bound a number (``minimum``, ``maximum``), name
    its ``unit``, and make a string an address by its ``schemes``.

    :param where: the table's name, for the error's text.
    :raises ConfigError: an option is unknown, or its value is not allowed.
    """
    described: Any = cls
    fields = attrs.fields_dict(attrs.resolve_types(described))
    values: dict[str, object] = {}
    for name, value in options.items():
        attribute = fields.get(name)
        if attribute is None:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(fields) or 'none'}"
            raise ConfigError(f"{where}.{name} is not an option; {hint}")
        values[name] = _fitting(attribute, value, f"{where}.{name}")
    wanted = [
        name
        for name, attribute in fields.items()
        if attribute.default is attrs.NOTHING and name not in values
    ]
    if wanted:
        raise ConfigError(f"{where}.{wanted[0]} must be set: it has no default")
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:  # of the class's own validators
        raise ConfigError(f"{where}: {error}") from error


def _fitting(attribute: Attribute[Any], value: object, key: str) -> object:
    """``value`` as what the field ``attribute`` takes.

    :raises ConfigError: it does not fit.
    """
    kind = not_none(attribute.type)
    about = attribute.metadata
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            allowed = ", ".join(map(str, get_args(kind)))
            raise ConfigError(f"{key} must be one of {allowed}, not {value!r}")
        return value
    if kind is float and type(value) is int:
        value = float(value)
    if kind == _STRINGS:
        if isinstance(value, list):
            value = tuple(value)
        fits = isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    elif kind in (bool, int, float, str):
        fits = type(value) is kind
    else:
        fits = True  # the class's own validator knows
    if not fits:
        raise ConfigError(f"{key} must be {_IN_WORDS[kind]}, not {value!r}")
    if isinstance(value, str) and value and "schemes" in about:
        _check_address(value, key, about["schemes"])
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = about.get("minimum"), about.get("maximum")
        if low is not None and not value >= low:
            raise ConfigError(f"{key} must be at least {low:g}, not {value:g}")
        if high is not None and not value <= high:
            raise ConfigError(f"{key} must be at most {high:g}, not {value:g}")
    return value


def _check_address(address: str, key: str, schemes: Sequence[str]) -> None:
    """See that ``address`` is one that a secret may be sent to.

    :raises ConfigError: it is not. The text does not repeat a password that stands in it.
    """
    try:
        parts = urlsplit(address)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise ConfigError(f"{key} is not an address") from None
    if parts.scheme not in schemes or not whole:
        like = " or ".join(f"{scheme}://host" for scheme in schemes)
        raise ConfigError(f"{key} must be an address like {like}")
    if "@" in parts.netloc:
        raise ConfigError(f"{key} holds a name or a password: keys belong in the environment")


def kind_in_words(kind: Any) -> str:
    """What a value of type ``kind`` is called in a table of options."""
    words = _IN_WORDS.get(kind, "a string")
    return words if kind is bool else words.split(" ", 1)[-1]


def not_none(kind: Any) -> Any:
    """``kind`` without its ``| None``."""
    if get_origin(kind) in (Union, types.UnionType):
        inner = [one for one in get_args(kind) if one is not type(None)]
        return inner[0] if len(inner) == 1 else kind
    return kind
