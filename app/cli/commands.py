"""What each subcommand does. Heavy things are imported by the command that needs them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from maestra.core.stream_url import BadStreamUrl, StreamUrl
from maestra.ports.errors import MaestraError, ModelMissing

from ..config import Config, Effective, load, presets
from ..dependencies import adding
from ..paths import Place, kept_sound, refuse_overwriting

if TYPE_CHECKING:
    from ..doctor import Report

__all__ = [
    "UsageError",
    "analyse",
    "capacity",
    "config",
    "console",
    "demo",
    "doctor",
    "lesson",
    "models",
    "personas",
    "serve",
    "toml_value",
]


class UsageError(MaestraError):
    """The command line makes no sense."""


def _effective(parsed: argparse.Namespace, *, keys: bool = False) -> Effective:
    """What is configured, found to make sense.

    :param keys: the backends' keys are wanted, too.
    """
    effective = load(parsed.config, assignments=parsed.assignments)
    from ..composition import check

    check(effective.config, keys=keys)
    return effective


def lesson(parsed: argparse.Namespace) -> int:
    """``maestra lesson``."""
    effective = _effective(parsed, keys=True)
    ingest = _address(parsed.input)
    if ingest.is_browser:
        raise UsageError("browsers come to a session of maestra serve; nothing is heard here")
    _check_lesson_files(parsed, ingest, effective.config)
    if parsed.pace == "fast" and not ingest.is_file:
        raise UsageError("--pace fast wants a file to listen to: a stream cannot be hurried")
    _check_persona(parsed.persona or effective.config.persona)
    from .lesson import sit_in

    anyio.run(
        partial(
            sit_in,
            effective.config,
            ingest=parsed.input,
            publish=parsed.publish,
            persona=parsed.persona,
            pace=parsed.pace,
            events=parsed.events,
        )
    )
    return 0


def _address(text: str) -> StreamUrl:
    try:
        return StreamUrl.parse(text)
    except BadStreamUrl as error:
        raise UsageError(str(error)) from None


def _check_persona(name: str) -> None:
    from ..personas import load as load_persona

    try:
        load_persona(name)
    except MaestraError as error:
        raise UsageError(str(error)) from None


def _check_lesson_files(parsed: argparse.Namespace, ingest: StreamUrl, config: Config) -> None:
    """Refuse what would only fail once the lesson is under way, or destroy what it begins with."""
    publish = None
    if parsed.publish is not None:
        publish = _address(parsed.publish)
        try:
            publish.output_format()
        except BadStreamUrl as error:
            raise UsageError(str(error)) from None
    outputs: dict[str, Place] = {"--publish": publish, "--events": parsed.events}
    if config.conversation.keep_audio and parsed.events is not None:
        outputs["the sound that conversation.keep_audio keeps"] = kept_sound(parsed.events)
    refuse_overwriting({"INPUT": ingest, "--config": parsed.config}, outputs)


def demo(parsed: argparse.Namespace) -> int:
    """``maestra demo``."""
    effective = _effective(parsed, keys=True)
    from ..demo import play

    return play(effective.config, out=parsed.out)


def _assign_address(parsed: argparse.Namespace) -> None:
    for name in ("host", "port"):
        if (value := getattr(parsed, name)) is not None:
            parsed.assignments.append(f"service.{name}={value}")


def serve(parsed: argparse.Namespace) -> int:
    """``maestra serve``."""
    _assign_address(parsed)
    effective = _effective(parsed, keys=True)
    if effective.config.conversation.keep_audio:
        raise UsageError("maestra serve keeps no sound: leave conversation.keep_audio off")
    _check_persona(effective.config.persona)
    try:
        from ..service.server import serve as run
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is missing: {adding('service')}") from None

    run(effective, insecure=parsed.insecure, token_file=parsed.token_file)
    return 0


def console(parsed: argparse.Namespace) -> int:
    """``maestra console``."""
    _assign_address(parsed)
    service = load(parsed.config, assignments=parsed.assignments).config.service
    from ..service.invitation import invitation

    print(invitation(service.host, service.port, parsed.token_file))
    return 0


def capacity(parsed: argparse.Namespace) -> int:
    """``maestra capacity``."""
    effective = _effective(parsed)
    _check_persona(effective.config.persona)
    from ..service.capacity import default_file, kept, key_of, measure
    from ..service.machine import Machine

    file = default_file()
    found = None if parsed.again else kept(file, key_of(effective, Machine()))
    if found is None:
        found = anyio.run(measure, effective, file)
    if parsed.json:
        _print_json({"most": found.most, "usable": found.usable, **found.to_dict()})
        return 0
    phases = (
        ("nothing happens", "idle"),
        ("somebody plays", "playing"),
        ("somebody speaks or the teacher answers", "talking"),
    )
    cost = found.cost
    print(f"{found}\n")
    _print_table(
        ("WHILE", "PROCESSORS THAT A LESSON TAKES"),
        [
            (words, f"{cost.processors[phase]:.2f}")
            for words, phase in phases
            if phase in cost.processors
        ],
    )
    print(
        f"\nIts busiest second took {cost.busiest:.2f}; {cost.frames:.0f} pictures or more were in"
        f" each.\nMeasured at {found.at} (load {found.load:g}) on {found.cpu}, of which"
        f" {found.processors:g} processors may be used;\none is {cost.together:.2f} times as fast"
        " while all of them work."
    )
    return 0


def analyse(parsed: argparse.Namespace) -> int:
    """``maestra analyse``."""
    effective = _effective(parsed)
    recording = _address(parsed.file)
    if not recording.is_file:
        raise UsageError("maestra analyse wants a recording: a stream has no end")
    refuse_overwriting({"FILE": recording, "--config": parsed.config}, {"--plot": parsed.plot})
    from .analyse import analyse_file

    analyse_file(
        effective.config, Path(recording.address), as_json=parsed.json, plot_path=parsed.plot
    )
    return 0


def personas(parsed: argparse.Namespace) -> int:
    """``maestra personas``."""
    from ..personas import available

    everybody = available()
    if parsed.json:
        _print_json([{"id": p.id, "name": p.name, "voices": dict(p.voices)} for p in everybody])
    else:
        _print_table(
            ("ID", "NAME", "VOICES"),
            [
                (p.id, p.name, ", ".join(f"{backend}: {v}" for backend, v in p.voices.items()))
                for p in everybody
            ],
        )
    return 0


def config(parsed: argparse.Namespace) -> int:
    """``maestra config``."""
    if parsed.presets:
        return _list_presets(as_json=parsed.json)
    effective = _effective(parsed)
    values = effective.values()
    if parsed.json:
        _print_json(
            {key: {"value": v, "origin": effective.origins[key]} for key, v in values.items()}
        )
        return 0
    rows = [(_toml(key, value), effective.origins[key]) for key, value in values.items()]
    width = max(len(text) for text, _ in rows)
    section = ""
    for (text, origin), key in zip(rows, values, strict=True):
        name = key.rpartition(".")[0]
        if name != section:
            section = name
            print(f"\n[{section}]")
        print(f"{text:<{width}}  # {origin}")
    return 0


def _list_presets(*, as_json: bool) -> int:
    found = presets()
    if as_json:
        _print_json({name: {"path": p.path, "about": p.about} for name, p in found.items()})
    else:
        _print_table(("PRESET", "WHAT"), [(name, p.about) for name, p in found.items()])
    return 0


def _toml(key: str, value: object) -> str:
    """An assignment as it would stand in the file."""
    return f"{key.rpartition('.')[2]} = {toml_value(value)}"


def toml_value(value: object) -> str:
    """``value`` as TOML writes it."""
    match value:
        case dict():
            inner = ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return f"[{', '.join(toml_value(item) for item in value)}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def doctor(parsed: argparse.Namespace) -> int:
    """``maestra doctor``."""
    effective = load(parsed.config, assignments=parsed.assignments)
    from ..doctor import examine

    report = examine(effective.config)
    if parsed.json:
        _print_json(report.as_dict())
    else:
        _print_report(report)
    return report.code


def models(parsed: argparse.Namespace) -> int:
    """``maestra models``."""
    from .. import composition, model_store

    wanted = {"list": (0, 0), "fetch": (1, 1), "check": (1, 1), "import": (2, 2)}[parsed.action][0]
    given = [parsed.name, parsed.folder][:wanted]
    if None in given or (parsed.action != "import" and parsed.folder is not None):
        usage = {"import": " NAME FOLDER", "list": ""}.get(parsed.action, " NAME")
        raise UsageError(f"it is: maestra models {parsed.action}{usage}")
    match parsed.action:
        case "list":
            _list_models(as_json=parsed.json)
            return 0
        case "fetch":
            model_store.fetch(parsed.name, progress=print)
        case "import":
            model_store.import_from(parsed.name, parsed.folder, progress=print)
    if absent := model_store.missing(parsed.name):
        raise ModelMissing(f"{parsed.name} lacks {', '.join(file.name for file in absent)}")
    if composition.check_weights(parsed.name):
        print(f"{parsed.name}: every weight has its place")
    print(f"{parsed.name} is in {model_store.folder(parsed.name)}")
    return 0


def _list_models(*, as_json: bool) -> None:
    from .. import model_store
    from .. import models as packaged

    rows: list[dict[str, str]] = []
    for model in packaged.registry().values():
        try:
            packaged.find(model.name)
            state = "there"
        except ModelMissing:
            state = f"missing: install maestra[{model.extra}]"
        rows.append(
            {
                "model": model.name,
                "for": " ".join(filter(None, (model.port, model.backend))),
                "state": state,
                "comes": f"in {model.distribution}",
                "licence": model.licence,
            }
        )
    for family in model_store.families().values():
        absent = model_store.missing(family.name)
        on_hub = all(file.repository for file in family.files)
        rows.append(
            {
                "model": family.name,
                "for": " ".join(filter(None, (family.port, family.backend))),
                "state": f"missing: {len(absent)} of {len(family.files)} files"
                if absent
                else "there",
                "comes": "from the hub, or a folder" if on_hub else "from a folder",
                "licence": family.licence,
            }
        )
    if as_json:
        _print_json(rows)
        return
    _print_table(
        ("MODEL", "FOR", "STATE", "COMES", "LICENCE"), [tuple(row.values()) for row in rows]
    )
    print(f"\nWhat no package carries is kept in {model_store.root()}.")


def _print_report(report: Report) -> None:
    print(f"Maestra {report.maestra}, Python {report.python}, {report.platform}\n")
    _print_table(
        ("PACKAGE", "VERSION", "LICENCE"),
        [(p.name, p.version or "not installed", p.licence) for p in report.packages],
    )
    print()
    _print_table(
        ("MODEL", "STATE", "MB", "SHA-256", "LICENCE"),
        [
            (
                m.name,
                m.state,
                f"{m.size / 1e6:.1f}",
                m.sha256[0][:12] + ("" if len(m.sha256) == 1 else f" and {len(m.sha256) - 1} more"),
                m.licence,
            )
            for m in report.models
        ],
    )
    print()
    _print_table(
        ("PORT", "BACKEND", "", "NEEDS"),
        [
            (
                b.port,
                b.name + (" *" if b.chosen else ""),
                "ready" if b.ready else "not ready",
                ", ".join((*b.packages, *b.models)) or "nothing more",
            )
            for b in report.backends
        ],
    )
    print("* in use with this configuration\n")
    _print_table(
        ("PORT", "BACKEND", "KEY", "WHERE THE DATA GOES", "COST", "LICENCE"),
        [
            (
                b.port,
                b.name,
                f"{b.key} {'is set' if b.key_set else 'is not set'}" if b.key else "none",
                "nowhere" if b.data == "stays" else b.data,
                b.cost,
                b.licence,
            )
            for b in report.backends
            if b.origin == "maestra"
        ],
    )
    print()
    for notice in report.notices:
        print(f"Note: {notice}.")
    print()
    if not report.troubles:
        print("All is well.")
    for trouble in report.troubles:
        print(f"{'Wrong' if trouble.serious else 'Beware'}: {trouble.what}.")
        print(f"  To mend it: {trouble.mend}")


# --- printing -----------------------------------------------------------------


def _print_json(content: object) -> None:
    json.dump(content, sys.stdout, ensure_ascii=False, indent=2, default=_plain)
    print()


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{value!r} has no place in JSON")


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
