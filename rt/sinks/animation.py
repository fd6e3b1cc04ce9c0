"""Frames as an animated image: GIF or WebP."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np

from rt.errors import SinkError
from rt.frame import Frame, Rgb, SourceInfo
from rt.media import reason
from rt.sinks.base import closed
from rt.sinks.target import PartFile

SUFFIXES = (".gif", ".webp")
_UNITS = {"gif": Fraction(1, 100), "webp": Fraction(1, 1000)}
"""Seconds per unit of the times that a format stores."""
_AT_LEAST = {"gif": 2, "webp": 1}
"""Units between two frames: browsers show a GIF's frame of 10 ms for 100."""
_OPTIONS: dict[str, dict[str, str]] = {"gif": {}, "webp": {"quality": "90", "compression_level": "4"}}
_CODECS = {"gif": "gif", "webp": "libwebp_anim"}
_PALETTE = {"stats_mode": "single"}
"""A palette of its own for every frame, so that none has to be held back for what comes later."""


class AnimationSink:
    """One animated image that repeats for ever; a GIF has 256 colours a frame and at most 50 frames a second.

    Args:
        address: name of the file, `.gif` or `.webp`.
        like: the source of the frames; it is never replaced.
        overwrite: replace what exists.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, address: str, like: SourceInfo | None = None, *, overwrite: bool = False) -> None:
        path = Path(address)
        self._path = path
        self._kind = path.suffix.lower().removeprefix(".")
        source = Path(like.name) if like is not None and Path(like.name).is_file() else None
        self._part = PartFile(path, source, overwrite)
        self._encoder: _Encoder | None = None
        self._last: int | None = None
        self._first_s = Fraction(0)
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Write one frame, or pass over one that follows too soon to be shown.

        Raises:
            SinkError: it cannot be written, has another size than the first one, or the sink is closed.
        """
        if self._closed:
            raise closed(self._path)
        time_s = frame.pts * frame.time_base
        try:
            if self._encoder is None:
                self._first_s = time_s
                self._encoder = _Encoder(self._part, self._kind, frame.size)
            if frame.size != self._encoder.size:
                (height, width), (high, wide) = frame.size, self._encoder.size
                raise SinkError(
                    f"cannot write {self._path}: a frame of {width}x{height} came after {wide}x{high}"
                )
            at = round((time_s - self._first_s) / _UNITS[self._kind])
            if self._last is not None and at - self._last < _AT_LEAST[self._kind]:
                return
            self._last = at
            self._encoder.write(frame.rgb, at)
        except (OSError, av.error.FFmpegError, ValueError) as error:
            raise SinkError(f"cannot write {self._path}: {reason(error)}") from None

    def close(self) -> None:
        """Finish the file; works twice.

        Raises:
            SinkError: that is not possible; nothing is left then.
        """
        if self._closed:
            return
        self._closed = True
        if self._encoder is None:
            self._part.remove()
            return
        try:
            self._encoder.close()
            self._part.finish()
        except (OSError, av.error.FFmpegError, ValueError) as error:
            self._part.remove()
            raise SinkError(f"cannot write {self._path}: {reason(error)}") from None
        self._part.publish()

    def abort(self) -> None:
        """Leave nothing; works twice, and does nothing after `close`."""
        if not self._closed:
            self._closed = True
            if self._encoder is not None:
                self._encoder.abort()
            self._part.remove()


class _Encoder:
    """Codes frames of one size into the unfinished file."""

    def __init__(self, part: PartFile, kind: str, size: tuple[int, int]) -> None:
        self.size = size
        self._kind = kind
        self._container = av.open(part.file, "w", format=kind, container_options={"loop": "0"})
        stream = self._container.add_stream(_CODECS[kind], options=dict(_OPTIONS[kind]))
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "pal8" if kind == "gif" else "bgra"
        self._stream.time_base = self._stream.codec_context.time_base = _UNITS[kind]
        self._graph = _palettes(size) if kind == "gif" else None

    def write(self, rgb: Rgb, at: int) -> None:
        """Code uint8[H, W, 3] RGB that begins at a time in the format's units."""
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        assert (image.height, image.width) == self.size
        image.pts, image.time_base = at, _UNITS[self._kind]
        if self._graph is None:
            self._put(image.reformat(format="bgra"))
            return
        self._graph.push(image)
        for reduced in self._pulled():
            self._put(reduced)

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        if self._graph is not None:
            self._graph.push(None)
            for reduced in self._pulled():
                self._put(reduced)
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abort(self) -> None:
        """Let go of the file, whatever state it is in."""
        try:
            self._container.close()
        except (OSError, av.error.FFmpegError, ValueError):
            return

    def _put(self, image: av.VideoFrame) -> None:
        self._container.mux(self._stream.encode(image))

    def _pulled(self) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                image = self._graph.pull()
            except (BlockingIOError, av.error.EOFError):
                return
            assert isinstance(image, av.VideoFrame)
            yield image


def _palettes(size: tuple[int, int]) -> av.filter.Graph:
    """Return a graph that turns RGB frames into 256 colours chosen for each; its dither stands still."""
    graph = av.filter.Graph()
    rgb24 = av.VideoFormat("rgb24")
    source = graph.add_buffer(width=size[1], height=size[0], format=rgb24, time_base=_UNITS["gif"])
    split = graph.add("split")
    made = graph.add("palettegen", **_PALETTE)
    used = graph.add("paletteuse", new="1", dither="bayer", bayer_scale="3")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(used, 0, 0)
    split.link_to(made, 1, 0)
    made.link_to(used, 0, 1)
    used.link_to(sink)
    graph.configure()
    return graph
