"""Several outputs of one run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from rt.controls import Controls
from rt.errors import SinkError
from rt.frame import DEFAULT_RATE, Frame, SourceInfo
from rt.pacing import Pace
from rt.sinks import (
    USUAL,
    Sink,
    SinkOptions,
    is_animation,
    is_for_pictures,
    is_shown_live,
    open_sink,
    scheme_of,
)
from rt.sinks.compared import Compared
from rt.sinks.lane import Lane

_log = logging.getLogger(__name__)


class SeveralSinks:
    """Gives every frame to several outputs.

    Frames go to `direct` sinks in the calling thread: nothing is lost, the slowest sets the pace, a failure
    ends the run. `lanes` never hold a frame up; one that fails is said once and the others go on. The
    `window` comes last, in the calling thread, because windows must be drawn by the main one.

    Args:
        paced: hold each frame back until its time; for lanes beside a recorded source without a window.
        on_fault: is told once of each lane that fails, in one line.
    """

    def __init__(
        self,
        direct: Sequence[Sink] = (),
        lanes: Sequence[Lane] = (),
        window: Sink | None = None,
        *,
        paced: bool = False,
        on_fault: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._direct = list(direct)
        self._lanes = list(lanes)
        self._window = window
        self._pace = Pace() if paced else None
        self._on_fault = on_fault
        self._said: set[str] = set()
        self._closed = threading.Event()  # no more frames are taken
        self._ended = False  # nothing is open any more

    def write(self, frame: Frame) -> None:
        """Give a frame to every output that still works.

        Raises:
            SinkError: a direct sink failed, or every lane did and there is nothing else.
            SinkClosed: the window was closed.
        """
        if self._closed.is_set():
            raise SinkError("the outputs are closed and cannot take a frame")
        if self._pace is not None:
            self._closed.wait(max(0.0, self._pace.due_s(frame.time_s) - time.perf_counter()))
        for sink in self._direct:
            sink.write(frame)
        for lane in self._lanes:
            lane.put(frame)
        self._look_at_lanes()
        if self._window is not None:
            self._window.write(frame)

    def close(self) -> None:
        """Finish every output, whatever becomes of the others; works twice.

        Raises:
            SinkError: the first failure of something recorded, now or before.
            BaseException: an interrupt, or a mistake of the program; what was still open is aborted.
        """
        if self._ended:
            return
        self._closed.set()
        try:
            faults = self._close_all()
        except BaseException:
            self.abort()
            raise
        self._ended = True
        for fault in faults[1:]:
            _log.error("%s", fault)
        if faults:
            raise faults[0]

    def _close_all(self) -> list[SinkError]:
        """Finish every output; return the failures of what is recorded."""
        faults: list[SinkError] = []
        for sink in self._sinks():
            try:
                sink.close()
            except SinkError as error:
                faults.append(error)
        for lane in sorted(self._lanes, key=lambda lane: not lane.recorded):  # a stalled server takes long
            try:
                lane.close()
            except SinkError as error:
                if lane.recorded:
                    faults.append(error)
                else:
                    self._say(lane.name, error)
        return faults

    def abort(self) -> None:
        """End every output without a result; recordings of live frames are kept. Works twice."""
        if self._ended:
            return
        self._closed.set()
        self._ended = True
        with ExitStack() as ends:
            for sink in self._sinks():
                ends.callback(sink.abort)
            for lane in self._lanes:
                ends.callback(lane.abort)

    def _sinks(self) -> list[Sink]:
        return [*self._direct, *([] if self._window is None else [self._window])]

    def _look_at_lanes(self) -> None:
        faults = [(lane.name, lane.fault) for lane in self._lanes if lane.fault is not None]
        if faults and len(faults) == len(self._lanes) and not self._sinks():
            raise faults[-1][1]
        for name, fault in faults:
            self._say(name, fault)

    def _say(self, name: str, fault: SinkError) -> None:
        if name not in self._said:
            self._said.add(name)
            self._on_fault(f"{fault}; the other outputs go on")


def open_outputs(
    addresses: Sequence[str],
    like: SourceInfo | None,
    options: SinkOptions = USUAL,
    *,
    live: bool,
    size: tuple[int, int] | None = None,
    frame_rate: Fraction | None = None,
    window: Sink | None = None,
    record: str | None = None,
    controls: Controls | None = None,
    compare: bool = False,
) -> Sink:
    """Open everything that a run writes to or shows, as one sink.

    Args:
        addresses: what the user named, see `open_sink`.
        like: the source of the frames.
        options: how video is coded, and whether what exists is replaced.
        live: the source is live: each output then has a thread of its own.
        size: (height, width) of the frames where it is not that of `like`.
        frame_rate: mean frames per second where it is not that of `like`.
        window: an opened window, shown beside the other outputs.
        record: name of a file that is recorded from the start beside a live view.
        controls: whose `recording` begins and ends recordings, and who is told of faults.
        compare: write before and after side by side to every address and recording;
            frames need `before` then.

    Raises:
        SinkError: one of them cannot be written, or nothing of the run is coded as was asked; nothing is left
            behind of the others.
    """
    if not addresses and window is None and record is None:
        raise ValueError("a run needs an output or a window")
    if record is not None and not live:
        raise SinkError("a recorded source is not recorded again: name OUTPUT instead of --record")
    recorded = live and (record is not None or (controls is not None and window is not None))
    if not recorded and not any(_codes_video(address) for address in addresses):
        _check_unasked(options)
    rate = frame_rate or (like.frame_rate if like is not None else None)
    opener = _Opener(like, options, live, size, rate, controls, compare)
    with ExitStack() as opened:
        for address in addresses:
            opened.callback(opener.open(address).abort)
        if recorded:
            opened.callback(opener.open_recorder(record).abort)
        opened.pop_all()
    alone = opener.direct if not opener.lanes and window is None else []
    if len(alone) == 1:
        return alone[0]
    shown = any(not lane.recorded for lane in opener.lanes)

    def on_fault(text: str) -> None:
        _log.warning("%s", text)
        if controls is not None:
            controls.note(text)

    paced = shown and not live and window is None
    return SeveralSinks(opener.direct, opener.lanes, window, paced=paced, on_fault=on_fault)


def _codes_video(address: str) -> bool:
    """Tell whether an output codes video; one that does not exist is refused where it is opened."""
    scheme = scheme_of(address)
    still_or_moving = is_for_pictures(address) or is_animation(address)
    return not still_or_moving if scheme is None else scheme not in ("null", "virtual")


def _check_unasked(options: SinkOptions) -> None:
    """Refuse words about coded video.

    Raises:
        SinkError: there are some.
    """
    names = ("codec", "encoder", "crf", "preset")
    given = [f"--{name}" for name in names if getattr(options, name) != getattr(USUAL, name)]
    if given:
        raise SinkError(
            f"no output of this run codes video, so it has no use for {' and '.join(given)}; "
            "leave that out, or name a video file"
        )


class _Opener:
    """Opens outputs one by one, each as the source wants it."""

    def __init__(
        self,
        like: SourceInfo | None,
        options: SinkOptions,
        live: bool,
        size: tuple[int, int] | None,
        frame_rate: Fraction | None,
        controls: Controls | None,
        compare: bool,
    ) -> None:
        self.direct: list[Sink] = []
        self.lanes: list[Lane] = []
        self._like = like
        self._options = options
        self._live = live
        self._size = size if size is not None or like is None else (like.height, like.width)
        if self._size is not None and compare:
            self._size = (self._size[0], 2 * self._size[1])
        self._frame_rate = frame_rate
        self._controls = controls
        self._compare = compare

    def open(self, address: str) -> Sink | Lane:
        scheme = scheme_of(address)
        is_file = scheme is None and not is_for_pictures(address) and not is_animation(address)
        if self._live and is_file:
            sink = self._recorder(Path(address), None)
        else:
            sink = self._compared(
                open_sink(address, self._like, self._options, size=self._size, frame_rate=self._frame_rate)
            )
        if is_shown_live(scheme):
            return self._lane(address, sink, recorded=False)
        if self._live and scheme is None:
            return self._lane(address, sink, recorded=True)
        self.direct.append(sink)
        return sink

    def open_recorder(self, record: str | None) -> Lane:
        path = None if record is None else Path(record)
        return self._lane(record or "recording", self._recorder(path, self._controls), recorded=True)

    def _recorder(self, path: Path | None, controls: Controls | None) -> Sink:
        from rt.sinks.recorder import Recorder

        rate = self._frame_rate or DEFAULT_RATE
        return self._compared(Recorder(rate, self._options, path=path, size=self._size, controls=controls))

    def _compared(self, sink: Sink) -> Sink:
        return Compared(sink) if self._compare else sink

    def _lane(self, name: str, sink: Sink, recorded: bool) -> Lane:
        lane = Lane(name, sink, recorded)
        self.lanes.append(lane)
        return lane
