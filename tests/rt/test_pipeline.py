from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from rt.errors import BackendError, DamagedSource, SinkError, SourceError
from rt.frame import Frame, SourceInfo
from rt.pipeline import CAPACITY, Stop, Translate, run_pipeline
from rt.sinks import SinkClosed
from rt.stats import STAGES, Meter

LIMIT_S = 20  # only reached where something hangs
AHEAD = 2 * CAPACITY + 2  # frames read before the one being written is done
WRITTEN_FIRST = 3


def frame_at(index: int) -> Frame:
    return Frame(
        np.full((2, 3, 3), index % 256, np.uint8), pts=7 * index, time_base=Fraction(1, 90), index=index
    )


class FakeSource:
    """`count` frames, then `error`, a wait until `close`, or the end."""

    live = False
    dropped = 0

    def __init__(self, count: int, error: BaseException | None = None, blocks: bool = False) -> None:
        self.info = SourceInfo("clip.mp4", 2, 3, Fraction(30), count)
        self.count, self.error, self.blocks = count, error, blocks
        self.delivered = 0
        self.far_ahead = threading.Event()  # every channel is full and every thread holds a frame
        self.exhausted = threading.Event()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.delivered += 1
            if self.delivered == WRITTEN_FIRST + AHEAD:
                self.far_ahead.set()
            yield frame_at(index)
        self.exhausted.set()
        if self.blocks:
            assert self.closed.wait(LIMIT_S)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed.set()


class FakeSink:
    """Remembers what was written and how it ended; calls `on_write` with each frame first."""

    def __init__(self, on_write: Callable[[Frame], None] = lambda frame: None) -> None:
        self.written: list[int] = []
        self.ends: list[str] = []
        self.on_write = on_write

    def write(self, frame: Frame) -> None:
        self.on_write(frame)
        self.written.append(frame.index)

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")


def same(frames: Iterable[Frame]) -> Iterator[Frame]:
    return iter(frames)


def each(translate: Callable[[Frame], Frame]) -> Translate:
    """Translate frame by frame."""
    return lambda frames: map(translate, frames)


@pytest.fixture(autouse=True)
def no_thread_remains() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()


def fail_at(index: int, error: BaseException) -> Translate:
    def translate(frame: Frame) -> Frame:
        if frame.index == index:
            raise error
        return frame

    return each(translate)


def test_every_frame_is_written_once_in_order_with_its_time() -> None:
    source = FakeSource(200)
    progress: list[int] = []
    times: list[tuple[int, Fraction]] = []
    sink = FakeSink(lambda frame: times.append((frame.pts, frame.time_base)))
    stats = run_pipeline(source, same, sink, on_progress=progress.append)
    assert sink.written == list(range(200))
    assert times == [(7 * index, Fraction(1, 90)) for index in range(200)]
    assert progress == list(range(1, 201))
    assert (stats.frames, stats.stopped, sink.ends) == (200, False, ["close"])
    assert stats.fps == pytest.approx(200 / stats.seconds)
    assert source.closed.is_set()


def test_the_frame_that_is_written_is_the_translated_one() -> None:
    values: list[int] = []
    sink = FakeSink(lambda frame: values.append(int(frame.rgb[0, 0, 0])))

    def brighten(frame: Frame) -> Frame:
        return Frame(frame.rgb + 100, frame.pts, frame.time_base, frame.index)

    run_pipeline(FakeSource(5), each(brighten), sink)
    assert values == [100, 101, 102, 103, 104]


def test_reading_runs_ahead_of_writing_by_no_more_than_the_channels_hold() -> None:
    source = FakeSource(100)
    ahead: list[int] = []
    run_pipeline(source, same, FakeSink(lambda frame: ahead.append(source.delivered - frame.index - 1)))
    assert max(ahead) <= AHEAD


def test_a_source_that_fails_leaves_a_whole_result_and_says_how_much() -> None:
    fault = SourceError("clip.mp4 is cut off at 1.2 s")
    sink = FakeSink()
    with pytest.raises(
        DamagedSource, match=r"^clip.mp4 is cut off at 1.2 s; 30 frames are written$"
    ) as caught:
        run_pipeline(FakeSource(30, fault), same, sink)
    assert caught.value.__cause__ is fault
    assert (sink.written, sink.ends) == (list(range(30)), ["close"])


