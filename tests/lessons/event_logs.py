"""The event log that a lesson left: in order, or it is no log to ask."""

from __future__ import annotations

from pathlib import Path

from maestra.core import log
from maestra.core.log import check_log, decode


def records(path: Path, *, complete: bool = True) -> list[log.Record]:
    """What the log at ``path`` holds, which obeys the schema and is whole.

    :param complete: the lesson came to its end; without, it was killed.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    complaints = check_log(lines, complete=complete)
    assert not complaints, complaints[:10]
    return [decode(line) for line in lines]
