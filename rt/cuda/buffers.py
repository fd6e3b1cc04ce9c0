"""The memory through which one batch of pictures comes to the GPU and goes back."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rt.cuda.device import Device


class Buffers(Protocol):
    """A place for one batch on the host's and on the GPU's side. All calls within `Device.current()`."""

    host_in: npt.NDArray[np.uint8]
    """Where the host puts a batch. Slow to read: never read it."""
    host_out: npt.NDArray[np.uint8]
    """Where the host finds the result."""
    device_in: int
    """Address of the batch for the GPU."""
    device_out: int
    """Address of the result for the GPU."""

    def upload(self, stream: Any) -> None:
        """Queue the way from `host_in` to `device_in`."""
        ...

    def download(self, stream: Any) -> None:
        """Queue the way from `device_out` to `host_out`."""
        ...

    def free(self) -> None:
        """Release the memory; nothing queued may use it any more. Works twice."""
        ...


class CopiedBuffers:
    """Pinned host memory and memory of the GPU, with a copy each way: for a GPU with memory of its own."""

    def __init__(self, device: Device, shape: tuple[int, ...]) -> None:
        """Allocate for uint8 batches of `shape` in and out."""
        driver = device.driver
        self._driver = driver
        self._held: list[Any] = []
        try:
            # Write-combined memory bypasses the caches: quicker over the bus, for writing only.
            self.host_in = _pinned(driver, shape, driver.host_alloc_flags.WRITECOMBINED, self._held)
            self.host_out = _pinned(driver, shape, 0, self._held)
            self._held += [driver.mem_alloc(self.host_in.nbytes)]
            self._held += [driver.mem_alloc(self.host_out.nbytes)]
        except BaseException:
            self.free()
            raise
        self.device_in, self.device_out = int(self._held[2]), int(self._held[3])

    def upload(self, stream: Any) -> None:
        """Queue the copy to the GPU."""
        self._driver.memcpy_htod_async(self.device_in, self.host_in, stream)

    def download(self, stream: Any) -> None:
        """Queue the copy from the GPU."""
        self._driver.memcpy_dtoh_async(self.host_out, self.device_out, stream)

    def free(self) -> None:
        """Release the memory; works twice."""
        while self._held:
            self._held.pop().free()


class MappedBuffers:
    """Host memory that the GPU reads and writes itself: for a GPU that shares the host's memory."""

    def __init__(self, device: Device, shape: tuple[int, ...]) -> None:
        """Allocate for uint8 batches of `shape` in and out."""
        mapped = device.driver.host_alloc_flags.DEVICEMAP
        self._held: list[Any] = []
        try:
            self.host_in = _pinned(device.driver, shape, mapped, self._held)
            self.host_out = _pinned(device.driver, shape, mapped, self._held)
            self.device_in, self.device_out = (int(memory.get_device_pointer()) for memory in self._held)
        except BaseException:
            self.free()
            raise

    def upload(self, stream: Any) -> None:
        """Do nothing: the GPU reads what the host wrote."""

    def download(self, stream: Any) -> None:
        """Do nothing: the host reads what the GPU wrote."""

    def free(self) -> None:
        """Release the memory; works twice."""
        while self._held:
            self._held.pop().free()


def make_buffers(device: Device, shape: tuple[int, ...]) -> Buffers:
    """Allocate the kind of buffers that suits the GPU. Call within `Device.current()`."""
    return MappedBuffers(device, shape) if device.gpu.integrated else CopiedBuffers(device, shape)


def _pinned(driver: Any, shape: tuple[int, ...], flags: int, held: list[Any]) -> npt.NDArray[np.uint8]:
    """Return pinned memory as an array and add what frees it to `held`."""
    array: npt.NDArray[np.uint8] = driver.pagelocked_empty(shape, np.uint8, mem_flags=flags)
    held.append(array.base)
    return array
