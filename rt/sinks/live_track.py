"""The audio stream of a recording or a stream out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.container
import av.error
import numpy as np

from rt.audio import LAYOUTS, RATE, Samples
from rt.sinks.audio import BITS_A_CHANNEL, ENCODERS


class LiveTrack:
    """Encodes one unbroken row of samples, the first at zero, into a stream of a container and muxes it.

    Args:
        container: its header is not written yet.
        channels: 1 or 2.
        codec: `aac` or `opus`.
    """

    def __init__(self, container: av.container.OutputContainer, channels: int, codec: str) -> None:
        self._container = container
        self._layout = LAYOUTS[channels]
        self._count = 0
        stream: Any = container.add_stream(ENCODERS[codec], rate=RATE)
        stream.layout = self._layout
        stream.bit_rate = BITS_A_CHANNEL[codec] * channels
        stream.time_base = Fraction(1, RATE)
        self._stream: av.AudioStream = stream

    def write(self, samples: Samples) -> None:
        """Append float32[C, N]."""
        count = samples.shape[1]
        if not count:
            return
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", self._layout)
        block.sample_rate, block.time_base, block.pts = RATE, Fraction(1, RATE), self._count
        self._count += count
        self._mux(block)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._mux(None)

    def _mux(self, block: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(block):
            self._container.mux_one(packet)
