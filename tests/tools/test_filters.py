"""The filters that teach styles keep their promises."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rt.frame import Rgb
from tests.support.drawings import draw_image
from tools.gallery.filters import FILTERS, __main__
from tools.gallery.filters.drawing import to_float
from tools.gallery.filters.light import find_sky
from train.data.folders import PHOTOS
from train.data.images import image_paths, load_image, scale_short_side

SIDE = 128


def photo(name: str) -> Rgb:
    rgb = load_image(PHOTOS / f"{name}.jpg")
    assert rgb is not None
    return scale_short_side(rgb, SIDE)


def lab(rgb: Rgb) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(64, 64), (65, 97), (97, 66)])
def test_a_filter_gives_an_image_of_its_inputs_size_and_leaves_the_input(
    name: str, size: tuple[int, int]
) -> None:
    rgb = draw_image(*size, 3, (90, 140, 70))
    before = rgb.copy()
    found = FILTERS[name](rgb)
    assert found.shape == rgb.shape
    assert found.dtype == np.uint8
    assert np.array_equal(rgb, before)
    assert np.abs(found.astype(np.int16) - rgb).mean() > 2
    assert np.array_equal(FILTERS[name](rgb), found)


@pytest.mark.parametrize("name", FILTERS)
def test_black_and_white_images_stay_in_range(name: str) -> None:
    for level in (0, 255):
        plain = np.full((64, 64, 3), level, np.uint8)
        spread = np.ptp(FILTERS[name](plain).astype(np.int16), axis=(0, 1)).max()
        assert spread < (80 if name == "night" else 30)  # a plain white image is sky above: dark, or warmer


def test_a_pencil_draws_without_colour_and_light_where_the_photo_is_light() -> None:
    rgb = photo("astronaut")
    found = lab(FILTERS["pencil"](rgb))
    assert np.abs(found[..., 1:]).mean() < 3
    light = lab(rgb)[..., 0]
    assert found[..., 0][light > 80].mean() > found[..., 0][light < 30].mean() + 25


def test_a_comic_has_fewer_tones_and_stronger_colours() -> None:
    rgb = photo("coffee")
    found, before = lab(FILTERS["comic"](rgb)), lab(rgb)
    assert np.abs(found[..., 1:]).mean() > 1.15 * np.abs(before[..., 1:]).mean()
    steps, own = (np.abs(np.diff(x[..., 0], axis=1)) for x in (found, before))
    assert (steps < 0.3).mean() > (own < 0.3).mean() + 0.1
    assert np.percentile(steps, 99) > np.percentile(own, 99)


def test_autumn_turns_green_to_gold_and_leaves_a_face() -> None:
    rgb = photo("brook-trees")
    found, before = lab(FILTERS["autumn"](rgb)), lab(rgb)
    green = (before[..., 1] < -10) & (before[..., 2] > 10)
    assert green.mean() > 0.02
    assert found[..., 1][green].mean() > before[..., 1][green].mean() + 15
    face = photo("face")
    assert np.abs(FILTERS["autumn"](face).astype(np.int16) - face).mean() < 12


def test_night_is_dark_and_blue() -> None:
    rgb = photo("mountains")
    found, before = lab(FILTERS["night"](rgb)), lab(rgb)
    assert found[..., 0].mean() < 0.6 * before[..., 0].mean()
    assert found[..., 2].mean() < -5


def test_snow_lies_on_a_meadow_and_not_on_a_face() -> None:
    meadow = photo("autumn-slope")
    found, before = lab(FILTERS["winter"](meadow)), lab(meadow)
    green = (before[..., 1] < -12) & (before[..., 2] > 12)
    assert green.mean() > 0.05
    assert np.abs(found[..., 1:][green]).mean() < 8
    assert found[..., 0][green].mean() > before[..., 0][green].mean() + 20
    for name in ("face", "astronaut"):
        person = photo(name)
        assert np.abs(FILTERS["winter"](person).astype(np.int16) - person).mean() < 10


def test_the_sky_is_found_above_and_nowhere_in_a_face() -> None:
    sky = find_sky(to_float(photo("mountains")))
    assert sky[: SIDE // 8].mean() > 0.6
    assert sky[-SIDE // 4 :].mean() < 0.1


def test_pairs_are_written_as_training_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        cv2.imwrite(str(photos / f"{number}.png"), draw_image(70, 90, number, (90, 120, 60)))
    (photos / "6.png").write_bytes(b"damaged")
    words = ["filters", "pencil", str(photos), str(tmp_path / "out"), "--size", "64"]
    monkeypatch.setattr(sys, "argv", words)
    assert __main__.main() == 0
    found = {
        folder: [path.name for path in image_paths(tmp_path / "out" / folder)]
        for folder in ("trainA", "trainB", "testA", "testB")
    }
    assert found["trainA"] == found["trainB"] == ["0.png", "1.png", "2.png", "3.png", "5.png"]
    assert found["testA"] == found["testB"] == ["4.png"]
    gray = [*words[:3], str(tmp_path / "gray"), *words[4:], "--view", "gray"]
    monkeypatch.setattr(sys, "argv", gray)
    assert __main__.main() == 0
    before, after = (load_image(tmp_path / "gray" / folder / "0.png") for folder in ("trainA", "trainB"))
    assert before is not None
    assert after is not None
    assert np.ptp(before.astype(np.int16), axis=2).max() == 0
    wanted = load_image(tmp_path / "out" / "trainB" / "0.png")
    assert wanted is not None
    assert np.array_equal(after, wanted)
    monkeypatch.setattr(sys, "argv", [*words[:2], str(tmp_path / "none"), *words[3:]])
    assert __main__.main() == 1