def test_a_source_that_fails_before_its_first_frame_leaves_nothing() -> None:
    sink = FakeSink()
    with pytest.raises(SourceError, match="^cannot decode$"):
        run_pipeline(FakeSource(0, SourceError("cannot decode")), same, sink)
    assert sink.ends == ["abort"]


def test_a_source_without_frames_is_an_error_and_leaves_nothing() -> None:
    sink = FakeSink()
    with pytest.raises(SourceError, match="^clip.mp4 holds no frame; give a video with at least one frame$"):
        run_pipeline(FakeSource(0), same, sink)
    assert sink.ends == ["abort"]


def test_a_bug_in_a_source_is_raised_as_it_is_and_leaves_nothing() -> None:
    sink = FakeSink()
    with pytest.raises(ZeroDivisionError):
        run_pipeline(FakeSource(3, ZeroDivisionError()), same, sink)
    assert sink.ends == ["abort"]


@pytest.mark.parametrize("blocks", [False, True], ids=["long source", "source that waits"])
def test_a_translator_that_fails_ends_the_run_with_its_own_error(blocks: bool) -> None:
    source = FakeSource(4 if blocks else 100_000, blocks=blocks)
    fault, sink = BackendError("the network returned NaN"), FakeSink()
    with pytest.raises(BackendError) as caught:
        run_pipeline(source, fail_at(3, fault), sink)
    assert caught.value is fault
    assert sink.ends == ["abort"]
    assert source.delivered < 50


def test_a_translator_that_fails_leaves_its_last_frames_unwritten() -> None:
    def wait_for_the_failure(frame: Frame) -> None:
        for thread in threading.enumerate():
            if thread.name == "videobrush-translate":
                thread.join(LIMIT_S)

    sink = FakeSink(wait_for_the_failure)
    with pytest.raises(BackendError, match="out of memory"):
        run_pipeline(FakeSource(100), fail_at(3, BackendError("out of memory")), sink)
    assert sink.written in (
        [0],
        [],
    )  # whether the first frame was taken before the failure is a matter of luck
    assert sink.ends == ["abort"]


def test_a_source_error_out_of_the_translator_is_not_taken_for_a_damaged_source() -> None:
    one_written = threading.Event()

    def translate(frame: Frame) -> Frame:
        if frame.index == 1:
            assert one_written.wait(LIMIT_S)
            raise SourceError("confused")
        return frame

    sink = FakeSink()
    with pytest.raises(SourceError, match="^confused$"):
        run_pipeline(FakeSource(100), each(translate), sink, on_progress=lambda frames: one_written.set())
    assert sink.ends == ["abort"]


@pytest.mark.parametrize("blocks", [False, True], ids=["long source", "source that waits"])
def test_a_sink_that_fails_ends_the_run_with_its_own_error(blocks: bool) -> None:
    def refuse_the_third(frame: Frame) -> None:
        if frame.index == WRITTEN_FIRST - 1:
            assert (source.exhausted if blocks else source.far_ahead).wait(LIMIT_S)
            raise SinkError("disk full")

    source, sink = FakeSource(4 if blocks else 100_000, blocks=blocks), FakeSink(refuse_the_third)
    with pytest.raises(SinkError, match="^disk full$"):
        run_pipeline(source, same, sink)
    assert (sink.written, sink.ends) == ([0, 1], ["abort"])
    assert source.delivered < 50


def test_a_sink_that_cannot_finish_is_aborted() -> None:
    class Unfinished(FakeSink):
        def close(self) -> None:
            raise SinkError("disk full")

    sink = Unfinished()
    with pytest.raises(SinkError, match="^disk full$"):
        run_pipeline(FakeSource(5), same, sink)
    assert sink.ends == ["abort"]


def test_a_stop_writes_what_was_read_and_closes_the_sink() -> None:
    stop = Stop()

    def stop_at_ten(frames: int) -> None:
        if frames == 10:
            stop.request()

    source, sink = FakeSource(100_000), FakeSink()
    stats = run_pipeline(source, same, sink, stop=stop, on_progress=stop_at_ten)
    assert stats.stopped
    assert sink.ends == ["close"]
    assert sink.written == list(range(stats.frames))
    assert 10 <= stats.frames <= 10 + 2 * CAPACITY + 2


