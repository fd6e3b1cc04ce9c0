"""What codes the video: the user's words, translated for FFmpeg and tried."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
import av.error

from rt.errors import SinkError, nearest
from rt.media import reason
from rt.scheduling import scheduling_kept
from rt.sinks.base import SinkOptions
from rt.text import width_x_height

SOFTWARE = {"h264": "x264", "hevc": "x265", "av1": "svtav1"}
"""Codec → what codes it on any machine."""
CODECS = {"h264": "H.264", "hevc": "HEVC", "av1": "AV1"}
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_BITS_A_PIXEL = 0.1
"""For encoders that know no quality, only a rate."""


@dataclass(frozen=True)
class Kind:
    """A family of encoders, as far as the user's words concern it."""

    names: Mapping[str, str]
    """Codec → FFmpeg's name."""
    scale: tuple[int, int] | None = None
    """Least and greatest quality, lower is better; None: it knows none."""
    quality: str = "crf"
    """FFmpeg's option for it."""
    usual: Mapping[str, int] = field(default_factory=dict)
    """Codec → the quality taken where the user asks for none."""
    presets: tuple[str, ...] = ()
    preset: str = ""
    """The one taken where the user asks for none."""
    pixels: str = "yuv420p"
    odd_pixels: str | None = None
    """Pixel format for sizes that are not even; None: it cannot code them."""
    options: Mapping[str, str] = field(default_factory=dict)
    live_options: Mapping[str, str] = field(default_factory=dict)
    """What makes it give each frame at once."""


KINDS: Mapping[str, Kind] = {
    "x264": Kind(
        {"h264": "libx264"},
        scale=(0, 51),
        usual={"h264": 19},
        presets=(*_PRESETS, "placebo"),
        preset="veryfast",
        odd_pixels="yuv444p",
        live_options={"tune": "zerolatency"},
    ),
    "x265": Kind(
        {"hevc": "libx265"},
        scale=(0, 51),
        usual={"hevc": 22},
        presets=(*_PRESETS, "placebo"),
        preset="veryfast",
        odd_pixels="yuv444p",
        options={"x265-params": "log-level=none"},
        live_options={"tune": "zerolatency"},
    ),
    "svtav1": Kind(
        {"av1": "libsvtav1"},
        scale=(1, 63),
        usual={"av1": 28},
        presets=tuple(str(number) for number in range(14)),
        preset="10",
        odd_pixels="yuv420p",
        live_options={"svtav1-params": "pred-struct=1"},
    ),
    "nvenc": Kind(
        {"h264": "h264_nvenc", "hevc": "hevc_nvenc", "av1": "av1_nvenc"},
        scale=(1, 51),
        quality="cq",
        usual={"h264": 21, "hevc": 24, "av1": 30},
        presets=tuple(f"p{number}" for number in range(1, 8)),
        preset="p4",
        odd_pixels="yuv444p",
        options={"rc": "vbr", "b": "0"},
        live_options={"tune": "ull", "zerolatency": "1", "delay": "0"},
    ),
    "qsv": Kind(
        {"h264": "h264_qsv", "hevc": "hevc_qsv", "av1": "av1_qsv"},
        scale=(1, 51),
        quality="global_quality",
        usual={"h264": 21, "hevc": 24, "av1": 30},
        presets=_PRESETS[2:],
        preset="veryfast",
        pixels="nv12",
        live_options={"async_depth": "1"},
    ),
    "v4l2m2m": Kind({"h264": "h264_v4l2m2m", "hevc": "hevc_v4l2m2m"}),
}
"""The user's word → what it means."""


@dataclass(frozen=True)
class Encoder:
    """One encoder, ready to be opened."""

    codec: str
    name: str
    """FFmpeg's name."""
    options: Mapping[str, str]
    pixels: str
    said: str
    """What it is, in words."""
    why: str
    """Why it was taken, in words."""
    word: str
    """The user's word for it."""


def choose_encoder(
    options: SinkOptions, size: tuple[int, int], frame_rate: Fraction, *, live: bool = False
) -> Encoder:
    """Return what codes frames of `size` = (height, width) as the user asks.

    `auto` takes NVENC where it codes a frame of that size, else the software encoder of the codec. `live`
    takes each frame out of the encoder at once.

    Raises:
        SinkError: the user's words do not fit together, or what was named does not work here.
    """
    if options.codec not in CODECS:
        raise SinkError(
            f"there is no codec {options.codec}{nearest(options.codec, CODECS)}; known: {', '.join(CODECS)}"
        )
    if options.encoder != "auto":
        encoder = _described(options.encoder, options, size, frame_rate, live, "as asked")
        if fault := _fault(encoder, size):
            raise SinkError(
                f"--encoder {options.encoder} does not work here for frames of {width_x_height(size)}: "
                f"{fault}; leave it out, or see: videobrush doctor"
            )
        return encoder
    return _automatic(options, size, frame_rate, live)


def _automatic(options: SinkOptions, size: tuple[int, int], frame_rate: Fraction, live: bool) -> Encoder:
    """Take NVENC where it works and knows what was asked for, else software."""
    software = SOFTWARE[options.codec]
    try:
        encoder = _described("nvenc", options, size, frame_rate, live, "auto: a frame was coded with NVENC")
        fault = _fault(encoder, size)
        if fault is None:
            return encoder
        why = f"auto: NVENC does not work here, {fault}"
    except SinkError as error:
        why = f"auto: {error}"
    encoder = _described(software, options, size, frame_rate, live, why)
    if software != "x264" and (fault := _fault(encoder, size)):  # x264 takes any size, and opens in no time
        raise SinkError(
            f"{software} cannot code frames of {width_x_height(size)} as {CODECS[options.codec]} ({fault}); "
            "type --codec h264"
        )
    return encoder


