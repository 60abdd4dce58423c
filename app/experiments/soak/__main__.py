"""``python -m maestra.app.experiments.soak --minutes 60``."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ..bench import machine
from . import findings
from .lesson import Held, hold
from .server import CONFIGURATION, missing

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Hold the lesson and say what became of it. 0 if nothing should have been otherwise."""
    parser = argparse.ArgumentParser(prog="python -m maestra.app.experiments.soak")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long")
    parser.add_argument(
        "--every", type=float, default=30.0, help="seconds between faults, on average"
    )
    parser.add_argument("--seed", type=int, default=1, help="of when and which")
    parser.add_argument("--out", type=Path, default=Path("out/soak"), help="where it goes")
    parser.add_argument(
        "--nginx", type=Path, default=CONFIGURATION, help="nginx's configuration file"
    )
    parser.add_argument(
        "--keep-films", action="store_true", help="keep what the viewer recorded, not only its log"
    )
    options = parser.parse_args(arguments)
    lacking = missing() or ("" if shutil.which("ffmpeg") else "ffmpeg")
    if lacking or not options.nginx.exists():
        text = f"there is no {options.nginx}" if not lacking else f"not installed: {lacking}"
        print(f"{text} (run it in a checkout, after make system)", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    on = machine.look()
    _say(f"{on}")
    held = Held(folder=options.out)
    begun = time.strftime("%Y-%m-%d %H:%M")
    try:
        hold(
            options.out,
            seconds=60 * options.minutes,
            every=options.every,
            seed=options.seed,
            configuration=options.nginx,
            stop=stop,
            say=_say,
            held=held,
        )
    except (RuntimeError, OSError) as error:
        print(f"the lesson was not held to its end: {error}", file=sys.stderr)
        if not held.status:
            return 1
    found = findings.find(held)
    bad = findings.complaints(found)
    content = {
        "when": begun,
        "machine": str(on),
        "seed": options.seed,
        "every": options.every,
        "found": found,
        "complaints": bad,
        **held.to_dict(),
    }
    path = options.out / "soak.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    findings.draw(held, options.out / "memory.png")
    if not options.keep_films:
        for film in options.out.glob("viewer-*.mp4"):
            film.unlink()
    _say(json.dumps(found, indent=1))
    for one in bad:
        _say(f"NOT WELL: {one}")
    _say(f"{path}, {options.out / 'memory.png'}")
    return 1 if bad else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
