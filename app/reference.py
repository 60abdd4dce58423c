"""The reference pages, made from the code so that they cannot lie, and a check of all pages.

``python -m maestra.app.reference docs`` writes the pages. With ``--check`` nothing is written: it
says which pages are not current, which links lead nowhere and which examples are not Python, and
exits with 1 if there is any.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from maestra.core import log
from maestra.core.conversation.docs import page as conversation_page

from . import composition, models
from .backends import CATALOGUE
from .cli.commands import toml_value
from .cli.parser import EXIT_CODES, grammar
from .config import Config, Option, kind_in_words, not_none, options, presets, variable
from .dependencies import dependencies, needed

__all__ = ["PAGES", "complaints", "main"]

_MADE = (
    "<!-- Made by `python -m maestra.app.reference docs`; a test compares it. Do not edit. -->\n"
)


# --- the command --------------------------------------------------------------


def command_page() -> str:
    """Every subcommand and its arguments."""
    all_of_it = grammar()
    lines = [_MADE, "# The command line\n", f"{all_of_it.parser.description}\n"]
    for name, parser in all_of_it.commands.items():
        lines += [f"## maestra {name}\n", f"{parser.description}\n", "```sh", _usage(name, parser)]
        lines += ["```\n", "| argument | meaning |", "| --- | --- |"]
        for action in _actions(parser):
            meaning = (action.help or "").rstrip(".")
            if action.choices:
                meaning += f": {' or '.join(f'`{choice}`' for choice in action.choices)}"
            if action.default not in (None, False, []) and action.option_strings:
                meaning += f" (default `{action.default}`)"
            lines.append(f"| `{_spelling(action)}` | {meaning} |")
        lines.append("")
    lines += ["## Exit codes\n", "| code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield action


def _spelling(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar)
    name = action.option_strings[0]
    if action.nargs == 0:
        return name
    value = action.metavar or "|".join(map(str, action.choices or ()))
    # Within a table's cell a bar would end the cell.
    return f"{name} {value}".replace("|", " or ")


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    parts = [
        _spelling(action) if not action.option_strings else f"[{_spelling(action)}]"
        for action in sorted(_actions(parser), key=lambda action: bool(action.option_strings))
    ]
    return " ".join(["maestra", name, *parts])


# --- the configuration --------------------------------------------------------


def configuration_page() -> str:
    """Every option."""
    lines = [
        _MADE,
        "# Configuration\n",
        "A value is taken from the first of these that has it:\n",
        "1. `--set section.key=value` on the command line,",
        "2. the environment: `MAESTRA_SECTION__KEY`, with two underscores,",
        "3. the file that `--config` names (TOML),",
        "4. the default.\n",
        "`maestra config` prints what is in force and where each value came from. A key that does"
        " not exist is refused. On the command line and in the environment a list is written as in"
        ' TOML, `["one", "two"]`; backends also with commas between them, `openai,coach`; any other'
        " text is a list of one.\n",
        "What a single backend can be told stands in a table of its own, `[brain.options.openai]`;"
        " on the command line `--set brain.options.openai.model=gpt-4o`, in the environment"
        " `MAESTRA_BRAIN__OPTIONS__OPENAI__MODEL`. Keys and other secrets are never options: each"
        " comes from an environment variable, see [the backends](backends.md).\n",
        "A key marked *live* may change while a session runs, by `session.update_config()`.\n",
    ]
    tables: dict[str, list[Option]] = {}
    for option in options():
        tables.setdefault(option.key.rpartition(".")[0], []).append(option)
    kinds = {a.name: a.type for a in attrs.fields(Config)}
    for section, found in tables.items():
        if section:
            lines += [f"## [{section}]\n", f"{kinds[section].__doc__}\n"]
        else:
            lines.append("## Outside of any section\n")
        lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [_option_row(option) for option in found]
        lines.append("")
    lines += _settings_tables()
    lines += [
        "## In the environment\n",
        "| key | variable |",
        "| --- | --- |",
        *(f"| `{option.key}` | `{variable(option.key)}` |" for option in options()),
    ]
    return "\n".join(lines) + "\n"


def _option_row(option: Option) -> str:
    about = option.about
    notes = [about["doc"].rstrip(".")]
    if about["choices"]:
        notes.append(f"One of {', '.join(about['choices'])}")
    low, high = about["minimum"], about["maximum"]
    if low is not None and high is not None:
        notes.append(f"{_number(low)} to {_number(high)}")
    if about["live"]:
        notes.append("*Live*")
    kind = option.kind_in_words.split(" ", 1)[-1] if not about["unit"] else about["unit"]
    if option.kind is bool:
        kind = "true or false"
    name = option.key.rpartition(".")[2]
    return f"| `{name}` | {kind} | `{toml_value(option.default)}` | {'. '.join(notes)} |"


def _number(value: float) -> str:
    """Thousands set apart, no point without need."""
    return f"{value:,.10g}".replace(",", " ") if value < 1e6 else f"{value / 1e6:g} million"


def _settings_tables() -> Iterator[str]:
    """What each backend can be told."""
    for port, name in CATALOGUE:
        cls = composition.settings_class(port, name)
        if cls is None:
            continue
        yield f"## [{port.partition('.')[0]}.options.{name}]\n"
        about = (cls.__doc__ or "").partition("\n\n")[0]
        yield f"{' '.join(about.split())}\n"
        yield "| key | type | default | meaning |"
        yield "| --- | --- | --- | --- |"
        for attribute in attrs.fields(attrs.resolve_types(cls)):
            yield _setting_row(attribute)
        yield ""


def _setting_row(attribute: Any) -> str:
    about = attribute.metadata
    notes = [about.get("doc", "").rstrip(".")]
    kind = not_none(attribute.type)
    if get_origin(kind) is Literal:
        notes.append(f"One of {', '.join(map(str, get_args(kind)))}")
        kind = str
    low, high = about.get("minimum"), about.get("maximum")
    if low is not None and high is not None:
        notes.append(f"{_number(low)} to {_number(high)}")
    default = attribute.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    if default is attrs.NOTHING:
        shown = "must be set"
    else:
        shown = "none" if default is None else f"`{toml_value(default)}`"
    words = about.get("unit") or kind_in_words(kind)
    return f"| `{attribute.name}` | {words} | {shown} | {'. '.join(notes)} |"


# --- the backends -------------------------------------------------------------


def backends_page() -> str:
    """Every backend of ours, and what somebody who chooses one has to know."""
    lines = [
        _MADE,
        "# The backends\n",
        "Each is chosen by its name, one or several in the order they are asked. *Streams*"
        " says that its first part is there before its last; *cancels*, of what answers, that it"
        " stops within 50 ms; *figures* which of its figures the [event log](event-log.md) has: in"
        " `answered` (TTFT), `spoken` (TTFB, RTF), `reply_started` (hearing) and `slice` (fps)."
        " Costs are list prices as they were in 2025: the vendor's price list counts. Gigabytes of"
        " a GPU are of published sizes, not measured.\n",
        "| port | backend | streams | cancels | figures | needs | GPU, GB | licence"
        " | where the data goes | cost |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for backend in CATALOGUE.values():
        needs = [one.distribution for one in needed(backend.port, backend.name)]
        if backend.key:
            needs.append(f"`{backend.key}`")
        cells = (
            backend.port,
            f"`{backend.name}`",
            "yes" if backend.streams else "no",
            ("yes" if backend.cancels else "no") if backend.answers else "",
            backend.figures,
            ", ".join(needs) or "nothing more",
            f"{backend.gpu_gb:g}" if backend.gpu_gb else "",
            backend.licence,
            "stays on the machine" if backend.stays else backend.data,
            backend.cost,
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "\n## Presets\n",
        "`--config` takes the name of one of these instead of a file; `maestra config --presets`"
        " lists them.\n",
        "| preset | what |",
        "| --- | --- |",
        *(f"| `{name}` | {preset.about} |" for name, preset in presets().items()),
    ]
    return "\n".join(lines) + "\n"


# --- the event log ------------------------------------------------------------


def event_log_page() -> str:
    """Every record type."""
    lines = [
        _MADE,
        "# The event log\n",
        f"Version {log.SCHEMA_VERSION} of the schema.\n",
        "A session's log is JSON Lines: every line is an object, a record. The first is"
        " `session_started`, the last `session_ended`. Every record has these fields:\n",
        "| field | type | meaning |",
        "| --- | --- | --- |",
        "| `t` | number | seconds of session media time |",
        "| `wall` | number | seconds of a monotonic clock; it never goes back |",
        "| `type` | string | which of the types below |",
        "",
        "Within one version types and fields may be added, and nothing is removed, renamed or given"
        " another meaning. So a reader should pass over what it does not know.\n",
        "`maestra.core.log` has a class for each type, and `decode`, `encode`, `problems` (of a"
        " line) and `check_log` (of a whole log).\n",
    ]
    for name, cls in log.RECORD_TYPES.items():
        lines += [f"## {name}\n", *_record_table(cls), ""]
    lines.append("# Parts of records\n")
    for part in (log.Latency, log.Remark, log.Stated, log.Fact):
        lines += [f"## {part.__name__.lower()}\n", *_record_table(part), ""]
    return "\n".join(lines).rstrip() + "\n"


def _record_table(cls: type[Any]) -> Iterator[str]:
    yield " ".join((cls.__doc__ or "").split()) + "\n"
    yield "| field | type | meaning |"
    yield "| --- | --- | --- |"
    for attribute in attrs.fields(cls):
        if attribute.name in ("t", "wall"):
            continue
        kind = log.describe_type(attribute.type).replace(" | ", ", ")
        yield f"| `{log.field_name(attribute)}` | {kind} | {attribute.metadata['doc']} |"


# --- licences -----------------------------------------------------------------


def licences_page() -> str:
    """What Maestra stands on, and under what terms."""
    lines = [
        _MADE,
        "# Licences\n",
        "Maestra itself is Apache-2.0. What `maestra` alone installs is permissive. What is under"
        " the GPL, or for non-commercial use only, is in an extra, is never imported by the core"
        " and the ports, and says so once when a session loads it. `maestra doctor` shows what is"
        " installed.\n",
        "## Distributions\n",
        "| distribution | installed by | licence | what for | mind |",
        "| --- | --- | --- | --- | --- |",
    ]
    for d in dependencies().values():
        by = f"`maestra[{d.extra}]`" if d.extra else "`maestra`"
        lines.append(
            f"| {d.distribution} | {by} | {d.licence} | {d.purpose} | {d.restriction or ''} |"
        )
    lines += [
        "\n## Models\n",
        "Each file must have the SHA-256 that `app/models.toml` pins, or it is not loaded.\n",
        "| model | needed by | licence | MB | source | carried by | mind |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in models.registry().values():
        needed = f"{m.port}: {m.backend}" if m.port else "nobody by default"
        mind = "; ".join(part for part in (m.restriction, m.note) if part) or ""
        lines.append(
            f"| {m.name} | {needed} | {m.licence} | {m.size / 1e6:.1f} | {m.source}"
            f" | {m.distribution} | {mind} |"
        )
    return "\n".join(lines) + "\n"


# --- the service's interface --------------------------------------------------


def openapi_page() -> str:
    """The control interface of ``maestra serve`` in OpenAPI 3.1. Needs ``maestra[service]``."""
    from .service.api import schema

    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


# --- writing and checking -----------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "reference/backends.md": backends_page,
    "reference/command.md": command_page,
    "reference/configuration.md": configuration_page,
    "reference/conversation.md": conversation_page,
    "reference/event-log.md": event_log_page,
    "reference/licences.md": licences_page,
}
"""The pages that are made, by their place under ``docs/``."""

if find_spec("litestar") is not None:  # of maestra[service]
    PAGES["reference/openapi.json"] = openapi_page


def complaints(docs: Path) -> Iterator[str]:
    """What is wrong with the pages under ``docs`` and with the README beside it."""
    for name, make in PAGES.items():
        path = docs / name
        if not path.is_file() or path.read_text(encoding="utf-8") != make():
            yield f"{name} is not current: run python -m maestra.app.reference docs"
    pages = [*sorted(docs.rglob("*.md")), *sorted(docs.resolve().parent.glob("*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        yield from _dead_links(page, text)
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1):
            try:
                ast.parse(block)
            except SyntaxError as error:
                yield f"{page}: example {number} is not Python: {error}"


def _dead_links(page: Path, text: str) -> Iterator[str]:
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        path = page.parent / place if place else page
        if not path.exists():
            yield f"{page}: {target} leads nowhere"
        elif anchor and path.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            if anchor not in {_anchor(heading) for heading in headings}:
                yield f"{page}: {target} has no such heading"


def _anchor(heading: str) -> str:
    """How Git hosts spell the anchor of ``heading``."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or check them; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("docs", type=Path, help="the folder of the documentation")
    parser.add_argument("--check", action="store_true", help="write nothing, only complain")
    parsed = parser.parse_args(arguments)
    if parsed.check:
        found = list(complaints(parsed.docs))
        for complaint in found:
            print(complaint, file=sys.stderr)
        return bool(found)
    for name, make in PAGES.items():
        path = parsed.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
