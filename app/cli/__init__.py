"""The ``maestra`` command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from maestra.ports.errors import BackendRefused, MaestraError, ModelMissing, leaves

from ..backends import NoSuchBackend
from ..config import ConfigError
from ..dependencies import NotInstalled
from ..paths import WouldOverwrite
from . import commands
from .parser import grammar

__all__ = ["exit_code", "main"]

_COMMANDS: Mapping[str, Callable[..., int]] = {
    "lesson": commands.lesson,
    "analyse": commands.analyse,
    "demo": commands.demo,
    "serve": commands.serve,
    "console": commands.console,
    "capacity": commands.capacity,
    "doctor": commands.doctor,
    "models": commands.models,
    "personas": commands.personas,
    "config": commands.config,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code says how it went. Ours are in ``parser.EXIT_CODES``; 130 means
    that Ctrl-C or SIGTERM cut short what could not be ended well."""
    try:
        signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # not the main thread: whoever calls us minds the signals
        pass
    parsed = grammar().parser.parse_args(arguments)
    # One thread per model, as in a lesson's workers: pools that spin take twice the time here.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    try:
        code = _COMMANDS[parsed.command](parsed)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain of it at exit once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except BaseException as error:
        ours = [leaf for leaf in leaves(error) if isinstance(leaf, MaestraError)]
        if len(ours) != len(list(leaves(error))):
            raise
        print(f"maestra: {ours[0]}", file=sys.stderr)
        return exit_code(ours[0])


def exit_code(error: MaestraError) -> int:
    """Which exit code ``error`` means."""
    from ..session import SessionFailed

    match error:
        case ConfigError() | NoSuchBackend() | WouldOverwrite() | commands.UsageError():
            return 2
        case BackendRefused() | SessionFailed(refused=True):
            return 2
        case ModelMissing() | NotInstalled() | SessionFailed(missing_model=True):
            return 4
        case _:
            return 3


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
