"""TensorRT engines on an NVIDIA GPU: those of TensorRT and of TensorRT for RTX."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rt.backends.base import BackendInfo, Mode, translate_each
from rt.backends.checks import check_input
from rt.backends.tensorrt_cache import KernelCache
from rt.backends.tensorrt_runtime import diagnosis, installed_runtimes, logger_of, ports, runtime_name, start
from rt.cuda.device import Device, Gpu
from rt.cuda.frame_slot import FrameSlot
from rt.cuda.kernels import FitKernels
from rt.cuda.layout import FrameFormat, Plane
from rt.cuda.slot import Enqueue, Slot, Streams
from rt.errors import BackendError
from rt.text import counted, width_x_height

_CLOSED = "backend tensorrt is closed and cannot translate"
THROUGHPUT_SLOTS = 3
"""One image for each step: copied in, computed, copied out."""


def try_gpu() -> tuple[str, str]:
    """Send a tiny image to the GPU and back, and return the device in words and TensorRT's version.

    An engine is not run: it would have to be built first, which takes minutes.

    Raises:
        BackendError: PyCUDA, the driver, the GPU or TensorRT is missing, or another image comes back.
    """
    runtimes = installed_runtimes()
    device = Device()
    try:
        with device.current():
            streams = Streams.one(device)
            slot = Slot(device, (1, 8, 8, 3), streams)
            try:
                slot.prepare(_copying(device, slot))
                image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
                slot.begin(image)
                returned = slot.finish()
            finally:
                slot.close()
                streams.close()
            names, version = _start_each(runtimes)
    finally:
        device.close()
    if not np.array_equal(returned, image):
        raise BackendError("backend tensorrt cannot be used: the GPU gives back another image than it got")
    gpu = device.gpu
    return f"GPU ({gpu.name}, {gpu.compute_capability}) with {names}", version


def _start_each(runtimes: dict[str, Any]) -> tuple[str, str]:
    """Start every runtime; return those that start in words, and the version of the first.

    Raises:
        BackendError: none starts.
    """
    names, versions, faults = [], [], []
    for trt in runtimes.values():
        try:
            start(trt, "Runtime")
        except BackendError as error:
            faults.append(str(error))
        else:
            names.append(runtime_name(trt))
            versions.append(str(trt.__version__))
    if not names:
        raise BackendError(f"backend tensorrt cannot be used: {'; or '.join(faults)}")
    return "; but ".join([" and ".join(names), *faults]), versions[0]


class TensorRtBackend:
    """An engine loaded on the GPU, for one image at a time in each of its slots.

    For latency there is one slot, whose work is sent off as one CUDA graph; for throughput several, each with
    an execution context of its own, whose copies run beside the network. Opened for frames of a size, it
    takes them too, and fits them on the GPU.
    """

    def __init__(
        self,
        trt: Any,
        plan: bytes,
        size: tuple[int, int],
        precision: str,
        mode: Mode = "latency",
        rebuild: str = "videobrush-engines build",
        frame_size: tuple[int, int] | None = None,
        frame_format: FrameFormat = "rgb24",
        kernels_path: Path | None = None,
    ) -> None:
        """Load the engine `plan` for images of `size` = (height, width) with TensorRT's module `trt`.

        `rebuild` is the command that builds the engine again, for messages. Where `frame_size` is given,
        frames of that height and width can be translated as well, in `frame_format`. What TensorRT for RTX
        compiles is kept at `kernels_path`.

        Raises:
            BackendError: PyCUDA, the driver or the GPU is missing, the engine is one for another GPU or
                version, it does not fit into the GPU's memory, or frames cannot be fitted there.
        """
        slots = 1 if mode == "latency" else THROUGHPUT_SLOTS
        self.info = BackendInfo(
            *("tensorrt", "GPU", precision, size, slots),
            frame_size=frame_size,
            frame_format=frame_format,
        )
        self._rebuild = rebuild
        self._all: list[Slot] = []
        self._for_frames: dict[Slot, FrameSlot] = {}
        self._kernels: FitKernels | None = None
        self._streams: Streams | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._kernels_path = kernels_path
        self._compiled: KernelCache | None = None
        self._logger = logger_of(trt)
        self._device: Device | None = Device()
        try:
            with self._device.current():
                self._load(trt, plan, self._device.gpu)
                self._open_slots(self._device, mode)
        except BaseException as error:
            # An execution context that lived as long as the error would end without a CUDA context.
            traceback.clear_frames(error.__traceback__)
            self.close()
            raise
        self._free = deque(self._all)
        device = _in_words(trt, self._device.gpu, self._all, list(self._for_frames.values()))
        self.info = replace(self.info, device=device)

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB, as many at once as there are slots; any memory layout is taken."""
        self._check(rgb)
        return translate_each(self, rgb)

    def start(self, rgb: npt.NDArray[np.uint8]) -> _InFlight:
        """Begin to translate uint8[1, H, W, 3] RGB, which may be written to again at once."""
        device = self._check(rgb)
        slot = self._free.popleft()
        self._begin(slot, lambda: slot.begin(rgb), device)
        return _InFlight(self, slot, slot)

    def start_frame(self, rgb: npt.NDArray[np.uint8], strength: float) -> _InFlight:
        """Begin to translate a frame uint8[1, H, W, 3] RGB of `frame_size`, fitted on the GPU.

        The result is the frame with the network's residual applied, as `rt.fit.apply_residual` does that with
        detail `keep`, within one level.
        """
        self._check_frames("rgb24")
        device = self._check(rgb, self.info.frame_size)
        slot = self._free.popleft()
        self._begin(slot, lambda: self._for_frames[slot].begin(rgb, strength), device)
        return _InFlight(self, slot, self._for_frames[slot])

    def start_planes(
        self, planes: Sequence[Plane], strength: float, shares: tuple[float, float]
    ) -> _InFlight:
        """Begin to translate a frame of planes of `frame_size`, fitted on the GPU, as `rt.planes` does."""
        self._check_frames("yuv420p", "nv12")
        if self._device is None:
            raise BackendError(_CLOSED)
        slot = self._free.popleft()
        around = self._for_frames[slot]
        self._begin(slot, lambda: around.begin_planes(planes, strength, shares), self._device)
        return _InFlight(self, slot, around)

    def close(self) -> None:
        """Release the GPU; images in flight are given up. Works twice."""
        device, self._device = self._device, None
        if device is None:
            return
        with device.current():
            for slot in (*self._for_frames.values(), *self._all):
                # A GPU that has failed cannot be waited for; all the same everything is released.
                with suppress(BackendError):
                    slot.wait()
                slot.close()
            if self._kernels is not None:
                self._kernels.close()
            if self._streams is not None:
                self._streams.close()
            # The engine needs the runtime to its end, and both need the context.
            if self._compiled is not None:
                self._compiled.close()
            self._engine = None
            self._runtime = None
        device.close()

    def finish(self, slot: Slot, used: Slot) -> npt.NDArray[np.uint8]:
        """Wait for what a slot, or the one around it, holds; return it and free the slot."""
        if self._device is None:
            raise BackendError("backend tensorrt is closed: the image in flight was given up")
        try:
            with self._device.current():
                return used.finish()
        finally:  # after a failure too: the next image needs it
            self._free.append(slot)

    def _begin(self, slot: Slot, begin: Callable[[], None], device: Device) -> None:
        """Let a slot begin; one that cannot is free again."""
        try:
            with device.current():
                begin()
        except BackendError:
            self._free.append(slot)
            raise

    def _load(self, trt: Any, plan: bytes, gpu: Gpu) -> None:
        try:
            self._runtime = start(trt, "Runtime")
        except BackendError as error:
            raise BackendError(f"backend tensorrt cannot be used: {error}") from None
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            why = self._logger.last() + diagnosis(trt, self._runtime, plan)
            raise BackendError(
                f"backend tensorrt cannot load the engine with {runtime_name(trt)} on {gpu.name} "
                f"({gpu.compute_capability}): {why}; type: {self._rebuild}"
            )
        self._compiled = KernelCache(trt, self._engine, self._kernels_path)
        self._input, self._output = ports(trt, self._engine, (1, *self.info.size, 3), self._rebuild)

    def _open_slots(self, device: Device, mode: Mode) -> None:
        if self.info.frame_size is not None:
            check_frame_size(self.info.frame_size, self.info.size)
            self._kernels = FitKernels(device)
        self._streams = streams = Streams.one(device) if mode == "latency" else Streams.three(device)
        for _ in range(self.info.slots):
            within = self._kernels is not None
            slot = Slot(device, (1, *self.info.size, 3), streams, by_gpu_alone=within)
            self._all.append(slot)
            enqueue, graph_fault = self._bind(slot, streams, device)
            slot.prepare(enqueue, graph_fault)
            if self._kernels is not None and self.info.frame_size is not None:
                around = FrameSlot(
                    device, self.info.frame_size, streams, slot, self._kernels, self.info.frame_format
                )
                self._for_frames[slot] = around
                around.prepare(enqueue, graph_fault)
        assert self._compiled is not None
        self._compiled.save()

    def _bind(self, slot: Slot, streams: Streams, device: Device) -> tuple[Enqueue, str | None]:
        """Return what queues the network on a slot's memory, and why it cannot be recorded, where known."""
        assert self._compiled is not None
        context = self._compiled.new_context(self._engine)
        if context is None:
            raise BackendError(
                f"backend tensorrt cannot use the engine: {self._logger.last()}; it needs "
                f"{self._engine.device_memory_size_v2 >> 20} MiB on the GPU for each of {self.info.slots} "
                f"images in flight, {device.free_bytes() >> 20} MiB are free; type a smaller --size"
            )
        context.set_tensor_address(self._input, slot.buffers.device_in)
        context.set_tensor_address(self._output, slot.buffers.device_out)
        logger = self._logger

        def enqueue(stream: Any) -> str | None:
            return None if context.execute_async_v3(stream.handle) else logger.last()

        # TensorRT for RTX alone can tell beforehand.
        capturable = getattr(context, "is_stream_capturable", None)
        if capturable is None or capturable(streams.compute.handle):
            return enqueue, None
        return enqueue, "TensorRT for RTX cannot record this engine"

    def _check_frames(self, *formats: FrameFormat) -> None:
        """Refuse frames that it was not opened for."""
        if self.info.frame_size is None:
            raise BackendError("backend tensorrt was not opened for frames and cannot fit them")
        if self.info.frame_format not in formats:
            raise BackendError(
                f"backend tensorrt was opened for frames of {self.info.frame_format} and cannot take others"
            )

    def _check(self, rgb: npt.NDArray[np.uint8], size: tuple[int, int] | None = None) -> Device:
        if self._device is None:
            raise BackendError(_CLOSED)
        check_input("tensorrt", rgb, size or self.info.size)
        return self._device


