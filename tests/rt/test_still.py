"""Still scenes: the network rests while nothing moves."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from rt.backends import BackendInfo
from rt.backends.base import Computed
from rt.card import DETAILS, Detail
from rt.commands import Run
from rt.controls import Controls
from rt.frame import Frame
from rt.job import keeps_still
from rt.sources import Source
from rt.still import MOST_OFF, REFRESH_S, Still, moved
from rt.translator import Translator
from tests.support.onnx_styles import drawn_image

SIZE = (96, 160)
FPS = 30
Rgb = npt.NDArray[np.uint8]


def noisy(image: Rgb, sigma: float, seed: int) -> Rgb:
    grain = np.random.default_rng(seed).normal(0, sigma, image.shape)
    result: Rgb = np.clip(np.round(image + grain), 0, 255).astype(np.uint8)
    return result


def scene(size: tuple[int, int] = SIZE) -> Rgb:
    result: Rgb = drawn_image(*size) // 2 + np.uint8(40)
    return result


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (96, 160), (161, 215), (160, 288)])
@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_noise_is_no_motion(size: tuple[int, int], sigma: float) -> None:
    image = scene(size)
    assert not any(moved(noisy(image, sigma, 0), noisy(image, sigma, seed)) for seed in range(1, 6))


@pytest.mark.parametrize("at", [(0, 0), (40, 70), (88, 152), (3, 155)])
@pytest.mark.parametrize("levels", [-60, -25, 25, 60])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_something_small_that_comes_is_motion_wherever_it_is(
    at: tuple[int, int], levels: int, sigma: float
) -> None:
    other = scene().astype(int)
    other[at[0] : at[0] + 8, at[1] : at[1] + 8] += levels
    after = noisy(np.clip(other, 0, 255).astype(np.uint8), sigma, 1)
    assert moved(noisy(scene(), sigma, 0), after)


def test_a_camera_that_pans_by_a_pixel_is_motion() -> None:
    assert moved(scene()[:, :-1], scene()[:, 1:])


def test_light_that_grows_is_seen_before_it_is_two_levels() -> None:
    assert not moved(scene(), scene() + np.uint8(1))
    assert moved(scene(), scene() + np.uint8(2))


def asked(still: Still, images: list[Rgb], made: list[Rgb], detail: Detail = "keep") -> list[bool]:
    found = []
    for index, (image, result) in enumerate(zip(images, made, strict=True)):
        found.append(still.ask(image, index / FPS))
        if found[-1]:
            still.keep(result, detail)
    return found


@pytest.mark.parametrize("detail", DETAILS)
def test_the_network_is_asked_twice_and_then_once_a_second(detail: Detail) -> None:
    count = 3 * FPS
    images = [scene()] * count
    found = asked(Still(), images, [255 - image for image in images], detail)
    times = [index for index, one in enumerate(found) if one]
    assert times == [0, 1, 1 + FPS, 1 + 2 * FPS]
    assert REFRESH_S == 1


@pytest.mark.parametrize(("off", "kept"), [(0, True), (1, False), (9, False)])
@pytest.mark.parametrize("detail", DETAILS)
def test_a_network_that_makes_something_else_each_time_is_asked_each_time(
    off: int, kept: bool, detail: Detail
) -> None:
    images = [scene()] * 12
    made = [image + np.uint8(off * (index % 2)) for index, image in enumerate(images)]
    assert asked(Still(), images, made, detail)[2:] == [not kept] * 10
    assert MOST_OFF < 1


def test_after_motion_it_is_asked_until_two_results_agree() -> None:
    other = scene()
    other[40:60, 40:60] = 255
    images = [scene()] * 4 + [other] * 4
    assert asked(Still(), images, images) == [True, True, False, False] * 2


class Counting:
    """A network on some device that counts how often it is asked, and takes a third of the noise over."""

    def __init__(self, device: str = "CPU (fake, 2 threads)", slots: int = 1) -> None:
        self.info = BackendInfo("counting", device, "exact", SIZE, slots)
        self.asked = 0

    def translate(self, rgb: Rgb) -> Rgb:
        self.asked += 1
        result: Rgb = (rgb // 3 + np.uint8(100)).astype(np.uint8)
        return result

    def start(self, rgb: Rgb) -> Computed:
        return Computed(self.translate(rgb))

    def close(self) -> None:
        pass


def frames(count: int, sigma: float = 0.7) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(noisy(scene(), sigma, index), index, Fraction(1, FPS), index)


@pytest.mark.parametrize("steady", [0.0, 1.0])
@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("slots", [1, 3])
def test_what_is_kept_is_within_a_level_of_what_the_network_makes(
    steady: float, detail: Detail, slots: int
) -> None:
    backend = Counting(slots=slots)
    translator = Translator(backend, Controls(steady=steady), detail, still=True)
    full = Translator(Counting(), Controls(steady=steady), detail)
    for found, exact in zip(
        translator.translate_all(frames(65)), full.translate_all(frames(65)), strict=True
    ):
        assert found.index == exact.index
        assert np.abs(found.rgb.astype(int) - exact.rgb).mean() <= 1
    assert backend.asked == 4
    assert translator.kept_share == pytest.approx(58 / 60)


@pytest.mark.parametrize(
    ("device", "still"), [("CPU (fake)", False), ("GPU (fake)", True), ("none (images are copied)", True)]
)
def test_files_and_what_no_cpu_computes_keep_every_frame(device: str, still: bool) -> None:
    backend = Counting(device)
    translator = Translator(backend, still=still)
    list(translator.translate_all(frames(20)))
    assert (backend.asked, translator.kept_share) == (20, None)


def test_strength_still_changes_each_frame_and_another_style_is_asked() -> None:
    controls, second = Controls(), Counting()
    translator = Translator(Counting(), controls, "keep", still=True)
    given = list(frames(8, sigma=0))
    strong = [translator.translate(frame) for frame in given[:4]][-1]
    controls.strength = 0.0
    assert np.array_equal(translator.translate(given[4]).rgb, given[4].rgb)
    assert not np.array_equal(strong.rgb, given[3].rgb)
    translator.switch(second)
    translator.translate(given[5])
    assert second.asked == 1


@pytest.mark.parametrize(
    ("typed", "live", "kept"),
    [("auto", True, True), ("auto", False, False), ("on", False, True), ("off", True, False)],
)
def test_live_sources_keep_it_and_files_only_where_asked(typed: str, live: bool, kept: bool) -> None:
    run = Run("0", "winter", still=typed)  # type: ignore[arg-type]
    assert keeps_still(run, cast(Source, SimpleNamespace(live=live))) is kept
