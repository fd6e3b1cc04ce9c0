"""One full-size frame in flight, fitted on the GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rt.cuda.device import Device
from rt.cuda.kernels import FitKernels
from rt.cuda.layout import FrameFormat, FrameLayout, Plane
from rt.cuda.nvtx import span
from rt.cuda.slot import Enqueue, Slot, Streams


class FrameSlot(Slot):
    """Room for one frame in flight, around the network of a slot for images of the network's size.

    The two share the network and its memory: never may both be in flight. The number that goes with a frame
    is the strength in [0, 1], as `rt.fit.apply_residual` takes it.
    """

    def __init__(
        self,
        device: Device,
        size: tuple[int, int],
        streams: Streams,
        inner: Slot,
        kernels: FitKernels,
        format: FrameFormat = "rgb24",
    ) -> None:
        """Allocate for frames of `size` = (height, width), no smaller than the images of `inner`.

        Frames of RGB go in and come out as uint8[1, H, W, 3], those of planes as uint8[1, bytes].

        Raises:
            BackendError: the GPU is out of memory.
        """
        self.layout = FrameLayout(format, size)
        is_rgb = format == "rgb24"
        super().__init__(device, (1, *size, 3) if is_rgb else (1, self.layout.nbytes), streams, size)
        self._size = size
        self._inner = inner
        self._kernels = kernels

    def prepare(self, enqueue: Enqueue, graph_fault: str | None = None) -> None:
        """Fit a frame for the network that `enqueue` queues, once, and record it; see `Slot.prepare`."""
        frame, small, kernels = self.buffers, self._inner.buffers, self._kernels
        _, height, width, _ = small.host_in.shape
        size, small_size = self._size, (height, width)
        both, layout = (small.device_in, small.device_out), self.layout

        def fit_planes(stream: object) -> str | None:
            given = frame.device_in, layout, frame.device_numbers
            return (
                kernels.shrink_planes(stream, *given, small.device_in, small_size)
                or enqueue(stream)
                or kernels.apply_planes(stream, *given, both, small_size, frame.device_out)
            )

        def fit(stream: object) -> str | None:
            return (
                kernels.shrink(stream, frame.device_in, size, small.device_in, small_size)
                or enqueue(stream)
                or kernels.apply_residual(
                    stream, frame.device_in, size, frame.device_numbers, both, small_size, frame.device_out
                )
            )

        super().prepare(fit if layout.format == "rgb24" else fit_planes, graph_fault)

    def begin_planes(self, planes: Sequence[Plane], strength: float, shares: tuple[float, float]) -> None:
        """Take a copy of a frame's planes, as `FrameLayout.planes` has them, and queue its steps.

        `shares` are those of red and blue in the brightness: the matrix that the planes were made with.

        Raises:
            BackendError: the GPU failed.
        """
        with span("copy to pinned memory"):
            for place, plane in zip(self.layout.planes(self.buffers.host_in[0]), planes, strict=True):
                np.copyto(place, plane)
        self.buffers.numbers[:3] = strength, *shares
        self._send()
