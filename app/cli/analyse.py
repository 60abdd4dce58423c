"""``maestra analyse``: what was measured, for people or for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maestra.ports.errors import StreamRefused

from ..analysis import analyse, plot
from ..config import Config
from .commands import UsageError

__all__ = ["analyse_file", "report"]


def analyse_file(config: Config, path: Path, *, as_json: bool, plot_path: Path | None) -> None:
    """Measure ``path`` and print what was found; draw it, if ``plot_path`` says where.

    :raises MaestraError: it cannot be read, or the picture cannot be written. That it has nowhere
        to go is said before anything is measured; that a recording is damaged, once what could be
        heard of it was reported.
    """
    if plot_path is not None:
        _check_plot(plot_path)
    analysis = analyse(path, config)
    if plot_path is not None:
        try:
            plot(analysis, plot_path)
        except (OSError, ValueError) as error:
            raise StreamRefused(f"{plot_path} cannot be drawn: {error}") from error
    content = analysis.to_dict()
    if as_json:
        print(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print("\n".join(report(content)))
    if analysis.damage is not None:
        raise analysis.damage


def _check_plot(path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kinds = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise UsageError(f"the picture {path} must end in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise StreamRefused(f"{path} cannot be drawn: there is no folder {path.parent}")
    if path.is_dir():
        raise StreamRefused(f"{path} cannot be drawn: it is a folder")


def report(content: Mapping[str, Any]) -> Iterator[str]:
    """The lines that people read, of what the JSON holds."""
    takes, notes = content["takes"], content["notes"]
    if not takes:
        yield "No music was heard."
        return
    parts = [_count(len(takes), "take"), _count(len(notes), "note")]
    if (tempo := content["tempo_bpm"]) is not None:
        parts.append(f"{tempo:.0f} beats a minute")
    parts += sorted({take["instrument"] for take in takes if take["instrument"]})
    yield ", ".join(parts)
    for remark in content["observations"]:
        yield f"{_clock(remark['start'])} to {_clock(remark['end'])}  {remark['text']}"
    if not content["observations"]:
        yield "Not enough was heard to judge it."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes):2}:{rest:04.1f}"
