"""The machine that is measured on, and what processes take of it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil
from attrs import frozen

from ..sampling import Periodic

__all__ = ["Machine", "Sample", "Watch", "look"]


@frozen(kw_only=True)
class Machine:
    """``load`` is the 1-minute load average when it was looked at."""

    cpu: str
    cores: int
    memory_gb: float
    load: float
    system: str
    python: str

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB, load {self.load:.1f}"
            f" at the start, {self.system}, Python {self.python}"
        )


def look() -> Machine:
    """This machine, now."""
    affinity = getattr(os, "sched_getaffinity", None)
    return Machine(
        cpu=_cpu(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        memory_gb=psutil.virtual_memory().total / 1e9,
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@frozen(kw_only=True)
class Sample:
    """At ``at`` (s, monotonic) ``processes`` had ``rss`` bytes resident and had used ``cpu`` s;
    ``pss`` counts pages that they share once, and is 0 where the system does not say."""

    at: float
    rss: int
    pss: int
    cpu: float
    processes: int


class Watch(Periodic):
    """Samples a process and its children every ``every`` seconds while it is entered."""

    def __init__(self, pid: int, every: float = 1.0) -> None:
        super().__init__(self._take, every=every)
        self.samples: list[Sample] = []
        self._pid = pid

    def _take(self, count: int) -> None:
        sample = _sample(self._pid, shared=count % 10 == 0)
        if sample is not None:
            self.samples.append(sample)


def _sample(pid: int, *, shared: bool) -> Sample | None:
    rss = pss = seen = 0
    cpu = 0.0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    for process in family:
        try:
            times = process.cpu_times()
            rss += process.memory_info().rss
            cpu += times.user + times.system
            if shared:
                pss += getattr(process.memory_full_info(), "pss", 0)
            seen += 1
        except psutil.Error:
            continue  # it has just gone
    return Sample(at=time.monotonic(), rss=rss, pss=pss, cpu=cpu, processes=seen)
