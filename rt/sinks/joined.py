"""Encoded spans joined to a video file, beside the source's other streams."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.packet

from rt.errors import SinkError
from rt.frame import SourceInfo
from rt.sinks.base import SinkOptions
from rt.sinks.file import FileSink
from rt.sinks.parts import PartFacts, described, read_packets


class JoinedSink(FileSink):
    """A video file as `FileSink` writes it, of packets that `PartSink` kept."""

    def __init__(
        self, path: Path, like: SourceInfo, options: SinkOptions, size: tuple[int, int] | None = None
    ) -> None:
        """See `FileSink`."""
        super().__init__(path, like, options, size=size)

    @property
    def encoder(self) -> str:
        """What the parts must have been encoded with, see `PartFacts.encoder`."""
        return described(self._track, self._encoder.name)

    @property
    def shift_s(self) -> Fraction:
        """What is added to every time, in seconds; see `FileSink`."""
        return self._side.shift_s

    def note(self, facts: PartFacts) -> None:
        """Take over what is to be said of a part at the end."""
        self._track.moved += facts.moved
        self._track.without_captions += facts.without_captions

    def packets(self, path: Path, facts: PartFacts) -> Iterator[av.packet.Packet[Any]]:
        """Yield the packets of a part.

        Raises:
            SinkError: it is not what was written, or not for this file.
        """
        if facts.encoder != self.encoder:
            raise SinkError(f"{path} was encoded by {facts.encoder}, this machine has {self.encoder}")
        yield from read_packets(path, facts, self._unit)

    def put(self, packet: av.packet.Packet[Any]) -> None:
        """Write a packet, and what of the other streams belongs before it.

        Raises:
            SinkError: the file cannot be written.
        """
        with self._lock:
            self._guarded(lambda: self._copy(packet))

    def _copy(self, packet: av.packet.Packet[Any]) -> None:
        written_s = self._track.copy(packet)
        if written_s is not None:
            self._side.write_until(written_s)
