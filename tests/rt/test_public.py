"""What the library refuses before it opens anything; `tests/e2e/test_library.py` has it at work."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import rt.public as videobrush
from rt.demo import CLIP


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
    ],
)
def test_a_span_that_is_none_is_a_wrong_argument(options: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        videobrush.frames(CLIP, **options)
