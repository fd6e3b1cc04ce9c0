"""Encoded spans of a video, a file of packets each."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.packet

from rt.errors import SinkError
from rt.frame import Frame, SourceInfo
from rt.media import FileInfo, reason
from rt.sinks.base import SinkOptions, closed, rate_of, size_of
from rt.sinks.encoder import choose_encoder
from rt.sinks.file import container_format, shift_of, unit_of
from rt.sinks.track import VideoTrack

_HEAD = struct.Struct("<qqqBI")
"""Of a packet: pts, dts, duration, whether it is a keyframe, bytes that follow."""


@dataclass(frozen=True)
class PartFacts:
    """What was written into a part."""

    frames: int
    bytes: int
    crc32: int
    """Of the file."""
    encoder: str
    """FFmpeg's name and options, and a digest of what it wrote of itself."""
    moved: int
    """Frames that were closer than the clock of the container."""
    without_captions: int
    """Frames whose closed captions could not be coded."""


class DamagedPart(SinkError):
    """A part is not what was written."""


class PartSink:
    """Encodes frames exactly as `FileSink` does for `target`, but keeps the packets.

    The file is written at once, under its own name; it has no other streams.

    Args:
        path: the file.
        target: what is to be made of it and its neighbours; its suffix chooses the container.
        like: the source of the frames, as the whole file is described.
        options: how video is coded; `threads` must be set for the same bytes on every machine.
        size: (height, width) in pixels of the upright frames; that of `like` where not given.

    Raises:
        SinkError: it cannot be written, or `target` cannot hold the video.
    """

    def __init__(
        self,
        path: Path,
        target: Path,
        like: SourceInfo,
        options: SinkOptions,
        size: tuple[int, int] | None = None,
    ) -> None:
        assert isinstance(like, FileInfo)
        self.facts: PartFacts | None = None
        """Set by `close`."""
        self._path = path
        self._format = container_format(target, options.codec)
        self._size, rate = size_of(like, size), rate_of(like, None)
        self._encoder = choose_encoder(options, self._size, rate)
        self._shift_s = shift_of(self._format, like.video, [])
        self._frames = self._crc32 = self._bytes = 0
        # Never written to: streams, and what the container makes of an encoder's settings, need one.
        self._container = av.open(io.BytesIO(), "w", format=self._format)
        unit = unit_of(self._format, like.video)
        self._track = VideoTrack(
            self._container, like.video, self._size, rate, unit, self._encoder, self._write_packet
        )
        try:
            self._file: io.BufferedWriter | None = path.open("xb")
        except OSError as error:
            raise SinkError(f"cannot write {path}: {reason(error)}") from None

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            SinkError: the frame has another size, the sink is closed, or the file cannot be written.
        """
        if self._file is None:
            raise closed(self._path)
        if frame.size != self._size:
            raise SinkError(f"cannot write {self._path}: a frame of another size came")
        try:
            self._track.write(frame, self._shift_s)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise SinkError(f"cannot write {self._path}: {reason(error)}") from None
        self._frames += 1

    def close(self) -> None:
        """Write what the encoder still holds, down to the disk. Works twice.

        Raises:
            SinkError: that is not possible; nothing is left of the file then.
        """
        if self._file is None:
            return
        try:
            self._track.finish()
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise SinkError(f"cannot write {self._path}: {reason(error)}") from None
        self._file = None
        self.facts = PartFacts(
            self._frames,
            self._bytes,
            self._crc32,
            described(self._track, self._encoder.name),
            self._track.moved,
            self._track.without_captions,
        )

    def abort(self) -> None:
        """End without a result and remove the file. Works twice; does nothing after `close`."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:  # what is still in its buffer has no room
                file.raw.close()
            self._path.unlink(missing_ok=True)

    def _write_packet(self, packet: av.packet.Packet[Any]) -> None:
        assert self._file is not None
        data = bytes(packet)
        assert packet.pts is not None
        dts = packet.pts if packet.dts is None else packet.dts
        head = _HEAD.pack(packet.pts, dts, packet.duration or 0, packet.is_keyframe, len(data))
        for piece in (head, data):
            self._file.write(piece)
            self._crc32 = zlib.crc32(piece, self._crc32)
            self._bytes += len(piece)


def described(track: VideoTrack, name: str) -> str:
    """Return a name for an encoder with its settings: parts of two names do not belong together."""
    extradata = track.stream.codec_context.extradata or b""
    return f"{name} {hashlib.blake2b(extradata, digest_size=8).hexdigest()}"


def read_packets(path: Path, facts: PartFacts, unit: Fraction) -> Iterator[av.packet.Packet[Any]]:
    """Yield the packets of a part; `unit` is that of its clock in seconds.

    Raises:
        SinkError: it cannot be read.
        DamagedPart: it is not what was written; said after its last packet.
    """
    crc32 = 0
    try:
        with path.open("rb") as file:
            while head := file.read(_HEAD.size):
                pts, dts, duration, is_key, size = _HEAD.unpack(head)
                data = file.read(size)
                crc32 = zlib.crc32(data, zlib.crc32(head, crc32))
                packet: av.packet.Packet[Any] = av.packet.Packet(data)
                packet.pts, packet.dts, packet.duration, packet.time_base = pts, dts, duration, unit
                packet.is_keyframe = bool(is_key)
                yield packet
    except (OSError, struct.error) as error:
        raise SinkError(f"cannot read {path}: {reason(error)}") from None
    if crc32 != facts.crc32:
        raise DamagedPart(f"{path} is not what was written")
