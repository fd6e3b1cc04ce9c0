"""H.264 with CEA-608 captions, as recordings of American TV have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from rt.captions import has_captions
from tests.support.media import coded_frame, drawn, filtered

TEXT = [(0x94, 0x20), (0x94, 0x20), (0xC8, 0xE5), (0xEC, 0xEC), (0xEF, 0x80), (0x94, 0x2F), (0x94, 0x2F)]
"""Load a caption, "Hello", show it: control codes stand twice."""
_UNIT = Fraction(1, 25)


def write_captioned(path: Path, pairs: Sequence[tuple[int, int]] = TEXT, interlaced: bool = False) -> Path:
    """Write a frame for each pair of caption bytes."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_mux_stream("h264", width=128, height=96, time_base=_UNIT)
        for packet, pair in zip(_encoded(len(pairs), interlaced), pairs, strict=True):
            made: Any = av.Packet(_with_caption(bytes(packet), pair))
            made.stream, made.time_base = stream, _UNIT
            made.pts, made.dts, made.duration = packet.pts, packet.dts, 1
            made.is_keyframe = packet.is_keyframe
            out.mux(made)
    return path


def captions_of(path: Path) -> list[bytes | None]:
    """Return the captions of every frame as plain PyAV reads them; None where there are none."""
    with av.open(str(path)) as container:
        frames: list[Any] = list(container.decode(video=0))
    return [bytes(frame.side_data["A53_CC"]) if has_captions(frame) else None for frame in frames]


def _encoded(count: int, interlaced: bool) -> list[Any]:
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt = 96, 128, "yuv420p"
    encoder.time_base, encoder.framerate = _UNIT, Fraction(25)
    encoder.options = {"preset": "ultrafast", "bf": "0", "g": "3", "threads": "1"}
    if interlaced:
        encoder.options = {**encoder.options, "flags": "+ilme+ildct"}
    packets = []
    for index in range(count):
        frame = coded_frame(drawn(index, 96, 128), "yuv420p", index, _UNIT)
        packets += encoder.encode(filtered(frame, "setfield=tff") if interlaced else frame)
    return [*packets, *encoder.encode(None)]


def _with_caption(coded: bytes, pair: tuple[int, int]) -> bytes:
    """Put a caption before the first slice of a coded frame. Source: ATSC A/53 part 4, 6.2.3."""
    data = b"\xb5\x00\x31GA94\x03\x42\xff" + bytes((0xFC, *pair)) + bytes((0xFD, 0x80, 0x80)) + b"\xff"
    unit = b"\x00\x00\x00\x01\x06\x04" + bytes((len(data),)) + data + b"\x80"
    slice_at = re.search(rb"\x00\x00\x01[\x01\x21\x41\x61\x05\x25\x45\x65]", coded)
    assert slice_at is not None
    at = slice_at.start() - (coded[slice_at.start() - 1 : slice_at.start()] == b"\x00")
    return coded[:at] + unit + coded[at:]
