"""Clips drawn and encoded for tests, and what files hold."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.stream import Disposition

from rt.frame import Rgb

TURNS = {
    0: None,
    90: (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    180: (-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
    270: (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
}
"""Display matrices by the clockwise turn that makes a stored image upright."""


@dataclass(frozen=True)
class Audio:
    """A tone beside a clip."""

    codec: str = "aac"
    seconds: float = 0.4
    start_s: float = 0.0
    language: str | None = None
    rate: int = 44100
    layout: str = "mono"


@dataclass(frozen=True)
class Clip:
    """What `write_clip` writes; every field can be left as it is."""

    size: tuple[int, int] = (48, 64)
    frames: int = 10
    rate: Fraction = Fraction(25)
    unit: Fraction | None = None
    pts: Sequence[int] | None = None
    codec: str = "libx264"
    pixels: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    matrix: Sequence[int] | None = None
    colour: tuple[int, int, int, int] | None = None
    """Matrix, range, primaries and transfer of the images."""
    tagged: bool = True
    """Whether the file says `colour`."""
    aspect: Fraction | None = None
    audio: Sequence[Audio] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: Sequence[tuple[float, float, str]] = ()
    subtitles: Sequence[tuple[float, str]] = ()
    font: bytes | None = None
    cover: bool = False
    container_options: Mapping[str, str] = field(default_factory=dict)
    image: Callable[[int, int, int], Rgb] | None = None
    through: str | None = None
    """One of FFmpeg's filters that every frame passes before it is encoded: `setfield=tff`."""


def drawn(index: int, height: int, width: int) -> Rgb:
    """Return uint8[height, width, 3]: a slanted ramp that moves, its upper left quarter brighter."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([(2 * x + 5 * index) % 256, (3 * y) % 256, (x + y) % 256], axis=-1)
    rgb[: height // 2, : width // 2] = rgb[: height // 2, : width // 2] // 2 + 127
    return rgb.astype(np.uint8)


def write_clip(path: Path, clip: Clip = Clip()) -> Path:
    """Encode a clip; the suffix of `path` chooses the container."""
    with av.open(str(path), "w", container_options=dict(clip.container_options)) as out:
        out.metadata.update(clip.metadata)
        video = _video_stream(out, clip)
        tracks = [(audio, _audio_stream(out, audio)) for audio in clip.audio]
        texts: Any = out.add_mux_stream("subrip", time_base=Fraction(1, 1000)) if clip.subtitles else None
        if clip.font is not None:
            out.add_attachment("drawn.ttf", "application/x-truetype-font", clip.font)
        cover = _cover_stream(out) if clip.cover else None
        if clip.chapters:
            out.set_chapters(_chapters(clip.chapters))
        out.start_encoding()
        if cover is not None:
            out.mux(cover.encode(coded_frame(drawn(0, 32, 32), "yuvj420p", 0, Fraction(1, 25))))
        packets = _video_packets(video, clip)
        for audio, stream in tracks:
            packets += _audio_packets(stream, audio)
        for start_s, text in clip.subtitles:
            packets.append(_text_packet(texts, start_s, text))
        for packet in sorted(packets, key=_seconds):
            out.mux(packet)
    return path


def _video_stream(out: av.container.OutputContainer, clip: Clip) -> Any:
    stream: Any = out.add_stream(clip.codec, rate=clip.rate)
    stream.height, stream.width = clip.size
    stream.pix_fmt = clip.pixels
    unit = clip.unit or 1 / clip.rate
    stream.codec_context.time_base = unit
    stream.time_base = unit
    if clip.codec == "libx264":
        stream.options = {"preset": "ultrafast", "crf": "10"}
    stream.options = {**stream.options, **clip.options}
    if clip.colour is not None and clip.tagged:
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = clip.colour
    if clip.aspect is not None:
        stream.codec_context.sample_aspect_ratio = clip.aspect
    if clip.matrix is not None:
        stream.set_display_matrix(clip.matrix)
    return stream


def _video_packets(stream: Any, clip: Clip) -> list[Any]:
    unit = clip.unit or 1 / clip.rate
    step = round(1 / clip.rate / unit)
    stamps = clip.pts if clip.pts is not None else [index * step for index in range(clip.frames)]
    paint = clip.image or drawn
    packets = []
    for index, pts in enumerate(stamps):
        frame = coded_frame(paint(index, *clip.size), clip.pixels, pts, unit, clip.colour)
        packets += stream.encode(frame if clip.through is None else filtered(frame, clip.through))
    packets += stream.encode(None)
    for packet, following in itertools.pairwise(packets):
        packet.duration = following.dts - packet.dts
    packets[-1].duration = step
    return packets


def filtered(frame: av.VideoFrame, through: str) -> av.VideoFrame:
    """Return a frame behind one of FFmpeg's filters."""
    graph = av.filter.Graph()
    name, _, options = through.partition("=")
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        ),
        graph.add(name, options),
        graph.add("buffersink"),
    ).configure()
    graph.vpush(frame)
    return graph.vpull()


def coded_frame(
    rgb: Rgb, pixels: str, pts: int, unit: Fraction, colour: tuple[int, int, int, int] | None = None
) -> av.VideoFrame:
    """Return an image as the frame that is encoded."""
    image = av.VideoFrame.from_ndarray(rgb, "rgb24")
    if colour is not None:
        image.colorspace = colour[0]
    image = image.reformat(format=pixels, dst_color_range=colour[1] if colour else None)
    image.pts, image.time_base = pts, unit
    return image


