"""``python -m maestra.app.experiments.bench [--only PART] [--quick] [--material FOLDER]``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from . import machine, report
from .parts import PARTS, Bench

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and report. 0 if all parts could be measured, whatever they found."""
    parser = argparse.ArgumentParser(prog="python -m maestra.app.experiments.bench")
    parser.add_argument(
        "--only", action="append", choices=tuple(PARTS), help="this part; may be given again"
    )
    parser.add_argument("--quick", action="store_true", help="few samples, a few minutes")
    parser.add_argument(
        "--material", type=Path, help="a folder of recordings with a manifest.json, to add"
    )
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="where it goes")
    parser.add_argument(
        "--reuse", action="store_true", help="measure the last live recording again"
    )
    options = parser.parse_args(arguments)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        out=out, quick=options.quick, material=options.material, say=_say, reuse=options.reuse
    )
    failed = False
    for name in options.only or [n for n in PARTS if n != "senses" or options.material]:
        _say(f"{name}: {machine.look()}")
        failed = not _measure(bench, name) or failed
    print(report.write(out, _kept(out)))
    print(f"\n{out / 'report.md'}")
    return 1 if failed else 0


def _measure(bench: Bench, name: str) -> bool:
    """Measure one part and keep what was found, beside what other runs found of other parts."""
    on, begun = machine.look(), time.monotonic()
    bench.troubles.clear()
    bench.plots.clear()
    findings = []
    well = True
    try:
        for finding in PARTS[name](bench):
            findings.append(finding)
    except Exception as error:  # one part's failure must not cost what the others have to say
        traceback.print_exc()
        bench.troubles.append(f"{name}: could not be measured: {type(error).__name__}: {error}")
        well = False
    content = {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "seconds": time.monotonic() - begun,
        "quick": bench.quick,
        "machine": str(on),
        "load_after": os.getloadavg()[0],
        "findings": [finding.to_dict() for finding in findings],
        "troubles": list(bench.troubles),
    }
    path = bench.out / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    report.draw(bench.out, bench.plots)
    return well


def _kept(out: Path) -> dict[str, dict[str, object]]:
    return {
        name: json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        for name in PARTS
        if (out / f"{name}.json").exists()
    }


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
