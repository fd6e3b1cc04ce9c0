"""One full-size frame in flight, fitted on the GPU."""

from __future__ import annotations

from rt.cuda.device import Device
from rt.cuda.kernels import FitKernels
from rt.cuda.slot import Enqueue, Slot, Streams


class FrameSlot(Slot):
    """Room for one frame in flight, around the network of a slot for images of the network's size.

    The two share the network and its memory: never may both be in flight. The number that goes with a frame
    is the strength in [0, 1], as `rt.fit.apply_residual` takes it.
    """

    def __init__(
        self, device: Device, size: tuple[int, int], streams: Streams, inner: Slot, kernels: FitKernels
    ) -> None:
        """Allocate for frames of `size` = (height, width), no smaller than the images of `inner`.

        Raises:
            BackendError: the GPU is out of memory.
        """
        super().__init__(device, (1, *size, 3), streams)
        self._size = size
        self._inner = inner
        self._kernels = kernels

    def prepare(self, enqueue: Enqueue, graph_fault: str | None = None) -> None:
        """Fit a frame for the network that `enqueue` queues, once, and record it; see `Slot.prepare`."""
        frame, small, kernels = self.buffers, self._inner.buffers, self._kernels
        _, height, width, _ = small.host_in.shape
        size, small_size = self._size, (height, width)

        def fit(stream: object) -> str | None:
            both = small.device_in, small.device_out
            return (
                kernels.shrink(stream, frame.device_in, size, small.device_in, small_size)
                or enqueue(stream)
                or kernels.apply_residual(
                    stream, frame.device_in, size, frame.device_numbers, both, small_size, frame.device_out
                )
            )

        super().prepare(fit, graph_fault)