def _audio_stream(out: av.container.OutputContainer, audio: Audio) -> Any:
    stream: Any = out.add_stream(audio.codec, rate=audio.rate)
    stream.layout = audio.layout
    if audio.language:
        stream.metadata["language"] = audio.language
    return stream


def _audio_packets(stream: Any, audio: Audio) -> list[Any]:
    count, first = int(audio.rate * audio.seconds), int(audio.rate * audio.start_s)
    tone = (8000 * np.sin(np.arange(count) * 2 * np.pi * 440 / audio.rate)).astype(np.int16)
    channels = stream.layout.nb_channels
    packets = []
    for start in range(0, count, 1024):
        mixed = np.repeat(tone[start : start + 1024], channels)[np.newaxis]
        block = av.AudioFrame.from_ndarray(mixed, "s16", audio.layout)
        block.sample_rate, block.pts, block.time_base = audio.rate, first + start, Fraction(1, audio.rate)
        packets += stream.encode(block)
    return [*packets, *stream.encode(None)]


def _text_packet(stream: Any, start_s: float, text: str) -> Any:
    packet: Any = av.Packet(text.encode())
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(start_s * 1000)
    packet.duration = 200
    return packet


def _cover_stream(out: av.container.OutputContainer) -> Any:
    stream: Any = out.add_stream("mjpeg", rate=25)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuvj420p"
    stream.disposition = Disposition.attached_pic
    return stream


def _chapters(chapters: Iterable[tuple[float, float, str]]) -> list[Any]:
    return [
        {
            "id": number,
            "start": round(start * 1000),
            "end": round(end * 1000),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": title},
        }
        for number, (start, end, title) in enumerate(chapters)
    ]


def _seconds(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


@dataclass(frozen=True)
class Found:
    """A stream as plain PyAV reads it."""

    kind: str
    codec: str
    sha256: str
    """Of all payloads, one after the other."""
    times: list[Fraction]
    """Presentation times of the packets, in seconds."""
    language: str | None
    disposition: int


def side_streams(path: Path) -> list[Found]:
    """Return every stream of a file but its first moving video stream."""
    with av.open(str(path)) as container:
        video = _main_video(container)
        payloads: dict[int, list[Any]] = {stream.index: [] for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                payloads[packet.stream_index].append(packet)
        return [_found(s, payloads[s.index]) for s in container.streams if s is not video]


def _found(stream: Any, packets: list[Any]) -> Found:
    data = stream.data if stream.type == "attachment" else b"".join(bytes(packet) for packet in packets)
    return Found(
        kind=stream.type,
        codec=stream.codec_context.name if stream.codec_context else "",
        sha256=hashlib.sha256(data).hexdigest(),
        times=[packet.pts * Fraction(packet.time_base) for packet in packets if packet.pts is not None],
        language=stream.language,
        disposition=int(stream.disposition),
    )


def _main_video(container: av.container.InputContainer) -> Any:
    return next(s for s in container.streams.video if not s.disposition & Disposition.attached_pic)


@dataclass(frozen=True)
class Seen:
    """A video stream as plain PyAV reads it."""

    times: list[Fraction]
    """Presentation times in seconds."""
    pts: list[int]
    unit: Fraction
    size: tuple[int, int]
    """Stored height and width."""
    pixels: str
    turn: int
    """FFmpeg's rotation, counter-clockwise degrees."""
    colour: tuple[int, int, int, int]
    """Matrix, range, primaries, transfer."""
    aspect: Fraction | None
    rate: Fraction | None
    metadata: dict[str, str]
    chapters: list[tuple[float, float, str]]


def video(path: Path) -> Seen:
    """Decode a file's first moving video stream with plain PyAV."""
    with av.open(str(path)) as container:
        stream = _main_video(container)
        images = list(container.decode(stream))
        first: Any = images[0]
        return Seen(
            times=[image.pts * stream.time_base for image in images if image.pts is not None],
            pts=[image.pts for image in images if image.pts is not None],
            unit=stream.time_base,
            size=(first.height, first.width),
            pixels=first.format.name,
            turn=first.rotation,
            colour=(first.colorspace, first.color_range, first.color_primaries, first.color_trc),
            aspect=stream.sample_aspect_ratio,
            rate=stream.average_rate,
            metadata=dict(container.metadata),
            chapters=[
                (
                    float(c["start"] * (c["time_base"] or 0)),
                    float(c["end"] * (c["time_base"] or 0)),
                    c["metadata"]["title"],
                )
                for c in container.chapters()
            ],
        )


def write_changing_size(path: Path, sizes: Sequence[tuple[int, int]]) -> Path:
    """Write one stream of JPEG images that differ in size."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("mjpeg", rate=25)
        stream.height, stream.width = sizes[0]
        stream.pix_fmt = "yuvj420p"
        out.start_encoding()
        for index, size in enumerate(sizes):
            encoder: Any = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width = size
            encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
            image = coded_frame(drawn(0, *size), "yuvj420p", index, Fraction(1, 25))
            for packet in [*encoder.encode(image), *encoder.encode(None)]:
                packet.stream = stream
                out.mux(packet)
    return path


def cut_short(path: Path, keep: float) -> Path:
    """Cut a file off behind the given part of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def audio_only(path: Path) -> Path:
    """Write a file with a tone and no video."""
    with av.open(str(path), "w") as out:
        stream = _audio_stream(out, Audio())
        out.start_encoding()
        for packet in _audio_packets(stream, Audio()):
            out.mux(packet)
    return path


def header_only(path: Path) -> Path:
    """Write an mp4 whose video stream has no frame."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4", container_options={"movflags": "empty_moov"}) as out:
        _video_stream(out, Clip())
        out.start_encoding()
    path.write_bytes(memory.getvalue())
    return path
