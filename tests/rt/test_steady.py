from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rt.card import Detail
from rt.frame import Rgb
from rt.steady import Steady

SIZE = (64, 96)


def smooth_noise(size: tuple[int, int], seed: int, blur_px: float) -> npt.NDArray[np.float32]:
    """Return float32[H, W, 3] of mean 0 and standard deviation 1 that goes on at the opposite edge."""
    noise = np.random.default_rng(seed).normal(0, 1, (*size, 3)).astype(np.float32)
    wrapped = np.pad(noise, ((12, 12), (12, 12), (0, 0)), mode="wrap")
    smooth = np.asarray(cv2.GaussianBlur(wrapped, (0, 0), blur_px), np.float32)[12:-12, 12:-12]
    return np.asarray(smooth / smooth.std(), np.float32)


def scene(height: int = SIZE[0], width: int = SIZE[1], seed: int = 0) -> Rgb:
    """Return blobs with contrast everywhere, so that their motion can be followed."""
    return np.clip(127 + 40 * smooth_noise((height, width), seed, 2.5), 30, 225).astype(np.uint8)


def flat(level: int, size: tuple[int, int] = SIZE) -> Rgb:
    return np.full((*size, 3), level, np.uint8)


def flickering(image: Rgb, number: int) -> Rgb:
    """Return what a network might make of an image that decides anew in every frame."""
    noise = 12 * smooth_noise((image.shape[0], image.shape[1]), 1000 + number, 1)
    return np.asarray(np.clip(image + 20 + noise, 0, 255), np.uint8)


def differences(image: Rgb, other: Rgb) -> npt.NDArray[np.int64]:
    return np.asarray(np.abs(np.asarray(image, np.int64) - other), np.int64)


def moved(image: Rgb, right: int) -> Rgb:
    return np.roll(image, right, axis=1)


@pytest.mark.parametrize("amount", [-0.1, 1.01, float("nan")])
def test_an_amount_outside_nought_to_one_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match=r"steady is .*, not within 0\.\.1"):
        Steady(amount)
    steady = Steady(0.5)
    with pytest.raises(ValueError, match=r"steady is .*, not within 0\.\.1"):
        steady.amount = amount
    assert steady.amount == 0.5


def test_off_gives_the_very_image_of_the_network() -> None:
    steady = Steady(0)
    for number in range(3):
        out = flickering(scene(), number)
        assert steady.steady(scene(), out) is out


def test_the_first_image_comes_back_as_it_is() -> None:
    out = flickering(scene(), 0)
    assert np.array_equal(Steady(1).steady(scene(), out), out)


@pytest.mark.parametrize(("amount", "least", "most"), [(0.5, 0.6, 0.8), (1.0, 0.3, 0.5)])
def test_flicker_over_a_still_scene_shrinks_by_the_amount(amount: float, least: float, most: float) -> None:
    steady, image = Steady(amount), scene()
    raw = [flickering(image, number) for number in range(24)]
    held = [steady.steady(image, out) for out in raw]
    ratio = np.std(held[8:], axis=0).mean() / np.std(raw[8:], axis=0).mean()
    assert least < ratio < most


@pytest.mark.parametrize(("detail", "least", "most"), [("network", 0.3, 0.6), ("keep", 1.2, 2.5)])
def test_a_painted_image_is_held_whole_as_its_change_brings_noise_back(
    detail: Detail, least: float, most: float
) -> None:
    steady, image = Steady(1), scene()
    raw, held = [], []
    for number in range(24):  # the painting is calm, what the camera sees is not
        seen = np.clip(image + 6 * smooth_noise(SIZE, number, 1), 0, 255).astype(np.uint8)
        raw.append(np.clip(image + 20 + 3 * smooth_noise(SIZE, 500 + number, 2), 0, 255).astype(np.uint8))
        held.append(steady.steady(seen, raw[-1], detail))
    ratio = np.std(held[8:], axis=0).mean() / np.std(raw[8:], axis=0).mean()
    assert least < ratio < most


