"""Every height and width gives the frames that went in: no size is special."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from rt.commands import Run
from rt.errors import SinkError
from rt.frame import Rgb
from rt.job import run_job
from rt.media import MATRIX_601
from rt.pipeline import Stop
from rt.planes import Converter, Planes
from tests.support.media import Clip, write_clip
from tests.support.onnx_styles import make_style, save_negative

EVEN = [(height, width) for height in range(2, 28, 2) for width in range(2, 28, 2)]
SIZES = [
    *((height, 38) for height in range(16, 28)),
    *((26, width) for width in range(16, 28)),
    (2, 2),
    (2, 38),
    (38, 2),
    (3, 3),
    (270, 480),
    (854, 480),
    (315, 461),
]
"""Every remainder of 2, 4, 6 and 12, the smallest, odd ones, and some that people have."""


WIDE = [*((height, 64) for height in range(16, 28)), *((26, width) for width in range(56, 68)), (270, 480)]
"""x265 codes nothing narrower."""
FRAMES = 3
LEVELS = 8.0
"""What coding and shrinking may change on average; another size or foreign memory is far beyond."""


def waves(index: int, height: int, width: int) -> Rgb:
    """Return a soft image that 4:2:0 and x264 at crf 10 keep within a few levels."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [128 + 60 * np.sin((x * (1 + c) + y * (3 - c) + 9 * index) / 60) for c in range(3)]
    return np.asarray(np.stack(channels, axis=-1), np.uint8)


def clip_of(folder: Path, size: tuple[int, int]) -> Path:
    odd = size[0] % 2 or size[1] % 2
    clip = Clip(size=size, frames=FRAMES, image=waves, pixels="yuv444p" if odd else "yuv420p")
    return write_clip(folder / "in.mp4", clip)


def read_all(path: Path) -> list[Rgb]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def off(found: Rgb, wanted: Rgb) -> float:
    """Return the mean difference in levels of two images of one size."""
    assert found.shape == wanted.shape
    return float(np.abs(np.subtract(found, wanted, dtype=np.int16)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("size", EVEN, ids=str)
def test_planes_of_every_even_size_change_as_their_arrays_do(size: tuple[int, int]) -> None:
    height, width = size
    stored = av.VideoFrame.from_ndarray(waves(0, height, width), format="rgb24").reformat(format="yuv420p")
    image = Planes(stored, MATRIX_601, Converter())
    assert np.array_equal(image.encodable().to_ndarray(), stored.to_ndarray())
    small_in = np.full((2, 2, 3), 100, np.uint8)
    changed = image.with_residual(small_in, small_in + np.uint8(20), 1.0)
    assert changed.size == size
    assert changed.rgb.shape == (height, width, 3)
    # 20 levels of gray are 20 * 219 / 255 of the brightness, and nothing of the colours.
    wanted = stored.to_ndarray()
    wanted[:height] += 17
    assert np.array_equal(changed.encodable().to_ndarray(), wanted)


@pytest.fixture
def negative(tmp_path: Path) -> str:
    """A style that turns every level into 255 minus itself."""
    return str(make_style(tmp_path, "negative", model=save_negative(tmp_path / "negative.onnx")))


def run(clip: Path, style: str, *outputs: str, **changes: Any) -> None:
    job = Run(str(clip), style, outputs, backend="onnxruntime", **changes)
    assert run_job(job, Stop()).frames == FRAMES


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_file_of_any_size_is_translated_into_files_and_images_of_it(
    size: tuple[int, int], negative: str, tmp_path: Path
) -> None:
    clip = clip_of(tmp_path, size)
    before = read_all(clip)
    images = tmp_path / "images"
    run(clip, negative, f"{tmp_path}/out.mp4", f"{images}/")
    written = [np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1] for path in sorted(images.iterdir())]
    for found in (read_all(tmp_path / "out.mp4"), written):
        assert len(found) == FRAMES
        assert max(off(one, 255 - other) for one, other in zip(found, before, strict=True)) < LEVELS


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_is_shown_before_beside_after(size: tuple[int, int], negative: str, tmp_path: Path) -> None:
    clip = clip_of(tmp_path, size)
    run(clip, negative, f"{tmp_path}/both.mkv", compare=True, steady=0.7)
    for both, before in zip(read_all(tmp_path / "both.mkv"), read_all(clip), strict=True):
        assert off(both, np.concatenate([before, 255 - before], axis=1)) < LEVELS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "size"),
    [*(("h264", size) for size in SIZES), *(("hevc", size) for size in WIDE)],
    ids=str,
)
def test_without_strength_any_size_stays_the_source(
    codec: str, size: tuple[int, int], negative: str, tmp_path: Path
) -> None:
    clip = clip_of(tmp_path, size)
    run(clip, negative, f"{tmp_path}/same.mp4", strength=0.0, codec=codec, crf=1)
    for after, before in zip(read_all(tmp_path / "same.mp4"), read_all(clip), strict=True):
        assert off(after, before) < LEVELS


def test_hevc_of_narrow_frames_is_refused_before_the_run(negative: str, tmp_path: Path) -> None:
    clip = clip_of(tmp_path, (64, 54))
    with pytest.raises(SinkError) as error:
        run(clip, negative, f"{tmp_path}/out.mp4", codec="hevc")
    assert str(error.value) == (
        "x265 cannot code frames of 54x64 as HEVC (it needs a width of 56 px); type --codec h264"
    )
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"] == ["in.mp4"]
