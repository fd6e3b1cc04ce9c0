"""One image in flight: copy in, network, copy out.

For latency the steps of an image are put on one stream and sent off as one graph. For throughput each step
has a stream that all slots share, so that the copies of one image run beside the network of another; events
keep the steps of each image in order, and the network alone is a graph.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rt.cuda.buffers import Buffers, make_buffers
from rt.cuda.device import Device
from rt.cuda.driver import told
from rt.cuda.graph import Graph
from rt.cuda.nvtx import span
from rt.errors import BackendError

Enqueue = Callable[[Any], "str | None"]
"""Queues the network on a stream and returns why it was refused, None where it was not.

It reads `Buffers.device_in` and writes `Buffers.device_out`. It does not raise: an error's traceback would
keep the network alive after its end.
"""


class Streams:
    """The stream of each step; closed, so that nothing that still holds this holds a stream."""

    def __init__(self, copy_in: Any, compute: Any, copy_out: Any) -> None:
        self.copy_in, self.compute, self.copy_out = copy_in, compute, copy_out
        self.are_one = copy_in is copy_out
        """Whether all steps are on the same stream."""

    @classmethod
    def one(cls, device: Device) -> Streams:
        """Put every step on the same stream. Call within `Device.current()`."""
        stream = device.stream()
        return cls(stream, stream, stream)

    @classmethod
    def three(cls, device: Device) -> Streams:
        """Put every step on a stream of its own. Call within `Device.current()`."""
        return cls(device.stream(), device.stream(), device.stream())

    def close(self) -> None:
        """Release the streams; works twice. Call within `Device.current()`."""
        self.copy_in = self.compute = self.copy_out = None


class Slot:
    """Room for one image in flight: `prepare` once, then `begin` and `finish` in turns.

    All calls within `Device.current()`.
    """

    def __init__(
        self,
        device: Device,
        shape: tuple[int, ...],
        streams: Streams,
        size: tuple[int, int] | None = None,
        *,
        by_gpu_alone: bool = False,
    ) -> None:
        """Allocate for uint8 images of `shape` = (1, height, width, 3), or any other of images of `size`.

        `by_gpu_alone`: mostly kernels write what goes in and read what comes out, as within a `FrameSlot`.

        Raises:
            BackendError: the GPU is out of memory.
        """
        self._driver = device.driver
        self._streams = streams
        self._enqueue: Enqueue | None = None
        self._graph: Graph | None = None
        self.graph_fault: str | None = None
        """Why the network is launched call by call; None where it is a graph."""
        height, width = size or shape[1:3]
        with told(self._driver, f"take memory for images of {width}x{height}"):
            self.buffers: Buffers = make_buffers(device, shape, by_gpu_alone=by_gpu_alone)
            self._uploaded, self._computed = device.event(), device.event()
            # For latency the wait is short and counts; for throughput the core is needed by others.
            self._done = device.event(blocking=not streams.are_one)

    def prepare(self, enqueue: Enqueue, graph_fault: str | None = None) -> None:
        """Run the network once and record it, unless `graph_fault` says why that is known not to work.

        Raises:
            BackendError: the network does not run.
        """
        self._enqueue = enqueue
        self.buffers.host_in[...] = 0
        self.buffers.numbers[...] = 0
        with told(self._driver, "run the network"):
            self._put_steps()
        self.wait()
        self.graph_fault = graph_fault
        if graph_fault is None:
            work = self._put_steps if self._streams.are_one else self._put_network
            try:
                with told(self._driver, "record a graph"):
                    self._graph = Graph(self._streams.compute, work)
            except BackendError as error:
                self.graph_fault = str(error)
                _let_go(error)

    def begin(self, image: npt.NDArray[np.uint8], number: float = 0) -> None:
        """Take a copy of an image, and a number that goes with it, and queue its steps; returns at once.

        Raises:
            BackendError: the GPU failed.
        """
        # Whatever read this memory has finished: the slot's last result was waited for.
        with span("copy to pinned memory"):
            np.copyto(self.buffers.host_in, image)
        self.buffers.numbers[0] = number
        self._send()

    def _send(self) -> None:
        """Queue the steps of the image that lies in the buffers."""
        streams = self._streams
        with told(self._driver, "translate"), span("queue"):
            if self._graph is not None and streams.are_one:
                self._graph.launch(streams.compute)
            else:
                self._put_steps()
            self._done.record(streams.copy_out)

    def finish(self) -> npt.NDArray[np.uint8]:
        """Wait for the result and return a copy of it: the slot's next image overwrites its memory.

        Raises:
            BackendError: the GPU failed.
        """
        with told(self._driver, "translate"), span("wait"):
            self._done.synchronize()
        return np.array(self.buffers.host_out)

    def wait(self) -> None:
        """Wait for whatever is in flight.

        Raises:
            BackendError: the GPU failed.
        """
        with told(self._driver, "translate"):
            self._streams.copy_out.synchronize()

    def close(self) -> None:
        """Release everything; nothing may be in flight. Works twice."""
        if self._graph is not None:
            self._graph.close()
        # The network goes before the memory it works in, and all of it while the context is current.
        self._graph = self._enqueue = None
        self.buffers.free()
        self._uploaded = self._computed = self._done = None

    def _put_steps(self) -> None:
        streams = self._streams
        self.buffers.upload(streams.copy_in)
        _follow(streams.compute, streams.copy_in, self._uploaded)
        if self._graph is not None:
            self._graph.launch(streams.compute)
        else:
            self._put_network()
        _follow(streams.copy_out, streams.compute, self._computed)
        self.buffers.download(streams.copy_out)

    def _put_network(self) -> None:
        assert self._enqueue is not None, "prepare comes first"
        fault = self._enqueue(self._streams.compute)
        if fault is not None:
            raise BackendError(f"the GPU failed to run the network: {fault}")


def _follow(later: Any, earlier: Any, event: Any) -> None:
    """Let what is put on one stream from now on wait for what was put on another."""
    if later is not earlier:
        event.record(earlier)
        later.wait_for_event(event)


def _let_go(error: BaseException | None) -> None:
    """Forget what an error's frames held: on Python 3.13 PyCUDA's errors stay, and GPU memory with them."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