def test_a_faint_object_leaves_no_ghost_in_a_whole_image() -> None:
    steady, ground, ghost = Steady(1), scene(), 0.0
    for step in range(10):
        seen, x = ground.copy(), 16 + 6 * step
        seen[20:50, x : x + 20] += np.uint8(14)
        behind = differences(steady.steady(seen, seen, "network"), seen)[20:50, max(0, x - 24) : x]
        ghost = max(ghost, float(cv2.blur(behind.mean(axis=2).astype(np.float32), (5, 5)).max()))
    assert ghost < 5


def test_another_detail_starts_afresh() -> None:
    steady, image = Steady(1), scene() // 12  # so dark that the change and the image are nearly alike
    details: list[Detail] = ["keep", "keep", "network", "network", "keep"]
    outs = [flickering(image, number) for number in range(5)]
    found = [steady.steady(image, out, detail) for out, detail in zip(outs, details, strict=True)]
    same = [np.array_equal(image, out) for image, out in zip(found, outs, strict=True)]
    assert same == [True, False, True, False, True]


def test_the_change_travels_with_the_scene_and_stays_sharp() -> None:
    steady, image = Steady(1), scene()
    mark = np.zeros((*SIZE, 1), np.uint8)
    mark[::8] = mark[:, ::8] = 24  # thin lines: averaging them without following them would smear them
    marked = image + mark
    for step in range(12):
        found = steady.steady(moved(image, 2 * step), moved(marked, 2 * step))
        inner = (slice(4, -4), slice(30, -8))  # what wraps around comes from nowhere
        assert differences(found, moved(marked, 2 * step))[inner].mean() < 1.2


def test_flicker_over_a_moving_scene_shrinks() -> None:
    steady, image = Steady(1), scene()
    errors = {"raw": 0.0, "held": 0.0}
    ideal = image.astype(float) + 20
    for step in range(20):
        out = moved(flickering(image, step), 2 * step)
        held = steady.steady(moved(image, 2 * step), out)
        if step >= 4:
            truth = np.clip(np.roll(ideal, 2 * step, axis=1), 0, 255)
            errors["raw"] += np.abs(out - truth)[4:-4, 34:-4].mean()
            errors["held"] += np.abs(held - truth)[4:-4, 34:-4].mean()
    assert errors["held"] < 0.6 * errors["raw"]


def test_another_scene_starts_afresh() -> None:
    before, after = flat(90), flat(90)
    before[:, :48], after[:, :48] = 40, 200  # one half stays: it alone could be followed
    steady = Steady(1)
    steady.steady(before, flickering(before, 0))
    out = flickering(after, 1)
    assert np.array_equal(steady.steady(after, out), out)


def test_another_size_starts_afresh() -> None:
    steady = Steady(1)
    for size in ((64, 96), (16, 16), (96, 64), (160, 288)):
        image = scene(*size)
        for number in range(2):
            out = flickering(image, number)
            found = steady.steady(image, out)
            assert found.shape == image.shape
            assert np.array_equal(found, out) == (number == 0)


def test_after_a_reset_the_next_image_comes_back_as_it_is() -> None:
    steady, image = Steady(1), scene()
    steady.steady(image, flickering(image, 0))
    steady.reset()
    out = flickering(image, 1)
    assert np.array_equal(steady.steady(image, out), out)


def test_a_image_shown_again_and_again_settles_on_its_own_translation() -> None:
    steady, image = Steady(1), scene()
    steady.steady(image, flickering(image, 0))
    out = flickering(image, 1)
    shown = [steady.steady(image, out) for _ in range(100)]
    assert differences(shown[0], out).max() > 5
    for found in shown[40:]:
        assert np.array_equal(found, out)


def test_small_changes_arrive_because_the_state_is_not_rounded() -> None:
    steady, image = Steady(1), flat(100)
    steady.steady(image, flat(120))
    assert np.array_equal([steady.steady(image, flat(121)) for _ in range(8)][-1], flat(121))


def test_black_images_are_steadied_like_others() -> None:
    steady, black = Steady(1), flat(0)
    for number in range(4):
        assert np.array_equal(steady.steady(black, flat(0)), black), number
    assert np.array_equal(steady.steady(black, flat(8)), flat(2))