class _InFlight:
    """One image, or frame, in one of the slots or the one around it."""

    def __init__(self, backend: TensorRtBackend, slot: Slot, used: Slot) -> None:
        self._backend = backend
        self._slot = slot
        self._used = used

    def result(self) -> npt.NDArray[np.uint8]:
        """Wait, and copy the image out of memory that the next one will overwrite."""
        return self._backend.finish(self._slot, self._used)


def check_frame_size(frame_size: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse frames that are no larger than the network's image in both directions.

    Raises:
        BackendError: they would have to grow for the network, which the kernels do not do.
    """
    if frame_size[0] < size[0] or frame_size[1] < size[1]:
        raise BackendError(
            f"frames of {width_x_height(frame_size)} cannot be fitted on the GPU: they are smaller than "
            f"the network's image of {width_x_height(size)}; type --fit cpu"
        )


def _copying(device: Device, slot: Slot) -> Enqueue:
    def enqueue(stream: Any) -> None:
        buffers = slot.buffers
        device.driver.memcpy_dtod_async(buffers.device_out, buffers.device_in, buffers.host_in.nbytes, stream)

    return enqueue


def _in_words(trt: Any, gpu: Gpu, slots: list[Slot], around: list[FrameSlot]) -> str:
    """Return the device in words: `GPU (NVIDIA ..., TensorRT 10.13.3.9, 1 image in flight, CUDA graph)`."""
    fitted = ", frames fitted there" if around else ""
    flying = f"{counted(len(slots), 'image')} in flight"
    faults = [slot.graph_fault for slot in (*slots, *around) if slot.graph_fault is not None]
    graphs = f"no CUDA graph: {faults[0]}" if faults else "CUDA graph"
    return f"GPU ({gpu.name}, {runtime_name(trt)}, {flying}, {graphs}{fitted})"
