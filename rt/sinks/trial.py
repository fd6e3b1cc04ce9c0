"""What a container can hold, tried in memory: header, packet and trailer."""

from __future__ import annotations

import io
import wave
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.bitstream
import av.container
import av.error
import av.packet
import av.stream
from av.stream import Disposition

from rt.media import STILL_CODECS, TOLERANT, copied, local_name

_FAILURES = (av.error.FFmpegError, ValueError)
_MAX_PACKETS = 500
_MAX_BYTES = 16_000_000
"""Within these the first packet of each stream is looked for; subtitles may begin an hour later."""
_KEPT = 4
"""Packets of each stream that are kept; the very first of a recording may be damaged."""


class Samples:
    """The source's file opened a second time: first packets of its streams, and decoders for them."""

    def __init__(self, path: Path, streams: tuple[av.stream.Stream, ...]) -> None:
        """Read up to the first packet of each of `streams`, and to the second of each that may be a cover."""
        self._early: dict[int, list[av.packet.Packet[Any]]] = {stream.index: [] for stream in streams}
        wanted = {stream.index: _awaited(stream) for stream in streams if stream.type != "attachment"}
        try:
            self._container: av.container.InputContainer | None = av.open(
                local_name(path), container_options={"protocol_whitelist": "file"}, **TOLERANT
            )
            self._read(wanted)
        except _FAILURES:  # the source can be read all the same, if only once: then nothing is tried with
            self._container = None

    def first(self, stream: av.stream.Stream) -> av.packet.Packet[Any] | None:
        """Return the first packet of a stream, where it comes early."""
        return next(iter(self._early[stream.index]), None)

    def is_cover(self, stream: av.stream.Stream) -> bool:
        """Tell whether a video stream is a cover image: marked as one, or a single image."""
        if stream.type != "video" or stream.codec_context is None:
            return False
        if stream.disposition & Disposition.attached_pic:
            return True
        alone = stream.frames == 1 or (not stream.frames and len(self._early[stream.index]) == 1)
        return stream.codec_context.name in STILL_CODECS and alone

    def decoder(self, stream: av.stream.Stream) -> av.AudioCodecContext | None:
        """Return a decoder for an audio stream, used by nobody else; None where none decodes it."""
        if self._container is None:
            return None
        context = self._container.streams[stream.index].codec_context
        if not isinstance(context, av.AudioCodecContext) or not context.sample_rate:
            return None
        decodes = not self._early[stream.index]  # where nothing comes early, nothing speaks against it
        for packet in self._early[stream.index]:
            with suppress(*_FAILURES):
                context.decode(copied(packet))
                decodes = True
        context.flush_buffers()
        return context if decodes else None

    def close(self) -> None:
        """Close the file and with it the decoders; works twice."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _read(self, wanted: dict[int, int]) -> None:
        assert self._container is not None
        size_bytes = 0
        for number, packet in enumerate(self._container.demux()):
            early = self._early.get(packet.stream_index, [])
            if packet.size and len(early) < _KEPT:
                early.append(packet)
            size_bytes += packet.size
            short = any(len(self._early[index]) < count for index, count in wanted.items())
            if not short or number >= _MAX_PACKETS or size_bytes >= _MAX_BYTES:
                return


def _awaited(stream: av.stream.Stream) -> int:
    """Return how many packets of a stream tell enough: the second one of a video says that it is no cover."""
    return 2 if stream.type == "video" and not stream.disposition & Disposition.attached_pic else 1


def holds(
    container_format: str, stream: av.stream.Stream, packet: av.packet.Packet[Any] | None = None
) -> bool:
    """Tell whether a container can hold a stream: a file is written and read again.

    A header alone proves nothing: MP4 and QuickTime describe their streams at the end, and refuse some there,
    behind the last frame. `packet` is the stream's first one, where it is known.
    """
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=container_format) as trial:
            copy = add_copy(trial, stream)
            trial.start_encoding()
            if packet is not None:
                sample = copied(packet)
                sample.stream, sample.pts, sample.dts, sample.is_keyframe = copy, 0, 0, True
                trial.mux_one(sample)
        if stream.type != "audio" or packet is None:
            return True
        memory.seek(0)
        with av.open(memory) as written:
            return [found.codec_context is not None for found in written.streams] == [True]
    except _FAILURES:
        return False


def holds_timecode(container_format: str, frame_rate: Fraction, text: str) -> bool:
    """Tell whether a container keeps a timecode beside video of this rate.

    QuickTime counts at most 255 frames a second and refuses more at the end of the file; a timecode that
    drops frames fits few rates and is lost with others.
    """
    if container_format not in ("mp4", "mov"):
        return True  # it is text there
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=container_format) as trial:
            video: Any = trial.add_mux_stream("mjpeg", rate=frame_rate, width=16, height=16)
            video.time_base, video.metadata["timecode"] = 1 / frame_rate, text
            trial.start_encoding()
            packet: Any = av.Packet(bytes(16))
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = video, 0, 0, True
            trial.mux_one(packet)
        memory.seek(0)
        with av.open(memory) as written:
            return bool(written.streams.video[0].metadata.get("timecode") == text)
    except _FAILURES:
        return False


def add_copy(container: av.container.OutputContainer, template: av.stream.Stream) -> av.stream.Stream:
    """Add a stream like `template` to a container whose header is not written yet.

    PyAV asks a list which codecs Matroska holds; in it those are missing that go there as they go into WAV
    (WMA, ADPCM, G.726, GSM, ...). Their description is brought in by a filter that changes nothing.

    Raises:
        av.error.FFmpegError, ValueError: the container cannot hold it.
    """
    try:
        return container.add_stream_from_template(template, opaque=True)
    except ValueError:
        if container.format.name != "matroska" or not isinstance(template, av.AudioStream):
            raise
    with av.open(_silence()) as plain:
        stream: av.AudioStream = container.add_stream_from_template(plain.streams.audio[0], opaque=True)
    av.bitstream.BitStreamFilterContext("null", template, stream)
    stream.codec_context.codec_tag = "\0\0\0\0"  # Matroska's own instead of the old container's
    stream.time_base = template.time_base
    return stream


def _silence() -> io.BytesIO:
    """Return a WAV file, which any container of audio can describe."""
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(256))
    memory.seek(0)
    return memory
