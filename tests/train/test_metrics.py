"""What a translation is worth: distances, pairs, steadiness, the two-domain classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rt.frame import Rgb
from tests.support.drawings import COLOURS, draw_image, make_domains
from train.data.images import load_images
from train.errors import DataError
from train.metrics import translation as metrics
from train.metrics.distances import lab_distance, random_kid, sliced_wasserstein


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


def drawn(count: int, side: int = 64, domain: str = "B", first_seed: int = 0) -> list[Rgb]:
    return [draw_image(side, side, first_seed + seed, COLOURS[domain]) for seed in range(count)]


def test_every_distance_sees_a_colour_shift_and_is_small_between_halves_of_one_set() -> None:
    reals, others = drawn(24), drawn(24, first_seed=100)
    shifted = [(rgb // 2).astype(np.uint8) for rgb in others]
    for name, distance in metrics.DISTANCES.items():
        near, far = distance(others, reals), distance(shifted, reals)
        assert far > 5 * abs(near), name
    assert lab_distance(reals, reals) == 0.0
    assert sliced_wasserstein(reals, reals) == 0.0


def test_distances_take_small_images_and_refuse_tiny_ones() -> None:
    small = drawn(8, side=16)
    assert sliced_wasserstein(small, small) == 0.0
    assert sliced_wasserstein(drawn(8, 16, "A"), small) > 1.0
    assert random_kid(drawn(8, 16, "A"), small) > random_kid(drawn(8, 16, first_seed=50), small)
    with pytest.raises(DataError, match="images of 6 px are too small to compare: needed are 7"):
        sliced_wasserstein(drawn(2, side=6), small)


def test_the_domain_classifier_tells_the_domains_apart(tmp_path: Path) -> None:
    folder = make_domains(tmp_path)
    domain_A, domain_B = (load_images(folder / f"train{domain}", 64).images for domain in "AB")
    before = torch.get_rng_state()
    classifier = metrics.train_domain_classifier(domain_A, domain_B, steps=15)
    assert torch.equal(torch.get_rng_state(), before)  # a run's own randomness is left alone
    tests = [load_images(folder / f"test{domain}", 64).images for domain in "AB"]
    assert metrics.share_classified_as_target(classifier, tests[0]) == 0.0
    assert metrics.share_classified_as_target(classifier, tests[1]) == 1.0
    measured = metrics.measure_translation(tests[0], tests[1], tests[1], classifier)
    assert measured["classified_as_target"] == {"translated": 1.0, "floor": 1.0, "ceiling": 0.0}
    assert measured["lab"]["ceiling"] > 20 > measured["lab"]["translated"]
    assert measured["compared"] == 3


def test_images_from_noise_stand_between_other_reals_and_pure_noise() -> None:
    measured = metrics.measure_drawn(drawn(6, 32, first_seed=200), drawn(12, 32))
    for name in ("swd", "lab", "rkid"):
        assert measured[name]["floor"] < measured[name]["ceiling"] / 3, name
        assert measured[name]["translated"] < measured[name]["ceiling"] / 3, name
    assert measured["compared"] == 6


def test_pairs_are_compared_value_for_value_between_themselves_and_the_input() -> None:
    wanted = [np.full((32, 32, 3), 100, np.uint8), np.full((24, 40, 3), 100, np.uint8)]
    inputs = [(rgb + 51).astype(np.uint8) for rgb in wanted]
    translated = [(wanted[0] + 2).astype(np.uint8), (wanted[1] + 4).astype(np.uint8)]
    measured = metrics.measure_pairs(inputs, translated, wanted)
    assert measured["l1"] == {"translated": 3.0, "floor": 0.0, "ceiling": 51.0}
    expected = np.mean([20 * np.log10(255 / 2), 20 * np.log10(255 / 4)])
    assert measured["psnr"]["translated"] == pytest.approx(expected, abs=1e-3)
    assert measured["psnr"]["floor"] == 100.0
    assert measured["psnr"]["ceiling"] == pytest.approx(20 * np.log10(255 / 51), abs=1e-3)
    for name in ("ssim", "ms_ssim"):
        assert measured[name]["floor"] == 1.0
        assert 1.0 > measured[name]["translated"] > measured[name]["ceiling"]
    assert measured["compared"] == 2


def test_what_is_no_pair_is_refused() -> None:
    one, two = drawn(1), drawn(2)
    with pytest.raises(DataError, match="1 inputs, 2 translations and 2 wanted images cannot be compared"):
        metrics.measure_pairs(one, two, two)
    with pytest.raises(DataError, match="needed are equally many, at least one"):
        metrics.measure_pairs([], [], [])
    with pytest.raises(DataError, match="an image of 32×32 cannot be compared with one of 64×64"):
        metrics.measure_pairs(one, drawn(1, side=32), one)


def test_a_generator_is_as_steady_as_it_moves_with_its_input() -> None:
    images = drawn(3, 96, "A")
    stuck = torch.zeros(1, 3, 96, 96)
    stuck[..., ::8] = 0.4  # stripes on the screen

    def shimmering(x: Tensor) -> Tensor:
        return (x + stuck).clamp(-1, 1)

    def measure(translate: object) -> dict[str, float]:
        found: dict[str, float] = metrics.measure_steadiness(translate, images)["warping"]  # type: ignore[arg-type]
        return found

    identity = measure(lambda x: x)
    assert identity["translated"] == identity["floor"]
    assert 0.0 < identity["floor"] < 6.0
    assert identity["ceiling"] > 2 * identity["floor"]
    inverted = measure(lambda x: -x)
    assert inverted["translated"] == pytest.approx(inverted["floor"], abs=1e-3)
    assert measure(shimmering)["translated"] > identity["translated"] + 4.0
    assert measure(lambda x: x) == identity  # seeded


def test_the_classifier_is_trained_no_longer_than_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    net = metrics._classifier()
    net.register_forward_hook(lambda *_: steps.append(1))
    monkeypatch.setattr(metrics, "_classifier", lambda: net)
    folder = make_domains(tmp_path)
    domain_A, domain_B = (load_images(folder / f"train{domain}", 64).images for domain in "AB")
    metrics.train_domain_classifier(domain_A, domain_B)
    assert 20 <= len(steps) < 150
