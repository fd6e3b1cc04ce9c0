"""Recordings of a live view, begun and ended by the viewer."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from rt.audio import AudioReader, LiveAudio
from rt.controls import Controls
from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks.base import DEFAULTS, SinkOptions, closed
from rt.sinks.file import FileSink
from rt.sinks.target import timestamped, unused

_log = logging.getLogger(__name__)

SUFFIX = ".mp4"
"""Of recordings that nobody named."""


class Recorder:
    """Writes frames to a file while `controls.recording` is on; each time it is turned on to another file.

    A frame of another size ends the file and begins the next. Times in a file begin at zero.

    Args:
        frame_rate: mean frames per second.
        options: how the files are coded; only the first may replace what exists.
        path: name of the first file, opened at once for frames of `size`; later ones are `NAME-2`, ...
            None: files are named by the time, in the current folder.
        size: (height, width) of the first frames; needed with `path`.
        controls: whose `recording` is obeyed; None: everything is recorded.
        audio: what is heard with the frames; None for none.

    Raises:
        SinkError: the first file cannot be written.
    """

    def __init__(
        self,
        frame_rate: Fraction,
        options: SinkOptions = DEFAULTS,
        *,
        path: Path | None = None,
        size: tuple[int, int] | None = None,
        controls: Controls | None = None,
        audio: LiveAudio | None = None,
    ) -> None:
        self._frame_rate = frame_rate
        self._audio = None if audio is None else AudioReader(audio)
        self._options = options
        self._named = path
        self._controls = controls
        self._closed = False
        self._sink: FileSink | None = None
        self._path = path or Path()
        self._size = size
        self._first: Frame | None = None
        self._last: Frame | None = None
        self._lost: SinkError | None = None
        if path is not None:
            if size is None:
                raise ValueError("a recording with a name needs the size of its frames")
            self._open(path, size, options)
            if controls is not None:
                controls.recording = True

    def write(self, frame: Frame) -> None:
        """Record one frame, where recording is on.

        Raises:
            SinkError: without controls: the file cannot be written, or the recorder is closed. With
                controls a failure is said, turns recording off, and is raised by `close` if it concerns a
                file that the user named.
        """
        if self._closed:
            raise closed(self._path)
        try:
            if self._controls is not None and not self._controls.recording:
                self._finish()
            else:
                self._record(frame)
        except SinkError as error:
            self._sink = None
            if self._controls is None:
                raise
            self._controls.recording = False
            self._lost = self._lost or (error if self._named is not None else None)
            self._say(str(error), logging.WARNING)

    def close(self) -> None:
        """Finish the file; works twice.

        Raises:
            SinkError: it cannot be finished, or a file that the user named failed before.
        """
        self._closed = True
        self._finish()
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def abort(self) -> None:
        """Remove the file that is being written. Works twice; does nothing after `close`."""
        self._closed = True
        if self._sink is not None:
            self._sink.abort()

    def _record(self, frame: Frame) -> None:
        size = frame.size
        if self._sink is not None and size != self._size:
            self._finish()
        if self._sink is None:
            path = timestamped(Path(), SUFFIX) if self._named is None else unused(self._named)
            self._open(path, size, replace(self._options, overwrite=False))
        assert self._sink is not None
        first = self._first or frame
        begin = round(first.pts * first.time_base / frame.time_base)
        self._sink.write(replace(frame, pts=frame.pts - begin))
        if self._audio is not None:
            if self._first is None:
                self._audio.begin(frame.pts * frame.time_base)
            self._write_audio(self._sink, self._audio, frame.pts * frame.time_base)
        self._first, self._last = first, frame

    def _write_audio(self, sink: FileSink, audio: AudioReader, time_s: Fraction) -> None:
        for samples in audio.until(time_s):
            sink.write_audio(samples)

    def _open(self, path: Path, size: tuple[int, int], options: SinkOptions) -> None:
        self._sink = FileSink(
            path,
            None,
            options,
            size=size,
            frame_rate=self._frame_rate,
            salvage=True,
            channels=0 if self._audio is None else self._audio.channels,
        )
        self._path, self._size, self._first = path, size, None
        self._say(f"recording to {path}")

    def _finish(self) -> None:
        if self._sink is None:
            return
        try:
            if self._audio is not None and self._last is not None and self._first is not None:
                end_s = self._last.pts * self._last.time_base + 1 / self._frame_rate
                self._write_audio(self._sink, self._audio, end_s)
            self._sink.close()
        except SinkError:
            self._sink = None
            raise
        self._sink = None  # not before: where closing is interrupted it can be tried again
        if self._first is not None and self._last is not None:
            seconds = self._last.time_s - self._first.time_s + float(1 / self._frame_rate)
            self._say(f"recorded {seconds:.1f} s to {self._path}")

    def _say(self, text: str, level: int = logging.INFO) -> None:
        _log.log(level, "%s", text)
        if self._controls is not None:
            self._controls.note(text)
