"""Memory in which a batch travels to the GPU and back."""

from __future__ import annotations

import math
import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rt.cuda.device import Device

_NUMBERS_BYTES = 16
_TRIPS = 6


class Buffers(Protocol):
    """A place for one batch on the host's and on the GPU's side. All calls within `Device.current()`."""

    host_in: npt.NDArray[np.uint8]
    """Where the host puts a batch. Slow to read: never read it."""
    numbers: npt.NDArray[np.float32]
    """Four numbers that go to the GPU with every batch. Slow to read as well."""
    host_out: npt.NDArray[np.uint8]
    """Where the host finds the result."""
    device_in: int
    """Address of the batch for the GPU."""
    device_numbers: int
    """Address of the numbers."""
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
            self._given = _pinned(
                driver, _given_bytes(shape), driver.host_alloc_flags.WRITECOMBINED, self._held
            )
            self.host_out = _pinned(driver, shape, 0, self._held)
            self._held += [driver.mem_alloc(self._given.nbytes)]
            self._held += [driver.mem_alloc(self.host_out.nbytes)]
        except BaseException:
            self.free()
            raise
        self.host_in, self.numbers = _split(self._given, shape)
        self.device_in, self.device_out = int(self._held[2]), int(self._held[3])
        self.device_numbers = self.device_in + self._given.nbytes - _NUMBERS_BYTES

    def upload(self, stream: Any) -> None:
        """Queue the copy to the GPU."""
        self._driver.memcpy_htod_async(self.device_in, self._given, stream)

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
            given = _pinned(device.driver, _given_bytes(shape), mapped, self._held)
            self.host_out = _pinned(device.driver, shape, mapped, self._held)
            self.device_in, self.device_out = (int(memory.get_device_pointer()) for memory in self._held)
        except BaseException:
            self.free()
            raise
        self.host_in, self.numbers = _split(given, shape)
        self.device_numbers = self.device_in + given.nbytes - _NUMBERS_BYTES

    def upload(self, stream: Any) -> None:
        """Do nothing: the GPU reads what the host wrote."""

    def download(self, stream: Any) -> None:
        """Do nothing: the host reads what the GPU wrote."""

    def free(self) -> None:
        """Release the memory; works twice."""
        while self._held:
            self._held.pop().free()


def make_buffers(device: Device, shape: tuple[int, ...], *, by_gpu_alone: bool = False) -> Buffers:
    """Allocate the kind of buffers that suits the GPU. Call within `Device.current()`.

    What the GPU mostly uses alone (`by_gpu_alone`) lies in its own memory: on Jetson it reads the host's past
    its caches. Elsewhere a GPU that shares the host's memory gets the kind that is quicker there.
    """
    kind = CopiedBuffers if by_gpu_alone or not device.gpu.integrated else quicker(device, shape)
    return kind(device, shape)


def quicker(device: Device, shape: tuple[int, ...]) -> type[CopiedBuffers] | type[MappedBuffers]:
    """Return the kind of buffers in which a batch travels to the GPU, through it and back more quickly."""
    mapped, copied = (round_trip_s(device, kind(device, shape)) for kind in (MappedBuffers, CopiedBuffers))
    return MappedBuffers if mapped <= copied else CopiedBuffers


def round_trip_s(device: Device, buffers: Buffers) -> float:
    """Return the least time of a few round trips, the host's part of them included; frees the buffers."""
    stream, batch = device.stream(), np.zeros(buffers.host_in.shape, np.uint8)
    times = []
    try:
        for _ in range(_TRIPS):
            began = time.perf_counter()
            np.copyto(buffers.host_in, batch)
            buffers.upload(stream)
            nbytes = buffers.host_in.nbytes
            device.driver.memcpy_dtod_async(buffers.device_out, buffers.device_in, nbytes, stream)
            buffers.download(stream)
            stream.synchronize()
            np.array(buffers.host_out)
            times.append(time.perf_counter() - began)
    finally:
        buffers.free()
    return min(times[1:])  # the first touches memory that nobody has used


def _given_bytes(shape: tuple[int, ...]) -> tuple[int]:
    """Return the length of a batch and the numbers behind it, which begin at a multiple of their own."""
    return (-(-math.prod(shape) // _NUMBERS_BYTES) * _NUMBERS_BYTES + _NUMBERS_BYTES,)


def _split(
    given: npt.NDArray[np.uint8], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return the batch and the numbers behind it: the same memory."""
    return given[: math.prod(shape)].reshape(shape), given[-_NUMBERS_BYTES:].view(np.float32)


def _pinned(driver: Any, shape: tuple[int, ...], flags: int, held: list[Any]) -> npt.NDArray[np.uint8]:
    """Return pinned memory as an array and add what frees it to `held`."""
    array: npt.NDArray[np.uint8] = driver.pagelocked_empty(shape, np.uint8, mem_flags=flags)
    held.append(array.base)
    return array
