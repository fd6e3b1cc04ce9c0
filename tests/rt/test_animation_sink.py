"""Videos as animated GIF and WebP."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rt.errors import SinkError
from rt.frame import Frame, Rgb, SourceInfo
from rt.image import WRITE_SUFFIXES
from rt.sinks import ANIMATION_SUFFIXES, IMAGE_SUFFIXES, Sink, SinkOptions, open_sink
from rt.sources import open_source
from tests.support.disk import files_limited_to

KINDS = (".gif", ".webp")
VIDEO = SourceInfo("clip.mp4", 36, 48, Fraction(25), None)


def scene(number: int, size: tuple[int, int] = (36, 48)) -> Rgb:
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 40 * number % 256)], -1)
    return rgb.astype(np.uint8)


def opened(path: Path, like: SourceInfo = VIDEO, overwrite: bool = False) -> Sink:
    return open_sink(str(path), like, SinkOptions(overwrite=overwrite))


def write(path: Path, pts: list[int], time_base: Fraction, size: tuple[int, int] = (36, 48)) -> list[Frame]:
    """Write frames and return them as they are read."""
    sink = opened(path)
    for number, at in enumerate(pts):
        sink.write(Frame(scene(number, size), at, time_base, number))
    sink.close()
    sink.close()
    return list(open_source(str(path)))


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("size", [(36, 48), (37, 51), (1, 1), (2, 3), (300, 17)])
def test_every_frame_is_there_at_its_time_and_size(
    suffix: str, size: tuple[int, int], tmp_path: Path
) -> None:
    pts = [7, 8, 9, 12, 13]  # the first moment is the beginning
    frames = write(tmp_path / f"out{suffix}", pts, Fraction(1, 10), size)
    assert [frame.pts for frame in frames] == [0, 100, 200, 500, 600]
    for number, frame in enumerate(frames):
        assert frame.size == size
        difference = np.abs(frame.rgb.astype(int) - scene(number, size)).mean()
        assert difference <= (8 if min(size) > 8 else 60), number  # colour is stored at half the size
    assert [path.name for path in tmp_path.iterdir()] == [f"out{suffix}"]


def test_every_suffix_that_is_written_is_known_by_its_name() -> None:
    assert {*IMAGE_SUFFIXES, *ANIMATION_SUFFIXES} == set(WRITE_SUFFIXES)


@pytest.mark.parametrize("suffix", KINDS)
def test_it_repeats_for_ever(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"out{suffix}", [0, 1], Fraction(1, 10))
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.info["loop"] == 0


def test_a_gif_of_a_fast_video_keeps_its_speed(tmp_path: Path) -> None:
    frames = write(tmp_path / "out.gif", list(range(60)), Fraction(1, 60))
    times = [frame.pts for frame in frames]
    assert all(later - before >= 20 for before, later in itertools.pairwise(times))
    assert times[-1] in range(960, 990)
    assert len(times) >= 40


@pytest.mark.parametrize("suffix", KINDS)
def test_one_image_becomes_a_still_one(suffix: str, tmp_path: Path) -> None:
    one = SourceInfo("photo.jpg", 36, 48, Fraction(25), 1)
    sink = opened(tmp_path / f"out{suffix}", one)
    sink.write(Frame(scene(3), 0, Fraction(1, 25), 0))
    sink.close()
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert getattr(image, "n_frames", 1) == 1
        assert image.format == suffix[1:].upper()


@pytest.mark.parametrize("suffix", KINDS)
def test_a_number_in_the_name_means_one_file_a_frame(suffix: str, tmp_path: Path) -> None:
    sink = opened(tmp_path / f"out_%02d{suffix}")
    for number in range(2):
        sink.write(Frame(scene(number), number, Fraction(1, 25), number))
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out_00{suffix}", f"out_01{suffix}"]


@pytest.mark.parametrize("suffix", KINDS)
def test_what_exists_is_left_unless_it_may_be_replaced(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"precious")
    with pytest.raises(SinkError, match="it exists; add --overwrite to replace it"):
        opened(path)
    sink = opened(path, overwrite=True)
    sink.write(Frame(scene(0), 0, Fraction(1, 25), 0))
    sink.abort()
    sink.abort()
    assert path.read_bytes() == b"precious"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with pytest.raises(SinkError, match="it is the input itself"):
        opened(path, SourceInfo(str(path), 36, 48, None, None), overwrite=True)


@pytest.mark.parametrize("suffix", KINDS)
def test_a_frame_of_another_size_is_one_line_and_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    sink = opened(tmp_path / f"out{suffix}")
    sink.write(Frame(scene(0), 0, Fraction(1, 25), 0))
    with pytest.raises(SinkError, match="a frame of 51x37 came after 48x36$"):
        sink.write(Frame(scene(1, (37, 51)), 1, Fraction(1, 25), 1))
    sink.abort()
    with pytest.raises(SinkError, match="it is closed"):
        sink.write(Frame(scene(0), 2, Fraction(1, 25), 2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", KINDS)
def test_without_a_frame_nothing_is_left(suffix: str, tmp_path: Path) -> None:
    opened(tmp_path / f"out{suffix}").close()
    assert list(tmp_path.iterdir()) == []


def write_noise(sink: Sink) -> None:
    for number in range(9):
        noise = np.random.default_rng(number).integers(0, 256, (120, 160, 3)).astype(np.uint8)
        sink.write(Frame(noise, number, Fraction(1, 25), number))
    sink.close()


@pytest.mark.parametrize("suffix", KINDS)
def test_a_full_disk_is_one_line_and_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    sink = opened(tmp_path / f"out{suffix}")
    with files_limited_to(10_000), pytest.raises(SinkError, match="^cannot write .*: file too large$"):
        write_noise(sink)
    sink.abort()
    assert list(tmp_path.iterdir()) == []
