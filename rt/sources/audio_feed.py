"""The audio of one connection of a stream, on its frames' clock."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import av.packet
import numpy as np

from rt.audio import LAYOUTS, RATE, LiveAudio, Samples
from rt.sources.clock import NEAR_S, Steps, StreamClock

_log = logging.getLogger(__name__)

_WAIT_S = 3.0
"""After so long audio waits no more for frames of its time."""
_KEPT_S = 10.0
"""Audio that waits, at most."""


@dataclass(frozen=True)
class _Block:
    epoch: int
    start_s: float
    """On the stream's clock."""
    arrived_s: float
    samples: Samples

    @property
    def length_s(self) -> float:
        return float(self.samples.shape[1] / RATE)


class AudioQueue:
    """Audio of one connection, which waits until the frames have come as far.

    Not before is it known where audio of that time belongs: the stream may have stalled, or its clock jumped.

    Args:
        audio: where it goes.
        clock: of the frames.
        epoch: of the clock, the connection's first one.
    """

    def __init__(self, audio: LiveAudio, clock: StreamClock, epoch: int) -> None:
        self._audio = audio
        self._clock = clock
        self._epoch = epoch
        self._steps = Steps()
        self._waiting: deque[_Block] = deque()
        self._said = False

    def put(self, start_s: float, samples: Samples, now_s: float) -> None:
        """Take a block, with its time on the stream's clock, that came at `now_s`."""
        if self._steps.jumped(start_s, now_s):
            self._epoch += 1
        self._waiting.append(_Block(self._epoch, start_s, now_s, samples))
        while now_s - self._waiting[0].arrived_s > _KEPT_S:
            self._waiting.popleft()

    def release(self, now_s: float) -> None:
        """Hand on what frames have come as far as."""
        clock = self._clock
        while self._waiting:
            block = self._waiting[0]
            passed = block.epoch == clock.epoch and block.start_s + block.length_s <= clock.stream_s
            if not (passed or block.epoch < clock.epoch or now_s - block.arrived_s > _WAIT_S):
                return
            self._hand_on(self._waiting.popleft(), now_s)

    def end(self) -> None:
        """Hand on what still waits: the connection is over."""
        while self._waiting:
            block = self._waiting.popleft()
            self._hand_on(block, block.arrived_s)

    def _hand_on(self, block: _Block, now_s: float) -> None:
        """Put a block where it belongs; leave it out where its clock and that of the frames have parted."""
        clock = self._clock
        near = abs(block.start_s - clock.stream_s) < NEAR_S
        epoch = block.epoch
        if epoch != clock.epoch and near and now_s - clock.epoch_began_s > _WAIT_S:
            self._epoch += clock.epoch - epoch  # one of the two saw a jump that was none to the other
            epoch = clock.epoch
        start_s = clock.place(epoch, block.start_s)
        if start_s is not None and abs(start_s - clock.shown_s) < NEAR_S + _WAIT_S:
            self._audio.put(start_s, block.samples)
        elif not self._said:
            self._said = True
            _log.warning("audio: its clock is not that of the frames; it is left out until both agree")


class AudioFeed:
    """Decodes the audio packets of one connection and queues what they hold.

    Args:
        stream: the audio.
        audio: where it goes.
        queue: what it waits in.
    """

    def __init__(self, stream: av.AudioStream, audio: LiveAudio, queue: AudioQueue) -> None:
        self.index = stream.index
        """Of the stream whose packets it takes."""
        self._stream = stream
        self._audio = audio
        self._queue = queue
        self.release, self.end = queue.release, queue.end
        self._resampler: av.AudioResampler | None = None
        self._form: tuple[int, str, str] | None = None
        self._next_s: float | None = None

    def push(self, packet: av.packet.Packet[Any], now_s: float) -> None:
        """Take a packet that came at `now_s`; damaged ones are left out."""
        if not self._audio.wanted:
            return
        try:
            decoded = self._stream.decode(packet)
        except av.error.FFmpegError as error:
            _log.debug("audio packet: %s", error)
            return
        for frame in decoded:
            for start_s, samples in self._resampled(frame):
                self._queue.put(start_s, samples, now_s)

    def _resampled(self, frame: av.AudioFrame) -> Iterator[tuple[float, Samples]]:
        """Yield what a frame gives at the rate of live audio, with its time on the stream's clock."""
        if frame.pts is not None and frame.time_base is not None:
            start_s = float(frame.pts * frame.time_base)
        elif self._next_s is not None:
            start_s = self._next_s
        else:
            return
        self._next_s = start_s + frame.samples / frame.sample_rate
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(start_s * frame.sample_rate)
        form = (frame.sample_rate, frame.format.name, frame.layout.name)
        if self._resampler is None or form != self._form:
            self._form = form
            self._resampler = av.AudioResampler("fltp", LAYOUTS[self._audio.channels], RATE)
        for even in self._resampler.resample(frame):
            assert even.pts is not None
            samples = np.asarray(even.to_ndarray(), np.float32)  # [C, N]
            assert samples.shape == (self._audio.channels, even.samples)
            yield even.pts / RATE, samples


class AudioSide:
    """The audio of a stream over all its connections, and the clock that it shares with the frames."""

    def __init__(self) -> None:
        self.audio: LiveAudio | None = None
        """Where it goes; None where the first connection had none, or before it."""
        self.clock = StreamClock()
        self._opened = False

    def open(self, container: av.container.InputContainer) -> AudioFeed | None:
        """Return what takes the audio of a new connection; None where it has none."""
        epoch = self.clock.restart()
        stream = next((found for found in container.streams.audio if found.codec_context is not None), None)
        if not self._opened and stream is not None:
            self.audio = _row_for(stream)
        self._opened = True
        if stream is None or self.audio is None:
            return None
        return AudioFeed(stream, self.audio, AudioQueue(self.audio, self.clock, epoch))


def _row_for(stream: av.AudioStream) -> LiveAudio:
    """Return the row for the audio of a stream: mono stays mono, more than two channels become two."""
    context = stream.codec_context
    channels = context.layout.nb_channels
    layout = context.layout.name if channels else "unknown layout"
    mixed = ", mixed to stereo" if channels > 2 else ""
    return LiveAudio(1 if channels == 1 else 2, f"{context.name} {context.sample_rate} Hz {layout}{mixed}")
