"""One GPU: its facts and its primary context."""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rt.cuda.driver import check, load_driver, load_library, told


@dataclass(frozen=True)
class Gpu:
    """The facts of a GPU."""

    name: str
    """`NVIDIA GeForce RTX 3090`."""
    compute_capability: str
    """`sm86`."""
    memory_bytes: int
    """All of its memory; that of the whole machine where it is integrated."""
    integrated: bool
    """Whether it shares its memory with the CPU, as on Jetson."""
    multiprocessors: int

    @property
    def model(self) -> str:
        """What tells it from GPUs that run other engines: AGX Orin, Orin NX and Orin Nano are all `Orin`."""
        return f"{self.name}, {self.multiprocessors} SMs, {round(self.memory_bytes / (1 << 30))} GiB"


def find_gpu(ordinal: int = 0) -> Gpu:
    """Return the facts of GPU number `ordinal` without taking anything of it.

    Raises:
        BackendError: PyCUDA, the NVIDIA driver or the GPU is missing.
    """
    driver = load_driver()
    with told(driver, f"find device {ordinal}"):
        return _facts(driver, driver.Device(ordinal))


_parked: dict[int, Any] = {}
"""The primary context of each GPU that nobody uses: kept, for making it again takes a while."""


class Device:
    """The primary context of one GPU.

    The primary context is the one TensorRT uses; with another one, its addresses would mean nothing to it. A
    context is current in one thread at a time: a thread that calls CUDA does so within `current()`.

    Example:
        device = Device()
        with device.current():
            stream = device.stream()
    """

    def __init__(self, ordinal: int = 0) -> None:
        """Start CUDA and take the primary context of GPU number `ordinal`.

        Raises:
            BackendError: PyCUDA, the NVIDIA driver or the GPU is missing, or it is out of memory.
        """
        self.driver: Any = load_driver()
        with told(self.driver, f"open device {ordinal}"):
            found = self.driver.Device(ordinal)
            self.gpu = _facts(self.driver, found)
            self._ordinal = ordinal
            self._context: Any = _parked.pop(ordinal, None) or found.retain_primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread; what was current before is current again afterwards."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def stream(self) -> Any:
        """Return a stream that never waits for the default stream. Call within `current()`."""
        return self.driver.Stream(1)  # CU_STREAM_NON_BLOCKING, which PyCUDA has no name for

    def event(self, blocking: bool = False) -> Any:
        """Return an event for ordering alone: without a time, it is cheaper. Call within `current()`.

        Waiting for one takes a core of the CPU; for a `blocking` one the thread sleeps, and wakes later.
        """
        flags = self.driver.event_flags
        return self.driver.Event(flags.DISABLE_TIMING | (flags.BLOCKING_SYNC if blocking else 0))

    def free_bytes(self) -> int:
        """Return how much memory is free. Call within `current()`."""
        free: int = self.driver.mem_get_info()[0]
        return free

    def close(self) -> None:
        """Give the context back; works twice. What was made in it must be gone.

        The process keeps one for the next device, unless the GPU has failed: that lasts until all of its
        contexts are gone.
        """
        context, self._context = self._context, None
        if context is None:
            return
        if self._ordinal not in _parked and self._is_sound(context):
            if not _parked:
                atexit.register(give_back)
            _parked[self._ordinal] = context
        else:
            _release(context)

    def _is_sound(self, context: Any) -> bool:
        context.push()
        try:
            context.synchronize()
        except self.driver.Error:
            return False
        finally:
            context.pop()
        return True


def give_back() -> None:
    """Give back the contexts that the process keeps."""
    atexit.unregister(give_back)
    while _parked:
        _release(_parked.popitem()[1])


def _release(context: Any) -> None:
    # PyCUDA releases a primary context correctly only when told to, in a thread where it is current, and
    # leaves it on the driver's own stack.
    context.push()
    context.detach()
    check(load_library().cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p())), "cuCtxPopCurrent", "close")


def _facts(driver: Any, device: Any) -> Gpu:
    major, minor = device.compute_capability()
    return Gpu(
        name=device.name(),
        compute_capability=f"sm{major}{minor}",
        memory_bytes=device.total_memory(),
        integrated=bool(device.get_attribute(driver.device_attribute.INTEGRATED)),
        multiprocessors=device.get_attribute(driver.device_attribute.MULTIPROCESSOR_COUNT),
    )
