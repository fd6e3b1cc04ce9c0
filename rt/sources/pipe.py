"""Live video that a program writes into a pipe."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path
from typing import Any

import av
import av.container
import av.error

from rt.errors import SourceError
from rt.frame import Rgb
from rt.media import TOLERANT, reason
from rt.sources.audio_feed import AudioSide
from rt.sources.base import DEFAULTS, Source, SourceOptions, refuse_options
from rt.sources.live import Granted, LiveSource, StreamOver
from rt.sources.stream import Decoder

OPEN_S = 10.0
"""Seconds that a pipe may stay empty at the start, and then until its first frame."""
_CHUNK_BYTES = 1 << 18


def open_pipe(address: str, options: SourceOptions) -> Source:
    """Open a FIFO or another file that is read as it comes, and wait for its first frame.

    Raises:
        SourceError: nobody writes into it, or what comes is not a video.
    """
    refuse_options(options, address, "a pipe", ("duration_s", "interlaced"))
    return LiveSource(PipeGrabber(address, options=options), options.duration_s)


class PipeGrabber:
    """Frames written into a pipe.

    A writer that pauses keeps its pipe: hanging up would kill it. When it ends, the next writer of a FIFO is
    waited for; a pipe without a name has no next writer, and is over.
    """

    noisy = False
    ends_stalls = False

    def __init__(self, address: str, open_s: float = OPEN_S, options: SourceOptions = DEFAULTS) -> None:
        self.name = address
        self._options = options
        self._open_s: float | None = open_s
        self._interrupted = threading.Event()
        self._reader: _PipeReader | None = None
        self._container: av.container.InputContainer | None = None
        self._decoder: Decoder | None = None
        self._side = AudioSide()

    def open(self) -> Granted:
        """Wait for a writer, and find its video.

        Raises:
            SourceError: it cannot be opened, nothing comes, or what comes is not a video.
            StreamOver: its writer ended, and there cannot be another one.
        """
        self._interrupted.clear()
        again = self._open_s is None
        self._reader = _PipeReader(self.name, self._interrupted, self._open_s)
        self._open_s = None  # from now on there was a writer, and another may come at any time
        try:
            self._container = container = av.open(
                self._reader,
                "r",
                container_options={"analyzeduration": "1000000"},
                buffer_size=_CHUNK_BYTES,
                **TOLERANT,
            )
        except (av.error.FFmpegError, ValueError) as error:
            self._reader.raise_kept()
            if again and self._reader.ended and self._is_nameless:
                raise StreamOver from None
            raise SourceError(f"cannot read {self.name}: {self._reader.fault} ({reason(error)})") from None
        self._reader.raise_kept()
        self._decoder = Decoder(self.name, container, options=self._options, side=self._side)
        return self._decoder.granted()

    def read(self) -> Rgb:
        """Return the next frame.

        Raises:
            SourceError: the writer ended, or nothing can be decoded.
            StreamOver: the writer ended, and there cannot be another one.
        """
        if self._decoder is None or self._reader is None:
            raise SourceError(f"cannot read {self.name}: it is not open")
        try:
            image = self._decoder.next_frame(self._interrupted)
        except av.error.FFmpegError as error:
            self._reader.raise_kept()
            damaged = isinstance(error, av.error.InvalidDataError)
            found = "what comes is damaged" if damaged else reason(error)
            raise SourceError(f"cannot read {self.name}: {found}") from None
        self._reader.raise_kept()
        if image is not None:
            self._reader.patient = True
            self._decoder.place(image)
            return self._decoder.rgb(image)
        if self._reader.late:
            raise SourceError(f"cannot read {self.name}: {self._reader.fault}")
        if self._is_nameless:
            raise StreamOver
        raise SourceError(f"cannot read {self.name}: its writer ended")

    @property
    def _is_nameless(self) -> bool:
        return not Path(os.path.realpath(self.name)).exists()

    def interrupt(self) -> None:
        """End a wait for the writer."""
        self._interrupted.set()
        reader = self._reader
        if reader is not None:
            reader.wake()

    def close(self) -> None:
        """Let the pipe go."""
        if self._decoder is not None:
            self._decoder.end()
        if self._container is not None:
            self._container.close()
        if self._reader is not None:
            self._reader.release()
        self._container = self._decoder = self._reader = None


class _PipeReader:
    """The reading end of a pipe, as PyAV wants it: `read` waits for bytes, and can be woken.

    Until it is made `patient`, it waits `limit_s` for the first byte and as long again for what follows.
    """

    def __init__(self, name: str, interrupted: threading.Event, limit_s: float | None) -> None:
        self.name = name
        self.empty = True
        """True until the first byte came."""
        self.patient = limit_s is None
        """True where a writer may pause for as long as it likes."""
        self.late = False
        """True once the limit was reached."""
        self.ended = False
        """True once the writer had ended."""
        self._kept: BaseException | None = None
        self._interrupted = interrupted
        self._limit_s = limit_s or 0.0
        self._until_s = time.monotonic() + self._limit_s
        try:
            self._fd = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise SourceError(f"cannot read {name}: {reason(error)}") from None
        self._woken, self._wakes = os.pipe()
        self._lock = threading.Lock()
        self._released = False
        self._poll = select.poll()
        for fd in (self._fd, self._woken):
            self._poll.register(fd, select.POLLIN)

    def read(self, size: int) -> bytes:
        """Return what there is, up to `size` bytes; nothing at the end, late, or where it was woken."""
        try:
            return self._read(size)
        except BaseException as error:  # PyAV would print a KeyboardInterrupt and go on
            self._kept = error
            return b""

    def raise_kept(self) -> None:
        """Raise what ended a `read`: to be called once PyAV has returned."""
        if self._kept is not None:
            raise self._kept

    @property
    def fault(self) -> str:
        """What is wrong where no video could be found, in words."""
        if self.empty:
            return "nothing was written"
        return f"no frame came in {self._limit_s:g} s" if self.late else "what comes is not a video"

    def _read(self, size: int) -> bytes:
        while not (self._interrupted.is_set() or self._kept):
            limit_ms: Any = None if self.patient else max(0.0, self._until_s - time.monotonic()) * 1000
            if not self._poll.poll(limit_ms):
                self.late = True
                return b""
            try:
                content = os.read(self._fd, size)
            except BlockingIOError:  # it was the wake-up
                continue
            except OSError:
                return b""
            self.ended = not content
            if self.empty and content:
                self.empty = False
                self._until_s = time.monotonic() + self._limit_s
            return content
        return b""

    def wake(self) -> None:
        """From any thread: let a `read` that waits return."""
        with self._lock:
            if not self._released:
                os.write(self._wakes, b"\0")

    def release(self) -> None:
        """Close the pipe and the wake-up. Works once."""
        with self._lock:
            self._released = True
            for fd in (self._fd, self._woken, self._wakes):
                os.close(fd)
