"""High dynamic range: what a video says of its display and brightness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from rt.captions import side_data_kinds

TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer curves of high dynamic range, in the codes of ISO/IEC 23091-2."""
_MASTERING, _LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"
_DYNAMIC = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_METADATA": "Dolby Vision",
    "DOVI_RPU_BUFFER": "Dolby Vision",
}
_NUMBERS = 20
"""Of FFmpeg's AVMasteringDisplayMetadata: ten fractions, then two marks."""
_CHROMATICITY, _LUMINANCE = 50_000, 10_000
"""Units of SMPTE ST 2086, as H.264 and HEVC write them: 1/50000, 1/10000 cd/m2."""
_BRIGHTEST = 10_000
"""cd/m2 at the end of PQ."""
_SAID = {"mastering": "mastering display", "light": "content light level"}


@dataclass(frozen=True)
class Hdr:
    """What stands beside the first frame of a video; all of it static but the names in `dynamic`."""

    mastering: tuple[Fraction, ...] | None = None
    """x and y of red, green, blue and white, then the least and the greatest luminance in cd/m2."""
    light: tuple[int, int] | None = None
    """Greatest luminance of a pixel and of a frame's mean (MaxCLL, MaxFALL) in cd/m2."""
    dynamic: tuple[str, ...] = ()
    """Names of what changes from frame to frame, which no encoder here writes."""

    @classmethod
    def beside(cls, frame: av.VideoFrame) -> Hdr | None:
        """Read what stands beside a decoded frame; None where there is nothing."""
        kinds = side_data_kinds(frame)
        mastering = _mastering(_bytes_of(frame, kinds, _MASTERING))
        light = _light(_bytes_of(frame, kinds, _LIGHT))
        dynamic = tuple(dict.fromkeys(_DYNAMIC[kind] for kind in kinds if kind in _DYNAMIC))
        return cls(mastering, light, dynamic) if mastering or light or dynamic else None

    def lost(self, encoder: str, transfer: int) -> str:
        """Return in words what is left out where `encoder` writes frames of this transfer; "" for nothing."""
        kept = self.options(encoder, transfer)
        static = [said for name, said in _SAID.items() if getattr(self, name) is not None and not kept]
        return ", ".join((*static, *self.dynamic))

    def options(self, encoder: str, transfer: int) -> dict[str, str]:
        """Return what FFmpeg's `encoder` must be told to write this.

        Nothing where the frames are not of high dynamic range: then it would not be true of them.
        """
        if transfer not in TRANSFERS or encoder not in _WRITERS or not (self.mastering or self.light):
            return {}
        name, (mastering_key, light_key), scales = _WRITERS[encoder]
        words = []
        if self.mastering is not None:
            words.append(f"{mastering_key}={_display(self.mastering, *scales)}")
        if self.light is not None:
            words.append(f"{light_key}={self.light[0]},{self.light[1]}")
        return {name: ":".join(words)}


_WRITERS: Mapping[str, tuple[str, tuple[str, str], tuple[int, int]]] = {
    "libx264": ("x264-params", ("mastering-display", "cll"), (_CHROMATICITY, _LUMINANCE)),
    "libx265": ("x265-params", ("master-display", "max-cll"), (_CHROMATICITY, _LUMINANCE)),
    "libsvtav1": ("svtav1-params", ("mastering-display", "content-light"), (1, 1)),
}
"""Encoder → the option that takes its own words, those words, and the units of chromaticity and luminance."""


def merged(options: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return options of an encoder with more of them; lists of its own words are joined."""
    both = dict(options)
    for name, words in more.items():
        both[name] = f"{both[name]}:{words}" if name in both else words
    return both


def _display(mastering: tuple[Fraction, ...], chromaticity: int, luminance: int) -> str:
    points = [_written(value, chromaticity) for value in mastering[:8]]
    red, green, blue, white = (f"({x},{y})" for x, y in zip(points[::2], points[1::2], strict=True))
    darkest, brightest = (_written(value, luminance) for value in mastering[8:])
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"


def _written(value: Fraction, unit: int) -> str:
    return f"{float(value):.5f}" if unit == 1 else str(round(value * unit))


def _bytes_of(frame: av.VideoFrame, kinds: list[str], kind: str) -> bytes:
    if kind not in kinds:  # PyAV 17.1 raises where a frame has a kind that it has no name for
        return b""
    kept: Any = frame.side_data
    return bytes(kept[kinds.index(kind)])


def _mastering(data: bytes) -> tuple[Fraction, ...] | None:
    if len(data) < 4 * (_NUMBERS + 2):
        return None
    numbers = [int(number) for number in np.frombuffer(data, np.int32, _NUMBERS + 2)]
    pairs = zip(numbers[:_NUMBERS:2], numbers[1:_NUMBERS:2], strict=True)
    values = tuple(Fraction(top, bottom) if bottom else Fraction(-1) for top, bottom in pairs)
    known = numbers[_NUMBERS] and numbers[_NUMBERS + 1]
    return values if known and _is_possible(values) else None


def _is_possible(mastering: tuple[Fraction, ...]) -> bool:
    """Tell whether this can be a display: encoders refuse what their fields cannot hold."""
    darkest, brightest = mastering[8:]
    return all(0 <= value <= 1 for value in mastering[:8]) and 0 <= darkest < brightest <= _BRIGHTEST


def _light(data: bytes) -> tuple[int, int] | None:
    if len(data) < 8:
        return None
    greatest, mean = (int(number) for number in np.frombuffer(data, np.uint32, 2))
    return (greatest, mean) if 0 < max(greatest, mean) < 1 << 16 else None
