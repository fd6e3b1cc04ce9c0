"""Threads stay scheduled as they were, whatever a library asks for."""

from __future__ import annotations

import os
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest

from rt.frame import Frame
from rt.scheduling import scheduling_kept
from rt.sinks import SinkOptions
from rt.sinks.encoder import probe_encoder
from rt.sinks.file import FileSink
from tests.support.media import drawn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def policies() -> set[int]:
    """Return how the threads of this program are scheduled."""
    return {os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


def test_old_threads_get_their_scheduling_back_and_new_ones_that_of_their_maker() -> None:
    ready, done = threading.Event(), threading.Event()
    inherited: list[int] = []

    def wait() -> None:
        inherited.append(os.sched_getscheduler(0))
        ready.set()
        done.wait()

    before = os.sched_getscheduler(0)
    with scheduling_kept():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        thread = threading.Thread(target=wait)
        thread.start()
        assert ready.wait(10)
    try:
        assert inherited == [os.SCHED_BATCH] != [before]
        assert thread.native_id is not None
        assert os.sched_getscheduler(thread.native_id) == before
        assert os.sched_getscheduler(0) == before
    finally:
        done.set()
        thread.join()


def test_coding_av1_leaves_no_thread_in_real_time(tmp_path: Path) -> None:
    before = policies()  # for root SVT-AV1 would add SCHED_FIFO
    assert probe_encoder("libsvtav1") is None
    assert policies() == before
    sink = FileSink(
        tmp_path / "out.webm", None, SinkOptions(codec="av1"), size=(64, 64), frame_rate=Fraction(25)
    )
    for index in range(3):
        sink.write(Frame(drawn(index, 64, 64), 40 * index, Fraction(1, 1000), index))
        assert policies() == before
    sink.close()
    assert policies() == before