def test_a_stop_wakes_a_source_that_waits_for_a_image() -> None:
    stop, source, sink = Stop(), FakeSource(5, blocks=True), FakeSink()

    def stop_when_waiting() -> None:
        assert source.exhausted.wait(LIMIT_S)
        stop.request()

    user = threading.Thread(target=stop_when_waiting)
    user.start()
    stats = run_pipeline(source, same, sink, stop=stop)
    user.join()
    assert (stats.frames, stats.stopped, sink.ends) == (5, True, ["close"])


def test_a_result_is_settled_once_its_sink_is_closed() -> None:
    stop = Stop()

    class Watched(FakeSink):
        def close(self) -> None:
            assert not stop.settled
            super().close()

    run_pipeline(FakeSource(3), same, Watched(), stop=stop)
    assert stop.settled


def test_a_stop_before_the_first_frame_leaves_nothing() -> None:
    stop, sink = Stop(), FakeSink()
    stop.request()
    stats = run_pipeline(FakeSource(100), same, sink, stop=stop)
    assert (stats.frames, stats.stopped, sink.ends) == (0, True, ["abort"])


def test_a_viewer_who_leaves_ends_the_run_as_a_stop() -> None:
    def leave(frame: Frame) -> None:
        if frame.index == 3:
            raise SinkClosed

    source, sink = FakeSource(100_000), FakeSink(leave)
    stats = run_pipeline(source, same, sink)
    assert (stats.frames, stats.stopped, sink.ends) == (3, True, ["close"])


def test_a_second_interrupt_aborts() -> None:
    def interrupt(frames: int) -> None:
        raise KeyboardInterrupt

    sink = FakeSink()
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(FakeSource(100_000), same, sink, on_progress=interrupt)
    assert sink.ends == ["abort"]


def test_a_thousand_runs_leave_no_thread() -> None:
    before = threading.active_count()
    for _ in range(1000):
        run_pipeline(FakeSource(2), same, FakeSink())
    assert threading.active_count() == before


class LiveSource(FakeSource):
    """A camera: five frames at once, then one each time the one before was written."""

    live = True
    dropped = 3

    def __init__(self, later: int) -> None:
        super().__init__(4 + later)
        self.held = threading.Event()
        self.written: queue.SimpleQueue[int] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            if index > 4:
                while self.written.get(timeout=LIMIT_S) != index - 1:
                    pass
            yield replace(frame_at(index), captured_s=time.perf_counter(), stale=index == self.count - 1)
            if index == 0:
                assert self.held.wait(LIMIT_S)
            if index == 3:
                self.exhausted.set()


def test_of_a_live_source_the_newest_frame_wins_and_the_others_are_counted() -> None:
    source = LiveSource(later=6)

    def translate(frame: Frame) -> Frame:
        if frame.index == 0:
            source.held.set()
            assert source.exhausted.wait(LIMIT_S)
        return frame

    meter, sink = Meter(), FakeSink(lambda frame: source.written.put(frame.index))
    stats = run_pipeline(source, each(translate), sink, meter=meter)
    lost = set(range(10)) - set(sink.written)
    assert sink.written == sorted(sink.written)
    assert {1, 2} <= lost <= {0, 1, 2, 3}  # 0 and 3 are lost where the next one overtakes them
    assert (stats.dropped, stats.frames) == (len(lost) + source.dropped, 10 - len(lost))
    assert set(stats.latency) == set(STAGES)
    assert all(0 <= spans.p50_ms <= spans.p95_ms <= spans.p99_ms for spans in stats.latency.values())
    status = meter.status()
    assert (status.frames, status.dropped, status.stale) == (stats.frames, stats.dropped, True)
    assert status.fps > 0


def test_a_recorded_source_has_no_latency_and_drops_nothing() -> None:
    stats = run_pipeline(FakeSource(50), same, FakeSink())
    assert (stats.frames, stats.dropped, stats.latency) == (50, 0, {})


def test_frames_in_flight_are_written_before_the_fault_of_their_source_is_raised() -> None:
    def two_in_flight(frames: Iterable[Frame]) -> Iterator[Frame]:
        flying: list[Frame] = []
        fault = None
        try:
            for frame in frames:
                flying.append(frame)
                if len(flying) == 2:
                    yield flying.pop(0)
        except SourceError as error:
            fault = error
        yield from flying
        if fault is not None:
            raise fault

    sink = FakeSink()
    with pytest.raises(DamagedSource, match="7 frames are written"):
        run_pipeline(FakeSource(7, SourceError("cut")), two_in_flight, sink)
    assert sink.written == list(range(7))
