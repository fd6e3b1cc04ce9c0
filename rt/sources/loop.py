"""A video file once, or again and again."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from rt.frame import Frame
from rt.media import SideStreams
from rt.sources.base import DEFAULTS, Source, SourceOptions, exact_s, frames_before, refuse_options
from rt.sources.file import FileSource

_log = logging.getLogger(__name__)


def open_file(address: str, options: SourceOptions) -> Source:
    """Open a video file.

    Raises:
        SourceError: see `FileSource`.
    """
    can = ("loop", "start_s", "duration_s", "keep_clock", "interlaced", "fields")
    refuse_options(options, address, "a video file", can)
    if options.loop:
        return LoopSource(address, options.start_s, options.duration_s, options)
    return FileSource(address, options.start_s, options.duration_s, options=options)


class LoopSource:
    """A file from `start_s` to its end, again and again; times and numbers go on.

    Its audio and other streams are left out. A damaged file is not begun again.

    Args:
        path: the file.
        start_s: seconds to leave out at its beginning, in every round.
        duration_s: seconds after which iteration ends; None for no end.
        options: what is done with interlaced frames.

    Raises:
        SourceError: see `FileSource`.
    """

    live = False
    dropped = 0

    def __init__(
        self,
        path: str | Path,
        start_s: float = 0.0,
        duration_s: float | None = None,
        options: SourceOptions = DEFAULTS,
    ) -> None:
        self._path = path
        self._start_s = start_s
        self._options = options
        self._duration_s = None if duration_s is None else exact_s(duration_s)
        self._started = self._closed = False
        self._source = FileSource(path, start_s, options=options)
        if self._source.info.side.streams:
            _log.warning("%s: its audio and other streams are left out of the loop", path)
        info = self._source.info
        count = None
        if duration_s is not None and info.frame_rate is not None:
            count = frames_before(duration_s, info.frame_rate)
        side = SideStreams((), (), info.side.metadata, {})
        side.ended = True
        self.info = dataclasses.replace(info, frame_count=count, side=side)

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order, round after round.

        Raises:
            DamagedSource: at the end of the first round, where the file is damaged.
            RuntimeError: the source was iterated before.
        """
        if self._started:
            raise RuntimeError("a LoopSource is iterated once")
        self._started = True
        return self._frames()

    def close(self) -> None:
        """End the reading. Works twice, and from any thread."""
        self._closed = True
        self._source.close()

    def _frames(self) -> Iterator[Frame]:
        shift = index = 0
        first_pts = self.info.video.first_pts
        while not self._closed:
            frame = None
            for frame in self._source:
                pts = frame.pts + shift
                if self._duration_s is not None and (pts - first_pts) * frame.time_base >= self._duration_s:
                    return
                yield dataclasses.replace(frame, pts=pts, index=index)
                index += 1
            if frame is None:
                return
            shift += frame.pts - first_pts + self._interval(frame)
            self._source.close()
            self._source = FileSource(self._path, self._start_s, options=self._options, again=True)
        self._source.close()

    def _interval(self, last: Frame) -> int:
        """Return how long the last frame of a round stands: the mean distance of two frames."""
        if self.info.frame_rate:
            return max(1, round(1 / self.info.frame_rate / last.time_base))
        return max(1, round((last.pts - self.info.video.first_pts) / max(1, last.index)))
