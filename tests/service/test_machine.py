"""What this process may use of the machine, in control groups of both versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maestra.app.service.machine import (
    Machine,
    _quota,
    group_memory,
    group_time,
    memory_available,
    processors,
)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_the_tightest_control_group_counts(tmp_path: Path) -> None:
    proc = write(
        tmp_path / "proc",
        {
            "meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n",
            "self/cgroup": "0::/lessons/one\n",
        },
    )
    groups = write(
        tmp_path / "groups",
        {
            "lessons/one/memory.max": "max\n",
            "lessons/one/memory.current": "1000\n",
            "lessons/one/cpu.max": "max 100000\n",
            "lessons/memory.max": "5000000\n",
            "lessons/memory.current": "4000000\n",
            "lessons/memory.stat": "anon 1\ninactive_file 300000\n",
            "lessons/cpu.max": "150000 100000\n",
        },
    )

    assert memory_available(proc, groups) == 1_300_000
    assert _quota(proc, groups) == 1.5


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    proc = write(
        tmp_path / "proc",
        {
            "meminfo": "MemAvailable:    8000 kB\n",
            "self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
        },
    )
    groups = write(
        tmp_path / "groups",
        {
            # From inside the container its own group is the root.
            "memory/memory.limit_in_bytes": "3000000\n",
            "memory/memory.usage_in_bytes": "2900000\n",
            "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 50000\n",
            "cpu/cpu.cfs_quota_us": "50000\n",
            "cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    (groups / "cpu,cpuacct").symlink_to("cpu")

    assert memory_available(proc, groups) == 150_000
    assert _quota(proc, groups) == 0.5


def test_without_limits_the_machine_is_the_limit(tmp_path: Path) -> None:
    proc = write(
        tmp_path / "proc",
        {"meminfo": "MemAvailable:    8000 kB\n", "self/cgroup": "4:cpu:/\n3:memory:/\n"},
    )
    groups = write(
        tmp_path / "groups",
        {
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/memory.usage_in_bytes": "2900000\n",
        },
    )

    assert memory_available(proc, groups) == 8_192_000
    assert _quota(proc, groups) == float("inf")
    assert memory_available(tmp_path / "nothing", groups) is None
    assert 0 < Machine().processors <= processors()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_what_a_group_of_processes_takes() -> None:
    text = (
        "import subprocess, sys, time; held = bytearray(50_000_000)\n"
        "while time.process_time() < 0.3: pass\n"
        "subprocess.run([sys.executable, '-S', '-c', 'sum(range(3_000_000))'])\n"
        "print('done', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", text], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            assert 0.29 < group_time(process.pid) < 5
            memory = group_memory(process.pid)
            assert memory is not None and 50_000_000 < memory < 100_000_000
        finally:
            process.kill()
    assert group_time(process.pid) == 0
    assert group_memory(process.pid) is None
