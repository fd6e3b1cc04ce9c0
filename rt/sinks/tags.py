"""Metadata of a source that stays true in another file."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

TIMECODE = "timecode"
_TIMECODE = re.compile(r"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?P<before>[:;.])(?P<f>\d\d\d?)")

_QUICKTIME_LANGUAGES = {
    "deu": "ger",
    "nld": "dut",
    "ell": "gre",
    "isl": "ice",
    "zho": "chi",
    "sqi": "alb",
    "fre": "fra",
    "rum": "ron",
    "cze": "ces",
    "slo": "slk",
}
"""Languages with two codes → the one of them that the QuickTime muxer knows."""
_OF_THE_OLD_FILE = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate", "vendor_id"}
)
"""Metadata that describes the file it stood in, not its content."""
_STATISTICS = ("bps", "number_of_", "_statistics", "duration-")
_MP4_TAGS = frozenset(
    {
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright"),
        *("lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "track", "disc"),
        *(
            "grouping",
            "compilation",
            "media_type",
            "hd_video",
            "gapless_playback",
            "creation_time",
            "location",
        ),
        *("location-eng", "make", "model", "timecode", "language"),
    }
)
"""What mp4 has fields for; other names are kept in the list of free ones."""


def kept_tags(metadata: dict[str, str] | Any) -> dict[str, str]:
    """Return the metadata that describes the content of a file, not the file."""
    return {
        name: value
        for name, value in metadata.items()
        if name.lower() not in _OF_THE_OLD_FILE and not name.lower().startswith(_STATISTICS)
    }


def timecode(metadata: dict[str, str]) -> str | None:
    """Return the timecode of the first frame; Matroska writes the name in capitals."""
    return next((text for name, text in metadata.items() if name.lower() == TIMECODE), None)


def advanced(text: str, frames: int, frame_rate: Fraction) -> str:
    """Return the timecode so many frames later; one that cannot be read as it is.

    Behind `;` or `.` frames are counted, where a minute begins, from 2 at 30 frames/s and from 4 at 60, but
    every tenth minute: no frame is dropped, its number is. Source: SMPTE ST 12-1.
    """
    found = _TIMECODE.fullmatch(text)
    nominal = round(frame_rate)
    if found is None or nominal < 1:
        return text
    hours, minutes, seconds, frame = (int(found[name]) for name in ("h", "m", "s", "f"))
    drops = 2 * nominal // 30 if found["before"] in ";." and nominal % 30 == 0 else 0
    minute, ten_minutes = 60 * nominal - drops, 600 * nominal - 9 * drops
    passed = 60 * hours + minutes
    number = (60 * passed + seconds) * nominal + frame - drops * (passed - passed // 10) + frames
    tens, rest = divmod(number % (6 * 24 * ten_minutes), ten_minutes)
    number = 600 * nominal * tens + rest + (drops * ((rest - drops) // minute) if rest >= drops else 0)
    seconds, frame = divmod(number, nominal)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}{found['before']}{frame:02d}"


def needs_free_tags(metadata: dict[str, str]) -> bool:
    """Tell whether MP4 has no field of its own for some of the metadata that is kept."""
    return bool(set(kept_tags(metadata)) - _MP4_TAGS)


def quicktime_language(code: str) -> str:
    """Return the code of a language that the QuickTime muxer knows."""
    return _QUICKTIME_LANGUAGES.get(code, code)
