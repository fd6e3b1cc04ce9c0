"""The processor: its name and how many cores this program may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from rt.text import counted

_PROC = Path("/proc/cpuinfo")
_TOPOLOGY = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cpu_threads() -> int:
    """Return the number of physical cores this program may use, at least 1.

    Affinity masks and a container's share are respected; two threads of one core count once, because dense
    arithmetic gains nothing from the second.
    """
    cores = len({_core_of(cpu) for cpu in _usable_cpus()})
    return max(1, min(cores, _quota()))


def cpu_name() -> str:
    """Return the processor's name in words."""
    try:
        text = _PROC.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, name = line.partition(":")
        if key.strip() == "model name" and name.strip():
            return " ".join(name.split())
    return platform.processor() or platform.machine() or "unknown"


def computes_bf16_in_tiles() -> bool:
    """Return whether the processor multiplies bfloat16 in AMX tiles."""
    return "amx_bf16" in _flags()


def has_bf16() -> bool:
    """Return whether the processor has instructions for bfloat16.

    Whether they gain anything depends on the processor: AVX512-BF16 was quicker on one and slower on another.
    """
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_flags())


def _flags() -> list[str]:
    try:
        text = _PROC.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return next((line for line in text.splitlines() if line.startswith("flags")), "").split()


def cpu_device(name: str, threads: int) -> str:
    """Return the device in words: `CPU (Intel Xeon ..., 2 threads)`."""
    return f"CPU ({' '.join(name.split())}, {counted(threads, 'thread')})"


def _usable_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _core_of(cpu: int) -> str:
    """Return what the two threads of one core have in common; the number itself where it is unknown."""
    try:
        return (_TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """Return the whole cores a Linux container may use, or a number no machine reaches."""
    unlimited = 1 << 20
    try:
        share, period = _QUOTA.read_text().split()
        return unlimited if share == "max" else round(int(share) / int(period))
    except (OSError, ValueError):
        return unlimited
