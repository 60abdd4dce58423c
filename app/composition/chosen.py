"""What the configuration chose for a backend: its settings, its secret, and who is not ours."""

from __future__ import annotations

import importlib
import ipaddress
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .. import backends
from ..config import Config, ConfigError, backend_settings

__all__ = [
    "check",
    "key",
    "needs_key",
    "options",
    "served",
    "settings",
    "settings_class",
    "third_party",
]

_SETTINGS: Mapping[tuple[str, str], str] = {
    ("brain", "gemini-live"): "maestra.adapters.brain.gemini.settings:GeminiLiveSettings",
    ("brain", "llama"): "maestra.adapters.brain.llama:LlamaSettings",
    ("brain", "openai"): "maestra.adapters.brain.openai:OpenAISettings",
    ("face", "liveportrait"): "maestra.adapters.face.liveportrait:LivePortraitSettings",
    ("face", "musetalk"): "maestra.adapters.face.musetalk:MuseTalkSettings",
    ("face", "sadtalker"): "maestra.adapters.face.sadtalker:SadTalkerSettings",
    ("senses.asr", "deepgram"): "maestra.adapters.senses.settings:DeepgramSettings",
    ("senses.asr", "faster-whisper"): "maestra.adapters.senses.settings:WhisperSettings",
    ("voice", "kokoro"): "maestra.adapters.voice.kokoro:KokoroSettings",
    ("voice", "styletts2"): "maestra.adapters.voice.styletts2.settings:StyleTTS2Settings",
    ("voice", "openai"): "maestra.adapters.voice.openai_speech:OpenAISpeechSettings",
    ("voice", "elevenlabs"): "maestra.adapters.voice.elevenlabs:ElevenLabsSettings",
}
"""Where the class of a backend's settings is, ``module:Class``, by port and name. Such a module
imports nothing heavy."""


def settings_class(port: str, name: str) -> type[Any] | None:
    """The attrs class of a backend's settings; ``None`` if it has none."""
    if (place := _SETTINGS.get((port, name))) is None:
        return None
    module, _, cls = place.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), cls)
    return found


def options(config: Config, port: str, name: str) -> Mapping[str, object]:
    """The table of options that ``config`` has for a backend."""
    section = getattr(config, port.partition(".")[0])
    found: Mapping[str, object] = section.options.get(name, {})
    return found


def settings(config: Config, port: str, name: str) -> Any:
    """The settings of a backend of ours, made of its options.

    :raises ConfigError: an option is unknown, or its value is not allowed.
    """
    where = f"{port.partition('.')[0]}.options.{name}"
    given = options(config, port, name)
    if (cls := settings_class(port, name)) is not None:
        return backend_settings(cls, given, where=where)
    if given and (port, name) in backends.CATALOGUE:
        raise ConfigError(f"{where}: {name} has no options")
    return None


def needs_key(config: Config, port: str, name: str) -> bool:
    """Whether a backend, as it is configured, cannot do without a secret."""
    backend = backends.CATALOGUE.get((port, name))
    if backend is None or not backend.key:
        return False
    return not (backend.key_unless and options(config, port, name).get(backend.key_unless))


def served(port: str) -> frozenset[str]:
    """The backends of ours for ``port`` that somebody else serves, and lets in by a secret."""
    return frozenset(
        name for (of, name), backend in backends.CATALOGUE.items() if of == port and backend.key
    )


def key(config: Config, port: str, name: str) -> str:
    """The secret of a backend, from the environment; empty if there is none and it needs none.

    :raises ConfigError: it is needed, and not set, or would be sent where others can read it. The
        text has the variable's name.
    """
    backend = backends.CATALOGUE.get((port, name))
    if backend is None or not backend.key:
        return ""
    found = os.environ.get(backend.key, "").strip()
    if not found and needs_key(config, port, name):
        raise ConfigError(
            f"the {port} backend {name} needs its key in the environment variable {backend.key},"
            " which is not set"
        )
    if found and (where := in_the_open(options(config, port, name).get("base_url"))):
        raise ConfigError(
            f"the {port} backend {name} would send {backend.key} to {where} unencrypted: give its"
            " base_url as https, reach it through a tunnel on this machine, or unset the variable"
            " if that server asks for no key"
        )
    return found


def in_the_open(url: object) -> str:
    """The host of an address that is neither encrypted nor on this machine; else empty."""
    if not isinstance(url, str) or not url:
        return ""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme in ("https", "wss") or host == "localhost":
        return ""
    try:
        return "" if ipaddress.ip_address(host).is_loopback else host
    except ValueError:
        return host


def check(config: Config, *, keys: bool = True) -> None:
    """Say before the lesson what would only be found out in it: options that no backend knows, and
    (with ``keys``) a key that is not set or a package that is not installed.

    :raises ConfigError: there is something of the kind.
    :raises NotInstalled: a backend's package is missing.
    """
    from ..dependencies import require, serving

    complaints = []
    for port, names in serving(config).items():
        for name in names:
            settings(config, port, name)
            if keys:
                require(port, name)
                try:
                    key(config, port, name)
                except ConfigError as error:
                    complaints.append(str(error))
    if complaints:
        raise ConfigError("; ".join(dict.fromkeys(complaints)))


def third_party(port: str, name: str, *arguments: Any) -> Any:
    """What another distribution registered; it is trusted to keep its port's promise."""
    return backends.load_third_party(port, name)(*arguments)
