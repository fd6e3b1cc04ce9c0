"""What goes wrong in the middle of a run, in the real parts."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rt.backends.base import Computed
from rt.backends.identity import IdentityBackend
from rt.commands import Run
from rt.errors import BackendError
from rt.frame import Frame
from rt.job import run_job
from rt.pipeline import Stop
from tests.support.media import video

UNPACED = "pattern://?unpaced"


def failing_at(count: int, error: Exception) -> Callable[[IdentityBackend, npt.NDArray[np.uint8]], Computed]:
    """Return a `start` that raises at its `count`-th image."""
    seen = 0

    def start(backend: IdentityBackend, rgb: npt.NDArray[np.uint8]) -> Computed:
        nonlocal seen
        seen += 1
        if seen == count:
            raise error
        return Computed(backend.translate(rgb))

    return start


@pytest.mark.parametrize("live", [False, True])
def test_a_model_that_fails_at_some_frame_ends_the_run_at_once_with_its_error(
    live: bool, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = BackendError("backend openvino failed to translate: out of memory")
    monkeypatch.setattr(IdentityBackend, "start", failing_at(10, fault))
    job = Run(
        "pattern://" if live else UNPACED,
        "drawn",
        (str(tmp_path / "out.mp4"), str(tmp_path / "images") + "/", "null://"),
        backend="identity",
        height=64,
        width=96,
        duration=60,
    )
    before = set(threading.enumerate())
    with pytest.raises(BackendError) as caught:
        run_job(job, Stop())
    assert caught.value is fault
    assert set(threading.enumerate()) == before
    assert not list(tmp_path.rglob("*.part"))
    if live:  # what a camera saw cannot be seen again: its recording is kept
        assert 1 <= len(video(tmp_path / "out.mp4").pts) <= 9
    else:
        assert not list(tmp_path.glob("*.mp4"))


def test_a_watcher_that_fails_ends_the_run_with_its_error(style: Path, tmp_path: Path) -> None:
    def watch(frame: Frame) -> None:
        if frame.index == 3:
            raise ZeroDivisionError

    before = set(threading.enumerate())
    output = str(tmp_path / "out.mp4")
    job = Run(UNPACED, "drawn", (output,), backend="identity", height=64, width=96, duration=1)
    with pytest.raises(ZeroDivisionError):
        run_job(job, Stop(), watch)
    assert set(threading.enumerate()) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_hundred_runs_leave_no_thread_and_no_open_file(style: Path) -> None:
    def held() -> tuple[int, int]:
        files = len(os.listdir("/proc/self/fd")) if sys.platform.startswith("linux") else 0  # noqa: PTH208
        return threading.active_count(), files

    job = Run(
        UNPACED,
        "drawn",
        ("null://",),
        backend="identity",
        height=16,
        width=16,
        duration=0.1,
    )
    assert run_job(job, Stop()).frames == 3
    before = held()
    for _ in range(200):
        run_job(job, Stop())
    assert held() == before
