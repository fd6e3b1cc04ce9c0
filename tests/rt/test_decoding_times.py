"""Files that say when a frame is decoded, not shown: AVI."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rt.frame import Frame
from rt.sources.file import FileSource
from tests.support.media import Clip, drawn, write_clip

FRAMES = 14
CODED: dict[str, tuple[str, dict[str, str]]] = {
    "mjpeg": ("yuvj420p", {}),
    "huffyuv": ("yuv422p", {}),
    "msmpeg4v2": ("yuv420p", {"b": "4000000"}),
    "mpeg4": ("yuv420p", {"b": "4000000"}),
    "mpeg4 with B-frames": ("yuv420p", {"b": "4000000", "bf": "2"}),
    "libx264": ("yuv420p", {}),
    "libx264 with B-frames": ("yuv420p", {"preset": "ultrafast", "bf": "2", "b-pyramid": "none"}),
    "libx264 with a pyramid": ("yuv420p", {"preset": "veryfast", "bf": "3", "b_strategy": "0"}),
}
"""What codes the frames → pixels and options."""


def clip_of(name: str, pts: list[int]) -> Clip:
    pixels, options = CODED[name]
    return Clip(
        size=(96, 128), codec=name.partition(" ")[0], pixels=pixels, options={"g": "7", **options}, pts=pts
    )


GAPS: dict[str, tuple[int, ...]] = {"whole": (), "second-left-out": (1,), "two-left-out": (5, 6)}
CASES = [(name, gap) for name in CODED for gap in (GAPS if "with" not in name else ["whole"])]
"""A muxer cannot leave out times between B-frames."""


def shown(frame: Frame) -> int:
    """Return which of the drawn images a frame is."""
    return int(np.argmin([np.abs(frame.rgb.astype(int) - drawn(i, 96, 128)).mean() for i in range(FRAMES)]))


@pytest.mark.parametrize(("name", "gap"), CASES)
def test_every_frame_is_shown_at_its_place_in_the_file(
    tmp_path: Path, name: str, gap: str, caplog: pytest.LogCaptureFixture
) -> None:
    times = [time for time in range(FRAMES) if time not in GAPS[gap]]
    source = write_clip(tmp_path / "in.avi", clip_of(name, times))
    frames = list(FileSource(source))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(time, 25) for time in times]
    assert [shown(frame) for frame in frames] == list(range(len(times)))
    assert "time stamps" not in caplog.text


@pytest.mark.parametrize("name", ["mjpeg", "msmpeg4v2", "mpeg4", "mpeg4 with B-frames"])
def test_frames_behind_a_damaged_beginning_keep_their_places(tmp_path: Path, name: str) -> None:
    whole = write_clip(tmp_path / "in.avi", clip_of(name, list(range(FRAMES))))
    data = bytearray(whole.read_bytes())
    begin = data.index(b"00dc", data.index(b"movi")) + 8
    size = int.from_bytes(data[begin - 4 : begin], "little")
    data[begin : begin + size] = bytes(size)
    whole.write_bytes(data)
    first = next(iter(FileSource(whole)))
    late = first.pts * first.time_base * 25 - shown(first)
    assert 0 <= late <= 2
