"""Audio that a container cannot hold as it is, decoded and encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.container
import av.error
import av.filter
import av.packet

from rt.errors import SinkError
from rt.media import rational

ENCODERS = {"aac": "aac", "opus": "libopus"}
"""Codec → FFmpeg's name of what encodes it."""
CODEC_OF = {"webm": "opus"}
"""Container → codec of audio that is encoded for it, where that is not AAC."""
NAMES = {"aac": "AAC", "opus": "Opus"}
BITS_A_CHANNEL = {"aac": 96_000, "opus": 64_000}
_RATES = {
    "aac": frozenset((96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)),
    "opus": frozenset((48000, 24000, 16000, 12000, 8000)),
}
_USUAL_RATE = 48000
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


class AudioEncoder:
    """Decodes packets of one stream and encodes them for another one, at the same times.

    Gaps and what cannot be decoded become silence, so that what follows stays in step with the video.
    """

    def __init__(
        self, container: av.container.OutputContainer, decoder: av.AudioCodecContext, codec: str
    ) -> None:
        """Add the stream to a container whose header is not written yet.

        Raises:
            SinkError: the decoder does not know how many channels there are.
        """
        channels = decoder.layout.nb_channels
        if not channels:
            raise SinkError("it does not say how many channels it has")
        self._decoder = decoder
        self._rate = decoder.sample_rate if decoder.sample_rate in _RATES[codec] else _USUAL_RATE
        self._layout = _LAYOUTS.get(channels, "stereo")
        stream: Any = container.add_stream(ENCODERS[codec], rate=self._rate)
        stream.layout = self._layout
        stream.bit_rate = BITS_A_CHANNEL[codec] * stream.layout.nb_channels
        self.stream: av.AudioStream = stream
        self._graph: av.filter.Graph | None = None
        self._form: tuple[Any, ...] = ()
        self._next_s: Fraction | None = None

    def encode(
        self, packet: av.packet.Packet[Any] | None, shift_s: Fraction
    ) -> Iterator[av.packet.Packet[Any]]:
        """Yield the encoded packets that a packet completes, `shift_s` later; None for the end of it all.

        Raises:
            av.error.FFmpegError: the packet cannot be decoded; the next ones may be.
        """
        try:
            decoded = self._decoder.decode(packet)
        except av.error.EOFError:
            decoded = []
        for block in decoded:
            self._place(block, shift_s)
            for even in self._resampled(block):
                yield from self.stream.encode(even)
        if packet is None:
            for even in self._resampled(None):
                yield from self.stream.encode(even)
            yield from self.stream.encode(None)

    def _place(self, block: av.AudioFrame, shift_s: Fraction) -> None:
        """Shift the time of a block; one without a time follows the block before."""
        unit = rational(block.time_base) or Fraction(1, block.sample_rate)
        start_s = self._next_s if block.pts is None else block.pts * unit + shift_s
        start_s = start_s if start_s is not None else shift_s
        self._next_s = start_s + Fraction(block.samples, block.sample_rate)
        block.time_base = Fraction(1, block.sample_rate)
        block.pts = round(start_s * block.sample_rate)

    def _resampled(self, block: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
        """Yield what a block gives in the encoder's form; None: what is left."""
        form = (block.sample_rate, block.format.name, block.layout.name) if block is not None else ()
        if form != self._form and self._graph is not None:
            yield from self._pulled(self._graph, None)
            self._graph = None
        self._form = form
        if block is None:
            return
        if self._graph is None:
            self._graph = self._make_graph(block)
        yield from self._pulled(self._graph, block)

    def _make_graph(self, block: av.AudioFrame) -> av.filter.Graph:
        assert block.time_base is not None
        graph = av.filter.Graph()
        chain = [
            graph.add_abuffer(
                sample_rate=block.sample_rate,
                format=block.format.name,
                layout=block.layout.name,
                time_base=block.time_base,
            ),
            graph.add("aresample", f"{self._rate}:async=1"),
            graph.add(
                "aformat",
                f"sample_fmts={self.stream.codec_context.format.name}:sample_rates={self._rate}"
                f":channel_layouts={self._layout}",
            ),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*chain).configure()
        return graph

    def _pulled(self, graph: av.filter.Graph, block: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
        graph.push(block)
        while True:
            try:
                even = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(even, av.AudioFrame)
            yield even