def _described(
    word: str, options: SinkOptions, size: tuple[int, int], frame_rate: Fraction, live: bool, why: str
) -> Encoder:
    """Translate the user's words for one family of encoders.

    Raises:
        SinkError: it does not know one of them, or cannot hold the size.
    """
    kind = KINDS.get(word)
    if kind is None:
        known = ", ".join(("auto", *KINDS))
        raise SinkError(f"there is no encoder {word}{nearest(word, ('auto', *KINDS))}; known: {known}")
    if options.codec not in kind.names:
        codec = next(iter(kind.names))
        raise SinkError(
            f"{word} does not code {CODECS[options.codec]}; type --encoder {SOFTWARE[options.codec]}, "
            f"or --codec {codec}"
        )
    even = size[0] % 2 == 0 and size[1] % 2 == 0
    pixels = kind.pixels if even else kind.odd_pixels
    if pixels is None:
        raise SinkError(
            f"{word} cannot code {width_x_height(size)}, an odd size; "
            f"type --encoder {SOFTWARE[options.codec]}"
        )
    quality, preset = _quality(word, kind, options), _preset(word, kind, options)
    words = [f"{kind.quality} {quality}"] if quality is not None else []
    words += [f"preset {preset}"] if preset else []
    found = {**kind.options, **({kind.quality: str(quality)} if quality is not None else {})}
    found |= {"preset": preset} if preset else {}
    found |= kind.live_options if live else {}
    found |= {"threads": str(options.threads)} if options.threads else {}
    if kind.scale is None:
        found["b"] = str(round(size[0] * size[1] * frame_rate * _BITS_A_PIXEL))
        words.append(f"{int(found['b']) / 1e6:.1f} Mbit/s")
    said = f"{CODECS[options.codec]} by {', '.join((word, *words))}"
    return Encoder(options.codec, kind.names[options.codec], found, pixels, said, why, word)


def _quality(word: str, kind: Kind, options: SinkOptions) -> int | None:
    if options.crf is None:
        return kind.usual.get(options.codec)
    if kind.scale is None:
        raise SinkError(f"{word} knows no --crf, it works at a fixed rate; leave it out")
    least, greatest = kind.scale
    if not least <= options.crf <= greatest:
        raise SinkError(f"--crf is {options.crf}, not within {least}..{greatest}, the scale of {word}")
    return options.crf


def _preset(word: str, kind: Kind, options: SinkOptions) -> str:
    if options.preset is None:
        return kind.preset
    if not kind.presets:
        raise SinkError(f"{word} knows no --preset; leave it out")
    if options.preset not in kind.presets:
        known = ", ".join(kind.presets)
        raise SinkError(
            f"{word} has no preset {options.preset}{nearest(options.preset, kind.presets)}; known: {known}"
        )
    return options.preset


def _fault(encoder: Encoder, size: tuple[int, int]) -> str | None:
    """Return why an encoder does not work for a size, None where it does."""
    return _tried(encoder.name, size, encoder.pixels, tuple(encoder.options.items()))


@functools.lru_cache(maxsize=64)  # a recording that is begun by key must not wait for a second trial
def _tried(name: str, size: tuple[int, int], pixels: str, options: tuple[tuple[str, str], ...]) -> str | None:
    return probe_encoder(name, size, pixels, dict(options))


X265_LEAST_WIDTH_PX = 56
"""Of narrower frames x265 4.1 writes past its memory: found with glibc's checking malloc."""


def probe_encoder(
    name: str,
    size: tuple[int, int] = (256, 256),
    pixels: str = "yuv420p",
    options: Mapping[str, str] | None = None,
) -> str | None:
    """Encode one frame with the FFmpeg encoder `name`; None where it works, else the reason in words."""
    if name == "libx265" and size[1] < X265_LEAST_WIDTH_PX:
        return f"it needs a width of {X265_LEAST_WIDTH_PX} px"
    # These two print to stderr by themselves, past FFmpeg's log.
    os.environ.setdefault("SVT_LOG", "0")
    quiet = {"x265-params": "log-level=none"} if name == "libx265" else {}
    try:
        context = av.CodecContext.create(name, "w")
        context.options = {**quiet, **(options or {})}
        if not isinstance(context, av.VideoCodecContext):
            return "it is not a video encoder"
        context.height, context.width = size
        context.pix_fmt = pixels
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        image = av.VideoFrame(size[1], size[0], pixels)
        for plane in image.planes:
            plane.update(bytes(plane.buffer_size))
        image.pts, image.time_base = 0, Fraction(1, 25)
        with scheduling_kept():
            size_bytes = sum(packet.size for packet in [*context.encode(image), *context.encode(None)])
    except PermissionError as error:  # what FFmpeg says where a driver's library is missing
        return "its driver cannot be loaded" if "nvenc" in name else reason(error)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        return reason(error)
    return None if size_bytes else "it gave no data"


def encoder_names() -> Iterator[str]:
    """Yield FFmpeg's names of all encoders that can be asked for."""
    for kind in KINDS.values():
        yield from kind.names.values()
