"""What the library refuses before it opens anything; `tests/e2e/test_library.py` has it at work."""

from __future__ import annotations

import math
from fractions import Fraction
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import rt.public as videobrush
from rt.commands import Run
from rt.demo import CLIP
from tests.support.media import Audio, Clip, side_streams, write_clip


@pytest.mark.parametrize("fps", [0, -5, math.nan, math.inf])
def test_frames_per_second_that_are_none_are_wrong_arguments(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ValueError, match=f"^fps is {fps}, not above 0$"):
        videobrush.writer(tmp_path / "out.mp4", fps=fps)
    with pytest.raises(ValueError, match=f"^fps is {fps}, not above 0$"):
        videobrush.frames(CLIP, fps=fps)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": -1.0}, "start is -1.0, not 0 or more"),
        ({"start": math.nan}, "start is nan, not 0 or more"),
        ({"duration": 0.0}, "duration is 0.0, not above 0"),
        ({"duration": math.nan}, "duration is nan, not above 0"),
        ({"width": 0}, "width is 0, not above 0"),
        ({"height": -2}, "height is -2, not above 0"),
    ],
)
def test_a_span_or_size_that_is_none_is_a_wrong_argument(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        videobrush.frames(CLIP, **options)


ELSEWHERE = {
    "device",
    "verbose",
    "record",
    "microphone",
    "loop",  # a run of a program would have no end
    "fit",
    "still",
    # what is switched, mixed and steered during a live show
    "fade",
    "mix",
    "hotkeys",
    "osc",
}
"""Options of the command that the library leaves to it."""


def test_the_library_runs_with_what_the_command_takes() -> None:
    taken = set(signature(videobrush.run).parameters) - {"on_progress"}
    assert taken == set(Run.__dataclass_fields__) - ELSEWHERE
    defaults = {name: field.default for name, field in Run.__dataclass_fields__.items()}
    for name, parameter in signature(videobrush.run).parameters.items():
        if name not in ("input", "output", "style", "on_progress", "steady"):
            assert parameter.default == defaults[name], name


@pytest.mark.parametrize(("asked", "kept"), [("copy", ["mp2"]), ("aac", ["aac"]), ("none", [])])
def test_audio_is_kept_encoded_or_left_out_as_asked(asked: Any, kept: list[str], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv", Clip(frames=4, audio=[Audio("mp2", 0.3)]))
    videobrush.run(clip, tmp_path / "run.mkv", "winter", backend="identity", audio=asked)
    with (
        videobrush.frames(clip) as source,
        videobrush.writer(tmp_path / "loop.mkv", source, audio=asked) as out,
    ):
        for frame in source:
            out.write(frame.rgb, frame)
    for name in ("run.mkv", "loop.mkv"):
        assert [stream.codec for stream in side_streams(tmp_path / name)] == kept


def test_fields_and_clocks_are_read_as_asked(tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "bf": "0"}
    lines = Clip(frames=6, codec="mpeg2video", options=options, through="setfield=tff")
    combed = write_clip(tmp_path / "combed.mkv", lines)
    late = write_clip(tmp_path / "late.ts", Clip(frames=4, rate=Fraction(25), pts=range(100, 104)))
    counts = {}
    ways: tuple[dict[str, Any], ...] = ({}, {"fields": True}, {"interlaced": "keep"})
    for asked in ways:
        with videobrush.frames(combed, **asked) as source:
            counts[str(asked)] = sum(1 for _ in source)
    assert list(counts.values()) == [6, 12, 6]
    with videobrush.frames(late) as now, videobrush.frames(late, keep_clock=True) as then:
        begin, later = next(iter(now)).time_s, next(iter(then)).time_s
    assert begin == 0
    assert later > 3
    with pytest.raises(ValueError, match="^fields and interlaced keep exclude each other"):
        videobrush.frames(combed, fields=True, interlaced="keep")
