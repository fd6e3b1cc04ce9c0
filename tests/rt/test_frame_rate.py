"""The frame rate of a file, stated and as its frames' times say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from rt.sources.file import FileSource
from tests.support.copying import copy
from tests.support.media import Clip, video, write_clip

PAL = Clip((576, 720), 3, codec="dvvideo", unit=Fraction(1, 25))
NTSC = Clip((480, 720), 3, Fraction(30000, 1001), codec="dvvideo", pixels="yuv411p")


@pytest.mark.parametrize("clip", [PAL, NTSC], ids=["pal", "ntsc"])
@pytest.mark.parametrize("target", ["out.mp4", "out.mov", "out.mkv"])
def test_raw_dv_has_the_rate_of_its_frames_and_not_that_of_its_clock(
    tmp_path: Path, clip: Clip, target: str
) -> None:
    avi = write_clip(tmp_path / "in.avi", clip)
    path = tmp_path / "in.dv"
    path.write_bytes(_payload(avi))
    source = FileSource(path)
    assert source.info.frame_rate == clip.rate
    source.close()
    copy(path, tmp_path / target)
    seen = video(tmp_path / target)
    assert len(seen.times) == 3
    assert float(seen.rate or 0) == pytest.approx(float(clip.rate), rel=0.02)


def _payload(path: Path) -> bytes:
    """Return the packets of a file, one after the other: for DV that is a file of its own."""
    import av

    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(video=0))


@pytest.mark.parametrize(
    ("rate", "unit"),
    [
        (Fraction(25), Fraction(1, 12800)),
        (Fraction(24000, 1001), Fraction(1, 24000)),
        (Fraction(60000, 1001), Fraction(1, 60000)),
        (Fraction(240), Fraction(1, 240)),
        (Fraction(1000), Fraction(1, 1000)),
        (Fraction(1), Fraction(1, 1000)),
        (Fraction(1, 4), Fraction(1, 1000)),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_the_rate_is_that_of_the_frames(tmp_path: Path, suffix: str, rate: Fraction, unit: Fraction) -> None:
    if suffix == ".avi":
        unit = 1 / rate
    path = write_clip(tmp_path / f"in{suffix}", Clip(frames=12, rate=rate, unit=unit))
    source = FileSource(path)
    assert float(source.info.frame_rate or 0) == pytest.approx(float(rate), rel=0.01)
    assert len(list(source)) == 12
