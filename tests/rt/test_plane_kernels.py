"""The kernels on planes compute what rt.planes computes."""

from __future__ import annotations

import ctypes
import shutil

import av
import numpy as np
import numpy.typing as npt
import pytest

from rt.cuda.layout import FrameFormat, FrameLayout
from rt.media import MATRIX_601, MATRIX_709, MATRIX_2020
from rt.planes import Converter, Planes
from tests.support.cuda.build import build_twin
from tests.support.cuda.twin import Packed, Twin

FORMATS: tuple[FrameFormat, ...] = ("yuv420p", "nv12")
MATRICES = (MATRIX_601, MATRIX_709, MATRIX_2020)
SHARES_601 = (0.299, 0.114)
EVEN = [((1080, 1920), (160, 288)), ((270, 480), (90, 160)), ((34, 50), (16, 24)), ((6, 4), (3, 2))]
ODD = [
    (size, (max(1, size[0] // 3), max(1, size[1] // 2))) for size in ((7, 9), (8, 9), (7, 8), (1, 1), (2, 3))
]
ODD += [((height, 41), (8, 12)) for height in range(30, 42)]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed; type: apt-get install g++")
    return Twin(ctypes.CDLL(str(build_twin(tmp_path_factory.mktemp("twin") / "twin.so"))))


def noise(shape: tuple[int, ...], seed: int) -> npt.NDArray[np.uint8]:
    return np.asarray(np.random.default_rng(seed).integers(16, 236, shape), np.uint8)


def packed(layout: FrameLayout, seed: int = 0) -> Packed:
    return noise((layout.nbytes,), seed)


def as_nv12(frame: Packed, size: tuple[int, int]) -> Packed:
    """Return a frame of yuv420p as NV12."""
    bright, blue, red = FrameLayout("yuv420p", size).planes(frame)
    made = np.empty_like(frame)
    first, second = FrameLayout("nv12", size).planes(made)
    first[:], second[..., 0], second[..., 1] = bright, blue, red
    return made


def stored(frame: Packed, size: tuple[int, int], matrix: int) -> Planes:
    """Return a frame of yuv420p as the runtime carries one."""
    image = Planes(av.VideoFrame(size[1], size[0], "yuv420p"), matrix, Converter())
    return image.with_planes(FrameLayout("yuv420p", size).planes(frame))


def averaged(plane: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return the averages of the areas that the pixels of `size` cover, by two matrices of shares."""

    def shares(length: int, small: int) -> npt.NDArray[np.float64]:
        edges = np.arange(small + 1) * length / small
        pixels = np.arange(length)
        low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
        return np.asarray(np.maximum(0, high - low) * small / length, np.float64)

    down, along = shares(plane.shape[0], size[0]), shares(plane.shape[1], size[1])
    return np.asarray(down @ plane.astype(float) @ along.T, np.float64)


def as_rgb(levels: list[npt.NDArray[np.float64]], shares: tuple[float, float]) -> npt.NDArray[np.float64]:
    red, blue = shares
    bright = (levels[0] - 16) * 255 / 219
    b = bright + 2 * (1 - blue) * (levels[1] - 128) * 255 / 224
    r = bright + 2 * (1 - red) * (levels[2] - 128) * 255 / 224
    rgb = np.stack([r, (bright - red * r - blue * b) / (1 - red - blue), b], axis=-1)
    return np.asarray(np.clip(rgb, 0, 255), np.float64)


@pytest.mark.parametrize(("size", "small_size"), [*EVEN, *ODD])
def test_planes_shrink_to_the_rgb_of_their_averages(
    twin: Twin, size: tuple[int, int], small_size: tuple[int, int]
) -> None:
    layout = FrameLayout("yuv420p", size)
    frame = packed(layout)
    found = twin.shrink_planes(frame, layout, (1.0, *SHARES_601), small_size)
    wanted = as_rgb([averaged(plane, small_size) for plane in layout.planes(frame)], SHARES_601)
    assert np.abs(found - wanted).max() <= 0.51
    interleaved = as_nv12(frame, size)
    again = twin.shrink_planes(interleaved, FrameLayout("nv12", size), (1.0, *SHARES_601), small_size)
    assert np.array_equal(again, found)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(("size", "small_size"), EVEN)
def test_a_shrunk_frame_is_the_cpu_s_within_a_level_where_it_is_smooth(
    twin: Twin, size: tuple[int, int], small_size: tuple[int, int], matrix: int
) -> None:
    layout, y, x = FrameLayout("yuv420p", size), *np.mgrid[0 : size[0], 0 : size[1]]
    frame = np.empty(layout.nbytes, np.uint8)
    for number, plane in enumerate(layout.planes(frame)):
        rows, columns = plane.shape
        plane[:] = 118 + 30 * np.sin((y[:rows, :columns] / rows + number) * 2 + x[:rows, :columns] / columns)
    image = stored(frame, size, matrix)
    found = twin.shrink_planes(frame, layout, (1.0, *image.shares), small_size)
    difference = np.abs(found.astype(int) - image.shrink(small_size))
    limit = 1 if min(size) > 30 else 6  # a handful of colours: libswscale places them between the pixels
    assert difference.max() <= limit


@pytest.mark.parametrize("strength", [0, 0.3, 1])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(("size", "small_size"), EVEN)
def test_a_residual_is_added_to_the_planes_as_on_the_cpu(
    twin: Twin, size: tuple[int, int], small_size: tuple[int, int], matrix: int, strength: float
) -> None:
    layout = FrameLayout("yuv420p", size)
    frame, small_in, small_out = packed(layout), noise((*small_size, 3), 1), noise((*small_size, 3), 2)
    image = stored(frame, size, matrix)
    found = twin.apply_planes(frame, layout, (strength, *image.shares), small_in, small_out)
    wanted = image.with_residual(small_in, small_out, strength)
    for mine, other, before in zip(layout.planes(found), wanted.views, layout.planes(frame), strict=True):
        assert np.abs(mine.astype(int) - other).max() <= 1
        if strength == 0:
            assert np.array_equal(mine, before)
        elif strength == 1 and mine.size > 100:
            assert np.abs(mine.astype(int) - before).mean() > 5


@pytest.mark.parametrize(("size", "small_size"), [*EVEN[1:], *ODD])
def test_nv12_and_yuv420p_get_the_same_residual_at_every_size(
    twin: Twin, size: tuple[int, int], small_size: tuple[int, int]
) -> None:
    layout, numbers = FrameLayout("yuv420p", size), (0.7, *SHARES_601)
    frame, small_in, small_out = packed(layout), noise((*small_size, 3), 1), noise((*small_size, 3), 2)
    found = twin.apply_planes(frame, layout, numbers, small_in, small_out)
    interleaved = twin.apply_planes(
        as_nv12(frame, size), FrameLayout("nv12", size), numbers, small_in, small_out
    )
    assert np.array_equal(as_nv12(found, size), interleaved)
    assert found.size == frame.size == layout.nbytes
    assert found.min() >= 0
    white = twin.apply_planes(np.full_like(frame, 255), layout, numbers, small_in, small_in)
    assert np.array_equal(white, np.full_like(frame, 255))


@pytest.mark.parametrize("size", [(height, width) for height in range(1, 8) for width in range(1, 8)])
@pytest.mark.parametrize("format", ["rgb24", *FORMATS])
def test_every_byte_of_a_frame_belongs_to_one_plane(format: FrameFormat, size: tuple[int, int]) -> None:
    layout = FrameLayout(format, size)
    frame = np.zeros(layout.nbytes, np.uint8)
    for plane in layout.planes(frame):
        assert np.shares_memory(plane, frame)
        plane += 1
    assert np.array_equal(frame, np.ones_like(frame))
    assert layout.planes(frame)[0].shape[:2] == size
