"""Timecodes that move with the part of a file that is taken."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt.sinks.tags import advanced
from rt.sources.base import SourceOptions
from tests.support.copying import copy
from tests.support.media import Clip, write_clip

NTSC, DOUBLE = Fraction(30000, 1001), Fraction(60000, 1001)
RATES = [Fraction(24), Fraction(25), Fraction(24000, 1001), NTSC, Fraction(50), DOUBLE, Fraction(120)]


def counted(nominal: int, drops: int, minutes: int) -> Iterator[str]:
    """Count the frames of some minutes from midnight as SMPTE ST 12-1 puts it: the plain loop."""
    for minute in range(minutes):
        for second in range(60):
            for frame in range(nominal):
                if not (second == 0 and minute % 10 and frame < drops):
                    mark = ";" if drops else ":"
                    yield f"{minute // 60:02d}:{minute % 60:02d}:{second:02d}{mark}{frame:02d}"


@pytest.mark.parametrize(("rate", "drops"), [(NTSC, 2), (DOUBLE, 4), (NTSC, 0), (Fraction(25), 0)])
def test_every_frame_of_an_hour_has_the_label_that_counting_gives(rate: Fraction, drops: int) -> None:
    labels = list(counted(round(rate), drops, 62))
    if drops:
        assert labels.index("01:00:00;00") == 107892 * drops // 2
    for number in range(0, len(labels), 7):
        assert advanced(labels[0], number, rate) == labels[number]
    middle = 1799 * drops // 2 or 1500  # around the first minute's border
    for number in range(middle - 3, middle + 4):
        for more in (0, 1, 2, 3, 17982, 17983, 53946):
            assert advanced(labels[number], more, rate) == labels[number + more]


@given(st.sampled_from(RATES), st.sampled_from(":;."), st.integers(0, 5_000_000), st.integers(0, 5_000_000))
def test_two_steps_are_one(rate: Fraction, mark: str, first: int, second: int) -> None:
    begin = f"10:20:00{mark}{'08' if mark != ':' else '01'}"
    once = advanced(advanced(begin, first, rate), second, rate)
    assert once == advanced(begin, first + second, rate)


def test_a_day_ends_at_midnight() -> None:
    assert advanced("23:59:59:24", 1, Fraction(25)) == "00:00:00:00"
    assert advanced("23:59:59;29", 1, NTSC) == "00:00:00;00"
    assert advanced("00:00:00;00", 2589408, NTSC) == "00:00:00;00"
    assert advanced("not one", 5, Fraction(25)) == "not one"


@pytest.mark.parametrize("read", [".mov", ".mkv"])
@pytest.mark.parametrize("target", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("rate", "text", "start_s", "right"),
    [
        (Fraction(25), "01:02:03:04", 0.0, "01:02:03:04"),
        (Fraction(25), "01:02:03:04", 0.2, "01:02:03:09"),
        (Fraction(25), "01:02:03:23", 0.3, "01:02:04:06"),
        (NTSC, "00:00:59;28", 0.2, "00:01:00;06"),
        (NTSC, "23:59:59;28", 0.1, "00:00:00;01"),
    ],
)
def test_a_part_has_the_timecode_of_its_first_frame(
    read: str, target: str, rate: Fraction, text: str, start_s: float, right: str, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / f"in{read}", Clip(frames=24, rate=rate, metadata={"timecode": text}))
    for keep_clock in (False, True):
        path = tmp_path / f"{keep_clock}{target}"
        copy(source, path, options=SourceOptions(start_s=start_s, keep_clock=keep_clock))
        with av.open(str(path)) as written:
            tags = {name.lower(): value for name, value in written.streams.video[0].metadata.items()}
        assert tags["timecode"] == right
