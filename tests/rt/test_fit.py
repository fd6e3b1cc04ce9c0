from __future__ import annotations

import cv2
import numpy as np
import pytest

from rt.card import DETAILS, Detail
from rt.fit import apply_residual, network_size, shrink, side_by_side
from rt.frame import Rgb
from tests.support.onnx_styles import drawn_image


def noise(height: int, width: int, seed: int = 0) -> Rgb:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(height: int, width: int, level: int) -> Rgb:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("image", "short_px", "multiple", "expected"),
    [
        ((1080, 1920), 256, 8, (256, 456)),
        ((1080, 1920), 256, 4, (256, 456)),
        ((1080, 1920), 256, 16, (256, 448)),
        ((1920, 1080), 256, 8, (456, 256)),
        ((360, 480), 256, 4, (256, 340)),
        ((464, 848), 250, 4, (252, 456)),
        ((250, 464), 250, 4, (248, 464)),
        ((241, 321), 256, 4, (240, 320)),
        ((256, 256), 256, 16, (256, 256)),
        ((255, 255), 256, 16, (240, 240)),
        ((720, 1280), 720, 16, (720, 1280)),
    ],
)
def test_the_short_side_becomes_the_size_asked_and_the_aspect_stays(
    image: tuple[int, int], short_px: int, multiple: int, expected: tuple[int, int]
) -> None:
    assert network_size(*image, short_px, multiple, minimum_px=64) == expected


@pytest.mark.parametrize(
    ("image", "minimum_px", "expected"),
    [
        ((1, 1), 64, (64, 64)),
        ((1, 1), 63, (64, 64)),
        ((2, 1920), 16, (16, 1920)),
        ((40, 200), 64, (64, 200)),
        ((100, 100), 101, (104, 104)),
    ],
)
def test_a_side_below_the_networks_minimum_grows_to_it(
    image: tuple[int, int], minimum_px: int, expected: tuple[int, int]
) -> None:
    assert network_size(*image, 256, 8, minimum_px) == expected


def test_every_size_is_a_multiple_and_never_larger_than_the_image_or_the_minimum() -> None:
    for height in range(1, 400, 7):
        for width in (1, 15, 16, 17, 255, 256, 300, 1000):
            size = network_size(height, width, 128, 8, 20)
            for side, own in zip(size, (height, width), strict=True):
                assert side % 8 == 0
                assert 24 <= side <= max(own, 24)


def test_shrinking_averages_areas() -> None:
    image = noise(64, 96)
    expected = image.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrink(image, (16, 24)) - expected).max() <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "size"),
    [
        ((1080, 1920), (160, 288)),
        ((1080, 1920), (256, 456)),
        ((720, 1280), (160, 288)),
        ((464, 848), (160, 296)),
        ((1440, 1080), (216, 160)),
        ((360, 480), (240, 320)),  # less than two rows become one
        ((100, 9000), (99, 300)),  # a row becomes hardly more than one
        ((257, 22000), (16, 16)),  # as many rows as can be summed
        ((258, 22000), (17, 16)),
        ((1079, 1919), (160, 288)),
        ((360, 6000), (360, 300)),  # only the width shrinks
    ],
)
def test_images_of_every_size_are_shrunk_to_the_average_of_their_areas(
    image: tuple[int, int], size: tuple[int, int]
) -> None:
    rgb = noise(*image)
    rgb[: image[0] // 3] = 255  # sums at their largest
    exact = cv2.resize(rgb.astype(np.float64), size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(rgb, size) - exact).max() < 0.505  # rounded to the nearest level


def test_a_image_of_the_right_size_is_not_touched() -> None:
    image = noise(16, 24)
    assert shrink(image, (16, 24)) is image


def test_a_image_below_the_minimum_grows_smoothly() -> None:
    ramp = np.repeat(np.array([0, 240], np.uint8), 3).reshape(1, 2, 3)
    row = shrink(ramp, (8, 8))[3, :, 0].astype(int)
    assert (row[0], row[-1]) == (0, 240)
    assert np.all(np.diff(row) >= 0)
    assert np.diff(row).max() <= 60


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1), (3, 3), (7, 5), (270, 480)])
@pytest.mark.parametrize("detail", DETAILS)
def test_a_result_has_the_frames_size_and_is_a_new_array(size: tuple[int, int], detail: Detail) -> None:
    image = noise(*size)
    before = image.copy()
    small = shrink(image, (16, 24))
    for strength in (0.0, 0.5, 1.0):
        result = apply_residual(image, small, 255 - small, strength, detail)
        assert (result.shape, result.dtype) == (image.shape, np.dtype(np.uint8))
        assert result.flags.c_contiguous
        assert not np.shares_memory(result, image)
        assert np.array_equal(image, before)


