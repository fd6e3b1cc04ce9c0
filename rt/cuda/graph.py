"""CUDA graphs: work recorded once, sent off with one call.

A network is a hundred kernels; launched one by one, the launches alone cost a good part of the time of a
small image. PyCUDA has no calls for graphs, so they go to the driver's library itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from rt.cuda.driver import check, load_library

_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads ask of CUDA meanwhile is their own affair."""
_RECORD = "record a graph"
_Pointer = ctypes.c_void_p  # every argument is passed as one: a plain int would be cut to 32 bits


class Graph:
    """Work recorded from one stream, ready to be sent off. All calls within `Device.current()`."""

    def __init__(self, stream: Any, queue: Callable[[], None]) -> None:
        """Record what `queue` puts on `stream`; nothing of it runs.

        Everything must have run once before: what a first run sets up cannot be recorded. Addresses and
        shapes are recorded with it.

        Raises:
            BackendError: a call was made that cannot be recorded.
        """
        self._library = load_library()
        self._run = _Pointer()
        plan = self._record(_Pointer(stream.handle), queue)
        try:
            status = self._library.cuGraphInstantiateWithFlags(
                ctypes.byref(self._run), plan, ctypes.c_ulonglong(0)
            )
            check(status, "cuGraphInstantiateWithFlags", _RECORD)
        finally:
            self._library.cuGraphDestroy(plan)

    def launch(self, stream: Any) -> None:
        """Queue the recorded work on a stream.

        Raises:
            BackendError: the driver refused it.
        """
        status = self._library.cuGraphLaunch(self._run, _Pointer(stream.handle))
        check(status, "cuGraphLaunch", "send off a graph")

    def close(self) -> None:
        """Release the graph; works twice."""
        run, self._run = self._run, _Pointer()
        if run:
            self._library.cuGraphExecDestroy(run)

    def _record(self, stream: ctypes.c_void_p, queue: Callable[[], None]) -> ctypes.c_void_p:
        plan = _Pointer()
        status = self._library.cuStreamBeginCapture_v2(stream, _THREAD_LOCAL)
        check(status, "cuStreamBeginCapture", _RECORD)
        try:
            queue()
        except BaseException:
            # A stream that went on recording would be of no use for anything else.
            self._library.cuStreamEndCapture(stream, ctypes.byref(plan))
            if plan:
                self._library.cuGraphDestroy(plan)
            raise
        check(self._library.cuStreamEndCapture(stream, ctypes.byref(plan)), "cuStreamEndCapture", _RECORD)
        return plan
