"""Several outputs of one run: slow, dead and closed ones."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkClosed, open_outputs
from rt.sinks.null import NullSink
from rt.sinks.several import CAPACITY, SeveralSinks, SinkThread
from rt.sinks.track import VideoTrack
from tests.support.media import video
from tests.support.sinks import SIZE, Listed, frame, write


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_every_output_gets_every_frame_in_order() -> None:
    first, second, window = Listed(), Listed(), Listed()
    several = SeveralSinks([first, second], [], window)
    write(several, 5)
    several.close()
    several.close()
    several.abort()
    for sink in (first, second, window):
        assert (sink.written, sink.ended) == ([0, 1, 2, 3, 4], ["closed"])


def test_a_stuck_live_output_holds_nobody_up_and_gets_the_newest_frame() -> None:
    stuck, other = Listed(), Listed()
    stuck.hold()
    thread = SinkThread("slow", stuck, recorded=False)
    several = SeveralSinks([other], [thread])
    several.write(frame(0))
    assert stuck.begun.acquire(timeout=60)
    for index in range(1, 100):
        several.write(frame(index))
    assert other.written == list(range(100))
    stuck.go_on.set()
    several.close()
    assert stuck.written == [0, 99]
    assert thread.lost == 98


def test_a_slow_recording_of_a_live_view_loses_only_what_its_queue_cannot_hold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = Listed()
    slow.hold()
    several = SeveralSinks([], [SinkThread("out.mp4", slow, recorded=True)], NullSink())
    several.write(frame(0))
    assert slow.begun.acquire(timeout=60)
    for index in range(1, 51):
        several.write(frame(index))
    slow.go_on.set()
    with caplog.at_level(logging.WARNING):
        several.close()
    lost = 50 - CAPACITY[True]
    assert slow.written == [0, *range(lost + 1, 51)]
    assert f"out.mp4: {lost} frames came too fast to be written and are lost" in caplog.text


def test_a_dead_live_output_is_said_once_and_the_others_go_on() -> None:
    said: list[str] = []
    dead, alive = Listed(fails_at=1), Listed()
    thread = SinkThread("rtmp://x", dead, recorded=False)
    several = SeveralSinks([alive], [thread], on_fault=said.append)
    several.write(frame(0))
    assert dead.begun.acquire(timeout=60)
    several.write(frame(1))
    thread._thread.join(60)
    for index in range(2, 6):
        several.write(frame(index))
    several.close()
    assert alive.written == [0, 1, 2, 3, 4, 5]
    assert said == ["cannot write listed: it broke; the other outputs go on"]
    assert dead.ended == ["closed"]


def test_a_failing_file_of_a_recorded_source_ends_the_run() -> None:
    several = SeveralSinks([Listed(fails_at=2), other := Listed()], [])
    write(several, 2)
    with pytest.raises(SinkError, match="it broke$"):
        several.write(frame(2))
    several.abort()
    assert other.ended == ["aborted"]


def test_a_failing_recording_of_a_live_view_is_said_at_once_and_raised_at_the_end() -> None:
    said: list[str] = []
    thread = SinkThread("out.mp4", Listed(fails_at=0), recorded=True)
    several = SeveralSinks([], [thread], window := Listed(), on_fault=said.append)
    several.write(frame(0))
    thread._thread.join(60)
    several.write(frame(1))
    assert said == ["cannot write listed: it broke; the other outputs go on"]
    with pytest.raises(SinkError, match="it broke$"):
        several.close()
    assert (window.written, window.ended) == ([0, 1], ["closed"])


def test_when_nothing_is_left_to_write_to_the_run_ends() -> None:
    threads = [SinkThread(name, Listed(fails_at=0), recorded=False) for name in ("a", "b")]
    several = SeveralSinks([], threads)
    several.write(frame(0))
    for thread in threads:
        thread._thread.join(60)
    with pytest.raises(SinkError, match="it broke$"):
        several.write(frame(1))
    several.abort()


def test_a_mistake_in_a_sink_is_no_fault_of_an_output() -> None:
    thread = SinkThread("a", Mistaken(), recorded=False)
    several = SeveralSinks([NullSink()], [thread])
    several.write(frame(0))
    thread._thread.join(60)
    with pytest.raises(ZeroDivisionError):
        several.write(frame(1))
    several.abort()


class Mistaken(Listed):
    """Has a mistake in it."""

    def write(self, frame: Frame) -> None:
        raise ZeroDivisionError


def test_a_failure_on_what_waits_at_the_end_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Listed(fails_at=2)
    failing.hold()
    thread = SinkThread("out.mp4", failing, recorded=True)
    several = SeveralSinks([], [thread], NullSink())
    write(several, 3)

    def close() -> None:
        monkeypatch.undo()
        failing.go_on.set()
        thread._frames.close()

    monkeypatch.setattr(thread._frames, "close", close)
    with pytest.raises(SinkError, match="it broke$"):
        several.close()
    assert (failing.written, failing.ended) == ([0, 1], ["closed"])


def test_a_mistake_on_the_last_frame_is_raised_at_the_end() -> None:
    sink = Mistaken()
    thread = SinkThread("a", sink, recorded=False)
    thread.put(frame(0))
    with pytest.raises(ZeroDivisionError):
        thread.close()
    assert sink.ended == ["closed"]


class Interrupted(Listed):
    """Its end takes so long that somebody presses Ctrl-C."""

    def close(self) -> None:
        super().close()
        raise KeyboardInterrupt


def test_an_interrupt_at_the_end_leaves_nothing_open() -> None:
    done, interrupted, waiting, window = Listed(), Interrupted(), Listed(), Listed()
    recorded, streamed = Listed(), Listed()
    recorded.hold()
    threads = [
        SinkThread("rtmp://x", streamed, recorded=False),
        SinkThread("out.mp4", recorded, recorded=True),
    ]
    several = SeveralSinks([done, interrupted, waiting], threads, window)
    several.write(frame(0))
    recorded.go_on.set()
    with pytest.raises(KeyboardInterrupt):
        several.close()
    several.abort()
    assert done.ended == ["closed", "aborted"]  # which does nothing after close
    assert interrupted.ended == ["closed", "aborted"]
    assert waiting.ended == window.ended == streamed.ended == ["aborted"]
    assert (recorded.written, recorded.ended) == ([0], ["closed"])  # it cannot be had again


def test_an_interrupted_recording_gives_up_what_waits_and_ends() -> None:
    class Once(Listed):
        def close(self) -> None:
            super().close()
            if len(self.ended) == 1:
                raise KeyboardInterrupt

    thread = SinkThread("out.mp4", sink := Once(), recorded=True)
    thread.put(frame(0))
    with pytest.raises(KeyboardInterrupt):
        thread.close()
    thread.abort()
    assert (sink.written, sink.ended) == ([0], ["closed", "closed"])


def test_an_interrupted_recorder_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = open_outputs([str(tmp_path / "out.mp4")], None, live=True, size=SIZE)
    write(several, 3)

    def interrupt(track: VideoTrack) -> Fraction:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(VideoTrack, "finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        several.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert len(video(tmp_path / "out.mp4").pts) == 3


def test_recordings_are_finished_before_what_is_streamed() -> None:
    ended: list[str] = []

    class Said(Listed):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def close(self) -> None:
            ended.append(self._name)

    kinds = {"rtmp://x": False, "out.mp4": True, "virtual://": False}
    several = SeveralSinks([], [SinkThread(name, Said(name), recorded) for name, recorded in kinds.items()])
    several.close()
    assert ended == ["out.mp4", "rtmp://x", "virtual://"]


def test_one_that_fails_at_its_end_lets_the_others_finish(caplog: pytest.LogCaptureFixture) -> None:
    sinks = [Listed(), Listed(fails_at_close=True), Listed(fails_at_close=True), Listed()]
    several = SeveralSinks(sinks)
    write(several, 1)
    with pytest.raises(SinkError, match="it broke at its end$"):
        several.close()
    assert [sink.ended for sink in sinks] == [["closed"]] * 4
    assert caplog.text.count("it broke at its end") == 1  # the second one


def test_aborting_wakes_a_stuck_output() -> None:
    stuck = Listed()
    stuck.hold()
    several = SeveralSinks([], [SinkThread("slow", stuck, recorded=False)], NullSink())
    several.write(frame(0))
    assert stuck.begun.acquire(timeout=60)
    several.abort()
    several.abort()
    assert stuck.ended == ["aborted"]
    with pytest.raises(SinkError, match="closed"):
        several.write(frame(1))


def test_a_recording_of_a_live_view_is_kept_where_the_run_fails(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    several = open_outputs([str(out)], None, live=True, size=SIZE)
    write(several, 3)
    several.abort()
    assert len(video(out).pts) == 3


def test_a_run_that_fails_before_its_first_frame_leaves_nothing(tmp_path: Path) -> None:
    names = [str(tmp_path / "out.mp4"), f"{tmp_path}/frames/"]
    for live in (False, True):
        open_outputs(names, None, live=live, size=SIZE).abort()
        assert list(tmp_path.iterdir()) == []


def test_the_window_ends_the_run_after_the_others_have_the_frame() -> None:
    class Shut(Listed):
        def write(self, frame: Frame) -> None:
            raise SinkClosed

    several = SeveralSinks([other := Listed()], [], Shut())
    with pytest.raises(SinkClosed):
        several.write(frame(0))
    several.close()
    assert other.written == [0]


def test_frames_of_a_file_reach_a_live_output_at_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("rt.pacing.time", clock)
    monkeypatch.setattr("rt.sinks.several.time", clock)
    several = SeveralSinks([], [SinkThread("a", Listed(), recorded=False)], paced=True)
    monkeypatch.setattr(several._closed, "wait", clock.wait)
    write(several, 4)
    assert clock.waits_s == pytest.approx([0, 0.04, 0.04, 0.04])
    several.close()


class Clock:
    """Time that passes by waiting alone."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits_s: list[float] = []

    def perf_counter(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.waits_s.append(seconds)
        self.now_s += seconds
        return False
