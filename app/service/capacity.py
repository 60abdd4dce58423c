"""How many lessons fit on this machine.

One lesson is measured (``measuring``), once; what is found is kept in a file, by a key of all that
it depends on: the machine, the version, and the backends. How many fit follows by rule:

* So many lessons may take ``1 - HEADROOM`` of the processors' time. The rest is for bursts, for
  whoever else is on the machine, and for the service.
* While ``n`` lessons run, all of them may be played in. In some of them somebody speaks or the
  teacher answers instead, which may take more: in as many as are not exceeded ``SURE`` of the time,
  if it happens ``TALKING`` of the time in each.
* One lesson is always let in: no other would suffer. Where the measured one could not keep up, no
  second is.

Memory is looked at when a lesson is to start, for others use it, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import anyio
import attrs
from attrs import field, frozen

from maestra.ports.errors import MaestraError

from ..config import Effective
from .machine import Machine
from .measuring import Cost

__all__ = [
    "HEADROOM",
    "SURE",
    "TALKING",
    "Capacity",
    "NotMeasured",
    "at_once",
    "default_file",
    "keep",
    "kept",
    "key_of",
    "measure",
    "room_for",
]

HEADROOM: Final = 0.15
TALKING: Final = 0.25
SURE: Final = 0.99

_MOST: Final = 1000
_MEASURER: Final = (sys.executable, "-m", "maestra.app.service.measuring")
_WITHIN: Final = 180.0
"""Seconds that the measurement may take: loading is slow on a cold disk."""

_MATTER: Final = ("senses.", "voice.", "face.", "stream.", "brain.backend", "brain.options")
"""Which options change what a lesson takes."""

_BUSY: Final = 0.5
"""A load average, for each processor, that others cause and that matters."""

_GROWS: Final = 1.25
"""A lesson's memory after hours, of what it is after its first answer."""

_UNKNOWN_MEMORY: Final = 1_100_000_000
"""Bytes that a lesson takes where it was not measured: the embedded default's."""

_SPARE: Final = 256_000_000
"""Bytes that stay free for others."""


class NotMeasured(MaestraError):
    """The machine could not be measured. The text says why."""


@frozen(kw_only=True)
class Capacity:
    """What was measured at ``at`` (UTC), while the machine's load average was ``load``, and what
    follows from it. ``processors`` is what the machine had."""

    key: str
    cpu: str
    processors: float
    cost: Cost
    at: str
    load: float
    version: int = field(default=1)

    @property
    def usable(self) -> float:
        """How many processors' time lessons may take."""
        return self.processors * self.cost.together * (1 - HEADROOM)

    @property
    def steady(self) -> float:
        """Processors that a lesson takes while somebody plays, or nothing happens."""
        return max(self.cost.processors.get(phase, 0.0) for phase in ("idle", "playing"))

    @property
    def talking(self) -> float:
        """Processors that it takes while somebody speaks or the teacher answers."""
        return max(self.steady, self.cost.processors.get("talking", 0.0))

    def demand(self, lessons: int) -> float:
        """Processors that so many lessons take at once."""
        return lessons * self.steady + at_once(lessons) * (self.talking - self.steady)

    @property
    def most(self) -> int:
        """How many lessons fit; one at least."""
        count = 1
        while not self.cost.trouble and count < _MOST and self.demand(count + 1) <= self.usable:
            count += 1
        return count

    def __str__(self) -> str:
        if self.cost.trouble:
            return (
                "1 lesson: the one that was measured could not keep up"
                f" ({self.cost.trouble}; the load was {self.load:.1f})."
                " If the machine was busy, measure again: maestra capacity --again"
            )
        most = self.most
        more = f"{most + 1} would take {self.demand(most + 1):.2f}"
        return (
            f"{most} {'lesson fits' if most == 1 else 'lessons fit'}: {more} of the"
            f" {self.usable:.2f} processors that lessons may take. One takes {self.steady:.2f},"
            f" {self.talking:.2f} while there is talk, and {self.cost.memory / 1e9:.2f} GB."
        )

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@cache
def at_once(lessons: int) -> int:
    """In how many of so many lessons there is talk at once, in all but 1 - ``SURE`` of the time: a
    quantile of the binomial distribution."""
    exactly = share = (1 - TALKING) ** lessons
    count = 0
    while share < SURE and count < lessons:
        exactly *= (lessons - count) / (count + 1) * TALKING / (1 - TALKING)
        share += exactly
        count += 1
    return count