def test_a_fade_from_black_shows_the_image_not_the_black_before() -> None:
    steady, out = Steady(1), scene() // 6 + 10
    steady.steady(flat(0), flat(0))
    image = np.asarray(scene() // 6 + 20, np.uint8)  # too dark for a cut, but nothing to follow either
    assert differences(steady.steady(image, out), out).max() <= 1


def test_after_a_gap_a_image_that_cannot_be_followed_starts_afresh() -> None:
    before, after = (scene(seed=seed) // 3 * 2 + 40 for seed in (1, 2))  # too alike in brightness for a cut
    steady = Steady(1)
    steady.steady(before, before + 20)
    assert np.array_equal(steady.steady(after, after - 20), after - 20)


def test_only_what_cannot_be_followed_is_shown_as_the_network_made_it() -> None:
    before, after = scene(), scene()
    before[20:40, 20:50], after[20:40, 20:50] = 0, 200  # a lamp goes on
    steady = Steady(1)
    steady.steady(before, before + 16)
    held = differences(steady.steady(after, after + 4), after + 4)
    assert held[23:37, 23:47].max() == 0
    assert held[4:14, 76:].min() == 9  # three quarters of the change before, a quarter of this one


def test_another_change_of_the_same_scene_is_no_flicker_and_leaves_no_ghost() -> None:
    steady, image = Steady(1), scene()
    halo = np.asarray(image + 20, np.uint8)
    halo[20:44, 30:60] -= 60  # what a network makes dark around an object
    for _ in range(8):
        steady.steady(image, halo)
    found = differences(steady.steady(image, image + 20), image + 20)
    assert found[23:41, 33:57].max() == 0
    for levels, held in ((10, 7.5), (20, 7.5), (27, 1.3), (28, 0)):  # all, half, hardly any, none of it
        steady = Steady(1)
        steady.steady(flat(100), flat(150))
        shown = differences(steady.steady(flat(100), flat(150 - levels)), flat(150 - levels))
        assert abs(shown - held).max() <= 0.5, levels


def test_the_result_never_leaves_the_levels() -> None:
    steady = Steady(1)
    for image, out in ((flat(250), flat(255)), (flat(252), flat(255)), (flat(255), flat(255))):
        found = steady.steady(image, out)
    assert np.array_equal(found, flat(255))
    for image, out in ((flat(5), flat(0)), (flat(2), flat(0)), (flat(0), flat(0))):
        found = steady.steady(image, out)
    assert np.array_equal(found, flat(0))


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1), (8, 64), (16, 4), (11, 11), (12, 12), (16, 16)])
def test_the_smallest_images_are_steadied_too(size: tuple[int, int]) -> None:
    steady, image = Steady(1), flat(100, size)
    assert np.array_equal(steady.steady(image, flat(140, size)), flat(140, size))
    assert np.array_equal(steady.steady(image, flat(132, size)), flat(138, size))


def test_the_amount_changes_without_a_jump() -> None:
    image = flat(100)
    shown = []
    steady = Steady(1)
    for amount in [1.0] * 8 + [0.6] * 8 + [1.0] * 8 + [0.0] * 4 + [0.3] * 8:
        steady.amount = amount
        shown.append(int(steady.steady(image, flat(140))[0, 0, 0]))
    assert set(shown) == {140}
    flickers = Steady(0.4)
    before = flickers.steady(image, flat(140))
    flickers.amount = 1
    assert differences(flickers.steady(image, flat(148)), before).max() == 2  # a quarter of 8, at once
    flickers.amount = 0
    flickers.steady(image, flat(200))
    flickers.amount = 1
    assert np.array_equal(flickers.steady(image, flat(120)), flat(120))  # what was before is forgotten


def test_streams_do_not_know_each_other_and_nothing_given_or_returned_is_touched() -> None:
    first, second, alone = Steady(1), Steady(1), Steady(1)
    kept: list[tuple[Rgb, Rgb]] = []
    for number in range(5):
        image, out = moved(scene(), number), flickering(moved(scene(), number), number)
        copies = image.copy(), out.copy()
        found = first.steady(image, out)
        second.steady(scene(seed=7), flickering(scene(seed=7), number))
        assert np.array_equal(image, copies[0])
        assert np.array_equal(out, copies[1])
        assert np.array_equal(found, alone.steady(image, out))
        kept.append((found, found.copy()))
        image[:] = 0  # the caller may do with its images what it likes
        out[:] = 0
    for found, copy in kept[1:]:
        assert np.array_equal(found, copy)
