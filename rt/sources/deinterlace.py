"""Interlaced frames made progressive, by FFmpeg's bwdif."""

from __future__ import annotations

from fractions import Fraction

import av
import av.error
import av.filter


class Deinterlacer:
    """Makes interlaced frames progressive; progressive ones pass as they are.

    Half of the lines of an interlaced frame were taken half a frame later than the others. From the first
    interlaced frame on, each frame comes out when the following one is pushed.

    Args:
        time_base: seconds per unit of the frames' pts.
        fields: give two frames for each interlaced one, one for each half; their times are in halves of
            `time_base`.
    """

    def __init__(self, time_base: Fraction, fields: bool = False) -> None:
        self.time_base = time_base / 2 if fields else time_base
        """Seconds per unit of the pts of what comes out."""
        self.active = False
        """Whether an interlaced frame has come."""
        self._time_base_in = time_base
        self._fields = fields
        self._first_fields: set[int] = set()
        self._second_fields: set[int] = set()
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int, str] | None = None

    def push(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        """Take a frame, whose pts is set; return those that are done, their pts in units of `time_base`."""
        self.active = self.active or bool(frame.interlaced_frame)
        if not self.active:
            return [self._placed(frame, frame.pts, 1)]
        done: list[av.VideoFrame] = []
        shape = (frame.height, frame.width, frame.format.name)
        if shape != self._shape:
            done = self.flush()
            self._graph, self._shape = self._new_graph(frame), shape
        assert self._graph is not None
        frame.time_base = self._time_base_in
        if self._fields and frame.pts is not None:
            self._first_fields.add(2 * frame.pts)
        self._graph.vpush(frame)
        return done + self._pull()

    def flush(self) -> list[av.VideoFrame]:
        """Return what was held back for a following frame."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        done = self._pull()
        self._graph = self._shape = None
        return done

    def is_second_field(self, frame: av.VideoFrame) -> bool:
        """Return whether a frame that came out is a second field: the data beside it is that of the first."""
        if frame.pts not in self._second_fields:
            return False
        self._second_fields.discard(frame.pts)
        return True

    def _new_graph(self, frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        mode = "send_field" if self._fields else "send_frame"
        begin = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=self._time_base_in
        )
        bwdif = graph.add("bwdif", f"mode={mode}:parity=auto:deint=interlaced")
        end = graph.add("buffersink")
        begin.link_to(bwdif)
        bwdif.link_to(end)
        graph.configure()
        return graph

    def _pull(self) -> list[av.VideoFrame]:
        assert self._graph is not None
        done: list[av.VideoFrame] = []
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return done
            if self._fields and frame.pts is not None:
                if frame.pts in self._first_fields:
                    self._first_fields.discard(frame.pts)
                else:
                    self._second_fields.add(frame.pts)
            # bwdif counts in halves of the unit that it was given.
            done.append(self._placed(frame, frame.pts, 2))

    def _placed(self, frame: av.VideoFrame, pts: int | None, halves: int) -> av.VideoFrame:
        """Set the pts of a frame that comes out; `halves` is 2 where its pts counts half units."""
        if pts is not None:
            frame.pts = pts * 2 // halves if self._fields else pts // halves
        frame.time_base = self.time_base
        return frame