def room_for(available: int | None, capacity: Capacity | None, starting: int) -> bool:
    """Whether a lesson's memory can be had, beside that of those that are ``starting`` and have not
    taken theirs yet.

    :param available: bytes; ``None``: nobody knows.
    """
    one = (capacity.cost.memory if capacity else 0) or _UNKNOWN_MEMORY
    return available is None or available >= (starting + 1) * one * _GROWS + _SPARE


# --- what was measured before -------------------------------------------------


def default_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where what was measured is kept."""
    environ = os.environ if environ is None else environ
    state = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "maestra" / "capacity.json"


def key_of(effective: Effective, machine: Machine) -> str:
    """What a measurement depends on, in short."""
    values = {name: value for name, value in effective.values().items() if name.startswith(_MATTER)}
    whole = json.dumps(
        [version("maestra"), attrs.asdict(machine), effective.config.persona, values],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def kept(file: Path, key: str) -> Capacity | None:
    """What was measured before with this key, if it was."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        cost = Cost(**content.pop("cost"))
        found = Capacity(cost=cost, **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # nothing, or of another version
    return found if found.key == key else None


def keep(file: Path, capacity: Capacity) -> None:
    """Remember it; where that cannot be, it is measured again next time."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = file.with_suffix(".new")
        new.write_text(json.dumps(capacity.to_dict(), indent=1) + "\n", encoding="utf-8")
        new.replace(file)


# --- measuring ----------------------------------------------------------------


async def measure(
    effective: Effective,
    file: Path | None,
    *,
    command: Sequence[str] = _MEASURER,
    within: float = _WITHIN,
) -> Capacity:
    """Hold a lesson, see what it takes, and keep that in ``file`` (``None``: nowhere), unless the
    machine was so busy with others that it could not keep up. Takes half a minute.

    :raises NotMeasured: it cannot be.
    """
    machine = Machine()
    load = os.getloadavg()[0]
    values = {name: value for name, value in effective.values().items() if value is not None}
    said = await _run(command, json.dumps(values).encode(), within)
    try:
        cost = Cost(**json.loads(said))
    except (ValueError, TypeError) as error:
        raise NotMeasured(f"the measured lesson said {said[-200:]!r}") from error
    if not any(cost.processors.values()):
        raise NotMeasured("this system does not say what processes take")
    capacity = Capacity(
        key=key_of(effective, machine),
        cpu=machine.cpu,
        processors=machine.processors,
        cost=cost,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        load=round(load, 2),
    )
    was_busy = bool(cost.trouble) and load > _BUSY * machine.processors
    if file is not None and not was_busy:
        keep(file, capacity)
    return capacity


async def _run(command: Sequence[str], settings: bytes, within: float) -> bytes:
    kept = {k: v for k, v in os.environ.items() if k != "MAESTRA_SERVICE_TOKEN"}
    try:
        process = await anyio.open_process(
            command, stderr=subprocess.PIPE, env=kept, start_new_session=True
        )
    except OSError as error:
        raise NotMeasured(f"its process cannot be started: {error.strerror}") from error
    said: list[bytes] = []
    complaints: list[bytes] = []
    try:
        assert process.stdin and process.stdout and process.stderr
        with anyio.move_on_after(within) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_gather, process.stdout, said)
                tasks.start_soon(_gather, process.stderr, complaints)
                with suppress(anyio.BrokenResourceError):
                    await process.stdin.send(settings)
                await process.stdin.aclose()
                await process.wait()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            await process.aclose()
    if scope.cancelled_caught:
        raise NotMeasured(f"the measured lesson was not over after {within:.0f} s")
    if process.returncode:
        last = b"".join(complaints).decode(errors="replace").strip().splitlines()
        raise NotMeasured(f"the measured lesson failed: {last[-1] if last else 'without a word'}")
    return b"".join(said)


async def _gather(stream: Any, into: list[bytes]) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for part in stream:
            into.append(part)
