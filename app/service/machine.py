"""What this machine, or the part of it that this process may use, has for lessons, and what
processes take of it.

In a container the machine is what its control group (version 1 or 2) allows: so many processors'
time, and so much memory. Where the system does not say, there is no such limit.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import field, frozen

__all__ = ["Machine", "group_memory", "group_time", "memory_available", "processors"]

_CGROUPS: Final = Path("/sys/fs/cgroup")
_PROC: Final = Path("/proc")


def processors() -> int:
    """How many processors this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


@frozen(kw_only=True)
class Machine:
    """``cpu`` is its processors' model; of their time we may use as much as ``processors`` of them
    have, which need not be whole."""

    cpu: str = field(factory=lambda: _cpu(_PROC))
    processors: float = field(factory=lambda: min(processors(), _quota(_PROC, _CGROUPS)))


def _cpu(proc: Path) -> str:
    for line in _lines(proc / "cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_available(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes that can still be had, without others' being swapped out; ``None``: nobody says."""
    found = []
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            found.append(1024 * int(line.split()[1]))
    for folder in _groups("memory", proc, cgroups):
        for limit, used, kind in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None and taken is not None:
                found.append(most - taken + _statistic(folder, kind))
    return max(0, min(found)) if found else None


def group_time(group: int) -> float:
    """Seconds of processor time that the processes of ``group``, and those that they have waited
    for, have used so far; 0 where the system does not say."""
    ticks = sum(sum(map(int, words[11:15])) for _, words in _members(group))
    return ticks / os.sysconf("SC_CLK_TCK")


def group_memory(group: int) -> int | None:
    """Bytes of memory that the processes of ``group`` take, shared ones counted in part; ``None``
    where the system does not say."""
    total = 0
    for number, _ in _members(group):
        for line in _lines(_PROC / str(number) / "smaps_rollup"):
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
    return total or None


def _members(group: int) -> Iterator[tuple[int, list[str]]]:
    """The processes of ``group``, each with what its ``stat`` says after its name (proc(5))."""
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():
        if name.isdecimal():
            words = "".join(_lines(_PROC / name / "stat")).rpartition(")")[2].split()
            if words and int(words[2]) == group:
                yield int(name), words


def _quota(proc: Path, cgroups: Path) -> float:
    """How many processors' time the control groups allow."""
    found = [float("inf")]
    for folder in _groups("cpu", proc, cgroups):
        words = " ".join(_lines(folder / "cpu.max")).split()
        if len(words) == 2 and words[0].isdecimal():
            found.append(int(words[0]) / int(words[1]))
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and period is not None and quota > 0:
            found.append(quota / period)
    return min(found)


def _groups(controller: str, proc: Path, cgroups: Path) -> Iterator[Path]:
    """The folders of the control groups that we are in, from our own to the root."""
    for line in _lines(proc / "self" / "cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controller if controllers else cgroups
        # From inside a container the path may lead to nowhere: then its root is all we see.
        inside = Path(path.strip().lstrip("/"))
        for part in (inside, *inside.parents):
            if ".." not in part.parts and (root / part).is_dir():
                yield root / part


def _statistic(folder: Path, name: str) -> int:
    for line in _lines(folder / "memory.stat"):
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    """The number in the file; ``None``: it is not there, or says ``max``."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
