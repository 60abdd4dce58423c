"""How much of the GPUs' memory each session holds, as ``nvidia-smi`` says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import anyio

__all__ = ["by_group", "watch"]

_EVERY: Final = 10.0
"""Seconds between two questions: each starts a process."""

_WITHIN: Final = 5.0
_PROGRAM: Final = "nvidia-smi"
_QUERY: Final = ("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
_MIB: Final = 1024 * 1024


async def by_group() -> Mapping[int, int] | None:
    """Bytes held on all GPUs, by process group; ``None`` where there is no NVIDIA driver, or it
    does not answer."""
    program = shutil.which(_PROGRAM)
    if program is None:
        return None
    try:
        with anyio.fail_after(_WITHIN):
            found = await anyio.run_process([program, *_QUERY], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError, TimeoutError):
        return None
    held: Counter[int] = Counter()
    for line in found.stdout.decode(errors="replace").splitlines():
        pid, _, mebibytes = line.partition(",")
        # In some containers the driver says "[N/A]".
        if not (pid.strip().isdecimal() and mebibytes.strip().isdecimal()):
            continue
        try:
            held[os.getpgid(int(pid))] += int(mebibytes) * _MIB
        except ProcessLookupError:  # it has ended meanwhile
            continue
    return held


async def watch(tell: Callable[[Mapping[int, int] | None], None]) -> None:
    """``tell`` what ``by_group`` finds, again and again, for as long as there is a driver. One that
    did not answer, on a busy machine, may do so the next time."""
    while shutil.which(_PROGRAM) is not None:
        tell(await by_group())
        await anyio.sleep(_EVERY)