@pytest.mark.parametrize("detail", DETAILS)
def test_strength_zero_is_the_frame_itself(detail: Detail) -> None:
    image = noise(90, 160)
    small = shrink(image, (32, 56))
    result = apply_residual(image, small, 255 - small, 0, detail)
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)


def test_at_the_networks_own_size_keep_and_network_are_both_the_networks_image() -> None:
    image, out = noise(32, 48), noise(32, 48, seed=1)
    for detail in DETAILS:
        result = apply_residual(image, shrink(image, (32, 48)), out, 1, detail)
        assert np.array_equal(result, out)
        assert not np.shares_memory(result, out)


def test_no_change_keeps_every_pixel_of_the_frame() -> None:
    image = noise(90, 160)
    small = shrink(image, (32, 56))
    for strength in (0.3, 1.0):
        assert np.array_equal(apply_residual(image, small, small.copy(), strength, "keep"), image)


@pytest.mark.parametrize(
    ("small_in", "small_out", "strength", "expected"),
    [(100, 140, 1.0, 90), (100, 140, 0.5, 70), (140, 100, 0.5, 30), (0, 255, 1.0, 255), (255, 0, 1.0, 0)],
)
def test_keep_adds_the_change_by_its_strength_and_saturates(
    small_in: int, small_out: int, strength: float, expected: int
) -> None:
    result = apply_residual(flat(60, 80, 50), flat(8, 8, small_in), flat(8, 8, small_out), strength, "keep")
    assert np.array_equal(result, flat(60, 80, expected))


@pytest.mark.parametrize(("strength", "expected"), [(0.25, 85), (0.5, 120), (1.0, 190)])
def test_network_blends_the_networks_image_by_its_strength(strength: float, expected: int) -> None:
    result = apply_residual(flat(60, 80, 50), flat(8, 8, 0), flat(8, 8, 190), strength, "network")
    assert np.array_equal(result, flat(60, 80, expected))


def test_the_extremes_never_wrap() -> None:
    image = np.where(noise(64, 96) > 127, 255, 0).astype(np.uint8)
    small = shrink(image, (16, 24))
    brighter = apply_residual(image, small, flat(16, 24, 255), 1, "keep")
    darker = apply_residual(image, small, flat(16, 24, 0), 1, "keep")
    assert np.all(brighter >= image)
    assert np.all(darker <= image)


def test_keep_preserves_fine_detail_that_the_network_never_saw() -> None:
    image = drawn_image(128, 192) // 2 + 40
    small = shrink(image, (32, 48))
    result = apply_residual(image, small, small + 20, 1, "keep")
    assert np.array_equal(result, image + 20)
    blurred = apply_residual(image, small, small + 20, 1, "network")
    assert np.abs(blurred.astype(int) - (image + 20)).mean() > 2


def test_the_change_lands_where_the_network_made_it() -> None:
    image = flat(80, 120, 100)
    small_in = shrink(image, (16, 24))
    small_out = small_in.copy()
    small_out[4:8, 6:12] = 180
    residual = apply_residual(image, small_in, small_out, 1, "keep")[..., 0].astype(int) - 100
    y, x = np.nonzero(residual > 40)
    assert [int(end) for end in (y.min(), y.max(), x.min(), x.max())] == [20, 39, 30, 59]
    assert residual[25, 40] == 80


@pytest.mark.parametrize("detail", DETAILS)
def test_a_image_that_is_a_view_gives_the_same_as_its_copy(detail: Detail) -> None:
    view = noise(60, 90)[4:-6, 3:-7][:, ::-1]
    plain = np.ascontiguousarray(view)
    small = shrink(plain, (16, 24))
    assert np.array_equal(shrink(view, (16, 24)), small)
    expected = apply_residual(plain, small, 255 - small, 0.7, detail)
    assert np.array_equal(apply_residual(view, small, 255 - small, 0.7, detail), expected)


def test_side_by_side_puts_the_left_image_left() -> None:
    left, right = noise(5, 7), noise(5, 4, seed=1)
    pair = side_by_side(left, right)
    assert pair.shape == (5, 11, 3)
    assert np.array_equal(pair[:, :7], left)
    assert np.array_equal(pair[:, 7:], right)
