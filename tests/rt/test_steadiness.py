from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from rt.fit import shrink
from rt.frame import Rgb
from rt.steadiness import Motion, Unmeasurable, compare, compare_amounts
from tests.support.onnx_styles import drawn_image

SIZE = (60, 80)
FRAME = (120, 160)


def scene() -> Rgb:
    """Return a frame twice as wide as a frame, with contrast everywhere."""
    noise = np.random.default_rng(3).normal(0, 1, (FRAME[0], 2 * FRAME[1], 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.asarray(np.clip(120 + 35 * smooth / smooth.std(), 20, 220), np.uint8)


def panning(count: int, step_px: int = 4) -> Iterator[Rgb]:
    wide = scene()
    for number in range(count):
        yield np.ascontiguousarray(wide[:, number * step_px : number * step_px + FRAME[1]])


def standing(count: int) -> Iterator[Rgb]:
    return (np.ascontiguousarray(scene()[:, : FRAME[1]]) for _ in range(count))


def alternating(levels: int) -> Callable[[Rgb], Rgb]:
    """Return a network that makes every second frame brighter by so many levels."""
    calls = iter(range(1000))
    return lambda rgb: np.asarray(rgb + np.uint8(levels * (next(calls) % 2)), np.uint8)


def noisy(deviation: float) -> Callable[[Rgb], Rgb]:
    """Return a network that adds other noise to every frame."""
    rng = np.random.default_rng(0)
    return lambda rgb: np.asarray(np.clip(rgb + rng.normal(0, deviation, rgb.shape), 0, 255), np.uint8)


def test_a_translation_that_changes_nothing_is_as_steady_as_its_source() -> None:
    for found in compare(panning(6), lambda rgb: rgb.copy(), SIZE):
        assert found.frames == 6
        assert found.off == found.on == found.source
        assert (found.warping_off, found.warping_on) == (1, 1)
        assert (found.warping_cut, found.flicker_cut, found.sharpness_kept) == (0, None, 1)
        assert found.source.tof_px == 0
        assert 0 < found.source.warping_levels < 2  # what is left of following the pan
        assert found.source.deviation_levels is None


def test_a_still_scene_that_blinks_by_ten_levels_has_an_error_of_ten_levels() -> None:
    for found in compare(standing(8), alternating(10), SIZE, amount=1):
        assert found.source.warping_levels == 0
        assert (found.warping_off, found.warping_on) == (None, None)
        assert found.off.warping_levels == pytest.approx(10, abs=0.02)
        assert found.off.deviation_levels == pytest.approx(5, abs=0.01)
        assert found.off.tof_px == pytest.approx(0, abs=0.05)
        assert 1 < found.on.warping_levels < 4
        assert found.on.deviation_levels is not None
        assert found.on.deviation_levels < 3
        assert found.warping_cut == pytest.approx(1 - found.on.warping_levels / 10, abs=0.01)
        assert found.flicker_cut == pytest.approx(found.warping_cut)  # the source adds nothing to it


def test_the_error_is_the_mean_of_the_trusted_pixels_alone() -> None:
    viewer, _ = compare(panning(5, step_px=20), alternating(40), SIZE)  # an eighth comes in with each frame
    assert viewer.off.warping_levels == pytest.approx(40, abs=1)


def test_off_and_on_are_the_same_at_amount_zero() -> None:
    for found in compare(panning(4), noisy(6), SIZE, amount=0):
        assert found.off == found.on
        assert found.warping_cut == 0


def test_flicker_over_a_moving_scene_is_measured_along_the_motion_and_shrinks() -> None:
    viewer, network = compare(panning(14), noisy(6), SIZE)
    # Mean of |a - b| for two draws of deviation 6, less what following at fractions of pixels averages out.
    assert 4 < network.off.warping_levels < 6 * 2 / np.pi**0.5 + 0.3
    assert network.warping_cut > 0.4
    assert viewer.warping_cut > 0.4
    assert viewer.off.tof_px > viewer.on.tof_px > 0
    assert viewer.flicker_cut is not None
    assert viewer.flicker_cut > viewer.warping_cut


def test_a_painting_of_a_noisy_camera_is_measured_as_it_is_shown() -> None:
    rng = np.random.default_rng(1)
    grainy = [
        np.asarray(np.clip(rgb + rng.normal(0, 6, rgb.shape), 0, 255), np.uint8) for rgb in standing(10)
    ]
    paint = noisy(4)
    still = shrink(next(standing(1)), SIZE)
    for found in compare(grainy, lambda rgb: paint(still), SIZE, detail="network"):
        assert found.warping_cut > 0.4


def test_less_is_steadied_by_a_smaller_amount() -> None:
    amounts = (0.25, 0.5, 1.0)
    found = compare_amounts(panning(8), noisy(6), SIZE, amounts)
    cuts = [network.warping_cut for _, network in found]
    assert cuts == sorted(cuts)
    assert cuts[0] > 0.05
    assert found[2] == compare(panning(8), noisy(6), SIZE, amounts[2])


def test_strength_scales_what_is_measured() -> None:
    viewer, network = compare(standing(4), alternating(10), SIZE, strength=0.5)
    assert viewer.off.warping_levels == pytest.approx(5, abs=0.02)
    assert network.off.warping_levels == pytest.approx(10, abs=0.02)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    checks = np.zeros((*FRAME, 3), np.uint8)
    checks[::2, ::2] = checks[1::2, 1::2] = 100
    viewer, _ = compare([checks, checks], lambda rgb: rgb, SIZE)
    # Each pixel's four neighbours differ from it by 100: a Laplacian of +-400 everywhere.
    assert viewer.source.sharpness == pytest.approx(400**2, rel=0.01)


def test_what_comes_into_view_is_not_trusted() -> None:
    before = np.asarray(drawn_image(96, 128)[..., 1], np.uint8)
    before = np.asarray(cv2.GaussianBlur(before, (0, 0), 1.5), np.uint8)
    now = before.copy()
    before[30:62, 40:72], now[30:62, 52:84] = 250, 250
    now[34:58, 56:80] = before[34:58, 44:68] = np.asarray(scene()[:24, :24, 0])
    trusted = Motion(before, now).trusted
    assert trusted[:, :32].mean() > 0.95
    assert trusted[36:56, 41:50].mean() < 0.5  # what the square uncovered
    panned = Motion(np.asarray(scene()[:, :160, 0]), np.asarray(scene()[:, 8:168, 0])).trusted
    assert not panned[:, -7:].any()  # came in at the right edge
    assert panned[:, :140].mean() > 0.95


def test_a_clip_without_motion_to_judge_is_refused() -> None:
    with pytest.raises(Unmeasurable, match=r"a clip of 1 frame\(s\) has no motion; at least two are needed"):
        compare(panning(1), noisy(6), SIZE)
    with pytest.raises(Unmeasurable, match="a clip of 0 frame"):
        compare([], noisy(6), SIZE)
    tiny = np.zeros((11, 40, 3), np.uint8)
    with pytest.raises(Unmeasurable, match="frames of 11x40 are too small to find motion in them"):
        compare([tiny, tiny], noisy(6), (11, 40))
