"""The promises of every sink."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import pyvirtualcam

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import Sink, SinkOptions, open_sink
from rt.sinks.null import NullSink
from rt.sinks.recorder import Recorder
from rt.sinks.several import SeveralSinks, SinkThread
from tests.support.media import drawn, video
from tests.support.receivers import frames_in, tcp_server
from tests.support.sinks import DrawnCamera

SIZE = (40, 56)


@dataclass(frozen=True)
class Opened:
    """A sink, the folder it may write in, and a way to count the frames of its result."""

    sink: Sink
    folder: Path
    count: Callable[[], int]
    results: int = 1
    """How many names the result has in the folder."""
    done: Callable[[], None] = lambda: None
    """Ends what the test needs around the sink."""


def file_sink(suffix: str, codec: str = "h264") -> Callable[[Path], Opened]:
    def opened(folder: Path) -> Opened:
        target = folder / f"result{suffix}"
        options = SinkOptions(codec=codec)
        sink = open_sink(str(target), None, options, size=SIZE, frame_rate=Fraction(25))
        return Opened(sink, folder, lambda: len(video(target).pts))

    return opened


def image_folder(folder: Path) -> Opened:
    target = folder / "frames"
    return Opened(open_sink(f"{target}/", None, size=SIZE), folder, lambda: len(list(target.glob("*.png"))))


def null_sink(folder: Path) -> Opened:
    sink = open_sink("null://", None)
    assert isinstance(sink, NullSink)
    return Opened(sink, folder, lambda: sink.frames, results=0)


def recorder(folder: Path) -> Opened:
    target = folder / "result.mp4"
    sink = Recorder(Fraction(25), path=target, size=SIZE)
    return Opened(sink, folder, lambda: len(video(target).pts))


def several(folder: Path) -> Opened:
    first = file_sink(".mp4")(folder)
    second = image_folder(folder)
    return Opened(SeveralSinks([first.sink, second.sink]), folder, first.count, results=2)


def threaded(folder: Path) -> Opened:
    counted = NullSink()
    sinks = SeveralSinks([], [SinkThread("null", counted, recorded=False)], file_sink(".mp4")(folder).sink)
    return Opened(sinks, folder, lambda: len(video(folder / "result.mp4").pts))


def virtual_camera(folder: Path) -> Opened:
    pyvirtualcam.register_backend("drawn", DrawnCamera)
    sink = open_sink("virtual://drawn", None, size=SIZE)
    camera = DrawnCamera.opened[-1]
    return Opened(sink, folder, lambda: len(camera.images), results=0)


def stream(folder: Path) -> Opened:
    serving = contextlib.ExitStack()
    server = serving.enter_context(tcp_server("read"))
    sink = open_sink(f"tcp://127.0.0.1:{server.port}", None, size=SIZE)

    def count() -> int:
        serving.close()
        return len(frames_in(server.received[0]))

    return Opened(sink, folder, count, results=0, done=serving.close)


SINKS = {
    "mp4": file_sink(".mp4"),
    "mov": file_sink(".mov"),
    "mkv": file_sink(".mkv"),
    "hevc": file_sink(".mp4", "hevc"),
    "webm": file_sink(".webm", "av1"),
    "images": image_folder,
    "null": null_sink,
    "virtual": virtual_camera,
    "stream": stream,
    "recorder": recorder,
    "several": several,
    "threaded": threaded,
}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(params=list(SINKS.values()), ids=list(SINKS))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    opener: Callable[[Path], Opened] = request.param
    found = opener(tmp_path)
    yield found
    found.done()


def frame(index: int) -> Frame:
    return Frame(drawn(index, *SIZE), 40 * index, Fraction(1, 1000), index)


def test_what_was_written_is_a_whole_result_after_close(opened: Opened) -> None:
    for index in range(7):
        opened.sink.write(frame(index))
    opened.sink.close()
    assert opened.count() == 7
    assert len(list(opened.folder.iterdir())) == opened.results


def test_a_image_is_neither_kept_nor_changed(opened: Opened) -> None:
    given = frame(3)
    before = given.rgb.copy()
    opened.sink.write(given)
    assert np.array_equal(given.rgb, before)
    given.rgb.setflags(write=False)  # neither later
    opened.sink.write(Frame(given.rgb, 1000, Fraction(1, 1000), 1))
    opened.sink.close()
    assert opened.count() == 2


def test_close_works_twice_and_abort_after_it_does_nothing(opened: Opened) -> None:
    opened.sink.write(frame(0))
    opened.sink.close()
    opened.sink.close()
    opened.sink.abort()
    assert opened.count() == 1


def test_abort_leaves_nothing_behind_and_works_twice(opened: Opened) -> None:
    for index in range(3):
        opened.sink.write(frame(index))
    opened.sink.abort()
    opened.sink.abort()
    opened.sink.close()
    assert list(opened.folder.iterdir()) == []


def test_abort_before_the_first_frame_leaves_nothing_behind(opened: Opened) -> None:
    opened.sink.abort()
    assert list(opened.folder.iterdir()) == []


def test_nothing_is_written_after_the_end(opened: Opened) -> None:
    opened.sink.write(frame(0))
    opened.sink.close()
    with pytest.raises(SinkError):
        opened.sink.write(frame(1))
    assert opened.count() == 1


def test_a_sink_that_is_forgotten_leaves_nothing_behind(tmp_path: Path) -> None:
    sinks = [file_sink(".mp4")(tmp_path)]
    sinks.clear()
    assert list(tmp_path.iterdir()) == []
