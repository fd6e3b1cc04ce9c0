"""The stand-in CUDA driver as tests see it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rt.cuda.device import give_back

ON_STAND_IN = "VIDEOBRUSH_STAND_IN_DRIVER" in os.environ
"""Whether the CUDA driver of this process is the stand-in."""
SCHEDULES = ("late", "copies early", "kernels early", "at once")
"""When queued work runs that nobody waits for: at the last moment, or its copies or kernels at the first."""
_HOLDS = (
    "streams",
    "events",
    "device memory",
    "pinned memory",
    "graphs",
    "modules",
    "contexts",
    "contexts of this thread",
)


class StandIn:
    """The driver that PyCUDA has loaded."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        self._library.stand_in_held.restype = ctypes.c_long

    def schedule(self, name: str) -> None:
        """Run queued work as `SCHEDULES` says."""
        self._library.stand_in_schedule(SCHEDULES.index(name))

    def held(self) -> dict[str, int]:
        """Return what is held beside the context that is kept on purpose, without what is zero."""
        give_back()
        found = {what: int(self._library.stand_in_held(what.encode())) for what in _HOLDS}
        return {what: count for what, count in found.items() if count}

    @contextmanager
    def having(
        self,
        devices: int = 1,
        integrated: bool = False,
        memory_bytes: int = 1 << 33,
        fault: int = 0,
    ) -> Iterator[None]:
        """Be another machine for a while; a `fault` of the GPU is gone afterwards."""
        self._set(devices, integrated, memory_bytes, fault)
        try:
            yield
        finally:
            self._set(1, False, 1 << 33, 0)

    def _set(self, devices: int, integrated: bool, memory_bytes: int, fault: int) -> None:
        self._library.stand_in_devices(devices)
        self._library.stand_in_integrated(int(integrated))
        self._library.stand_in_memory(ctypes.c_size_t(memory_bytes))
        self._library.stand_in_fault(fault)
