"""See ``maestra.app.experiments.many_lessons``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from ..bench import machine
from .cycles import come_and_go, report
from .together import Held, hold


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m maestra.app.experiments.many_lessons")
    parser.add_argument("what", choices=("together", "cycles"))
    parser.add_argument("--lessons", type=int, default=8, help="how many are asked for at once")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long they are taught")
    parser.add_argument("--kill", action="store_true", help="kill the first one half-way")
    parser.add_argument("--late", action="store_true", help="ask for one more half-way")
    parser.add_argument("--cycles", type=int, default=200, help="how many come and go")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("out/many_lessons"))
    parsed = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has had one ignored
        signal.signal(number, signal.default_int_handler)
    print(machine.look(), flush=True)
    settings, out = parsed.settings, parsed.out.resolve()
    if parsed.what == "cycles":
        found, left = come_and_go(parsed.cycles, out, settings=settings, say=_say)
        _write(out / "cycles.json", report(found, left))
        return 1 if left else 0
    try:
        overview, held = hold(
            parsed.lessons,
            parsed.seconds,
            out,
            settings=settings,
            kill=parsed.kill,
            late=parsed.late,
        )
    except KeyboardInterrupt:
        _say("ended early: there is nothing to tell")
        return 130
    content = {"overview": overview, "lessons": [attrs.asdict(one) for one in held]}
    (out / "together.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    said = overview["measured"]["text"] if overview["measured"] else ""
    _say(f"at most {overview['most']}, by {overview['limited_by']}: {said}")
    for one in held:
        _say(_line(one))
    _say(f"load at the end {os.getloadavg()[0]:.1f}")
    return 0


def _line(one: Held) -> str:
    if not one.admitted:
        return f"{one.number}: refused ({one.refused})"
    return (
        f"{one.number}: under 24 frames in {one.slow_by_stamp} of {one.seconds} seconds by stamp,"
        f" {one.slow_by_arrival} by arrival, {one.slow_as_told} of {one.told} as told;"
        f" least {one.least_fps:.0f}; pictures held {one.held_frames}; underruns {one.underruns};"
        f" answers {one.answers}; {sum(one.cpu.values()):.2f} processors {one.cpu_by_phase};"
        f" {one.pss / 1e9:.2f} GB; ended {one.ended}; {sorted(set(one.complaints))}"
    )


def _write(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    _say(text)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
