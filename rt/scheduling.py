"""Keep the scheduling of threads as it was at start.

SVT-AV1 puts itself, and the thread that opens it, at the highest real-time priority wherever it may, that is
for root: two such threads that stay busy on two cores starve all others.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scheduling_kept() -> Iterator[None]:
    """Put back what happens inside: old threads get their own scheduling again, new ones this thread's."""
    if sys.platform != "linux":  # elsewhere there is nothing to ask, and SVT-AV1 asks for nothing
        yield
        return
    before = _all_threads()
    own = before[threading.get_native_id()]
    try:
        yield
    finally:
        for thread, found in _all_threads().items():
            policy, priority = wanted = before.get(thread, own)
            if found != wanted:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.sched_setscheduler(thread, policy, os.sched_param(priority))


def _all_threads() -> dict[int, tuple[int, int]]:
    """Return policy and priority of every thread of this program."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            thread = int(task.name)
            found[thread] = (os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority)
    return found
