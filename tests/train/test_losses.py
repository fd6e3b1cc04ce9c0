"""Loss terms and likeness of images, against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from train.metrics.similarity import EQUAL_DB, ms_ssim, psnr, ssim
from train.recipes.losses import (
    GAN_LOSSES,
    feature_matching,
    gradient_penalty,
    haar_high_l1,
    laplacian_l1,
    ssim_loss,
)

REAL, FAKE = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("name", "generator", "discriminator"),
    [
        ("lsgan", (9.0 + 1.0) / 2, 0.5 * ((1.0 + 0.25) / 2 + (4.0 + 0.0) / 2)),
        ("hinge", 1.0, (0.0 + 0.5) / 2 + (0.0 + 1.0) / 2),
        (
            "vanilla",
            (softplus(2.0) + softplus(0.0)) / 2,
            (softplus(-2.0) + softplus(-0.5)) / 2 + (softplus(-2.0) + softplus(0.0)) / 2,
        ),
        ("wgan-gp", 1.0, -1.0 - 1.25),
    ],
)
def test_adversarial_losses_have_the_papers_values(name: str, generator: float, discriminator: float) -> None:
    loss = GAN_LOSSES[name]
    assert loss.generator(FAKE).item() == pytest.approx(generator)
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator)


def test_the_generator_of_the_vanilla_gan_does_not_saturate() -> None:
    hopeless = torch.tensor([-20.0], requires_grad=True)
    GAN_LOSSES["vanilla"].generator(hopeless).backward()  # type: ignore[no-untyped-call]
    assert hopeless.grad is not None
    assert hopeless.grad.item() == pytest.approx(-1.0, abs=1e-6)


def test_the_gradient_penalty_is_the_squared_distance_of_the_slope_from_one() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2)
    weight = torch.tensor(0.5, requires_grad=True)

    def critic(x: Tensor) -> Tensor:
        return weight * x.sum(dim=(1, 2, 3))  # its slope is 0.5 in each of 12 values

    penalty = gradient_penalty(critic, real, fake, rng)
    assert penalty.item() == pytest.approx((0.5 * math.sqrt(12) - 1.0) ** 2, rel=1e-5)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * (0.5 * math.sqrt(12) - 1.0) * math.sqrt(12), rel=1e-5)
    # Patch logits of one image are averaged: the same critic spread over four patches gives the same slope.
    spread = gradient_penalty(lambda x: critic(x)[:, None, None, None].expand(-1, 1, 2, 2), real, fake, rng)
    assert spread.item() == pytest.approx(penalty.item(), rel=1e-5)


def test_feature_matching_is_the_mean_over_layers_and_leaves_out_the_logits() -> None:
    fake = [torch.full((1, 2, 2), 1.0, requires_grad=True), torch.full((4,), 3.0), torch.tensor(100.0)]
    real = [torch.full((1, 2, 2), 1.5, requires_grad=True), torch.full((4,), 1.0), torch.tensor(0.0)]
    loss = feature_matching(fake, real)
    assert loss.item() == pytest.approx((0.5 + 2.0) / 2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert fake[0].grad is not None
    assert real[0].grad is None


def test_the_laplacian_pyramid_sees_a_shift_once_and_stripes_in_their_own_level() -> None:
    dark = torch.zeros(1, 3, 32, 32)
    assert laplacian_l1(dark + 0.25, dark).item() == pytest.approx(
        0.25
    )  # only the rest of the pyramid differs
    stripes = torch.tensor([0.5, -0.5]).repeat(16).expand(1, 3, 32, 32)
    assert laplacian_l1(stripes, dark).item() == pytest.approx(0.5)  # only the finest band differs
    assert laplacian_l1(stripes + 0.25, dark).item() == pytest.approx(0.75)
    # Halves of 2 px, two levels: the band is what bilinear doubling does not restore.
    edge = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)
    band, rest = (0.0 + 0.25 + 0.25 + 0.0) / 4, 0.5
    assert laplacian_l1(edge, torch.zeros(1, 1, 4, 4), levels=2).item() == pytest.approx(band + rest)


def test_the_haar_bands_see_detail_and_no_brightness() -> None:
    dark = torch.zeros(1, 1, 4, 4)
    assert haar_high_l1(dark + 0.7, dark).item() == pytest.approx(0.0, abs=1e-7)
    columns = torch.tensor([1.0, 0.0]).repeat(2).expand(1, 1, 4, 4)
    assert haar_high_l1(columns, dark).item() == pytest.approx((1.0 + 0.0 + 0.0) / 3)
    checkers = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(2, 2)[None, None]
    assert haar_high_l1(checkers, dark).item() == pytest.approx((0.0 + 0.0 + 1.0) / 3)
    wide = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 4, 4)
    assert haar_high_l1(wide, dark).item() == 0.0
    assert haar_high_l1(wide, dark, levels=2).item() == pytest.approx((0.0 + 2.0 / 3) / 2)


def test_ssim_of_flat_images_is_what_the_formula_says() -> None:
    x, y = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.25)
    c1 = (0.01 * 2) ** 2
    expected = (2 * 0.5 * 0.25 + c1) / (0.5**2 + 0.25**2 + c1)
    assert ssim(x, y).item() == pytest.approx(expected, rel=1e-4)
    assert ssim_loss(x, y).item() == pytest.approx(1 - expected, rel=1e-3)
    assert ssim_loss(x, x).item() == pytest.approx(0.0, abs=1e-6)


def test_ssim_of_one_window_is_the_formula_with_gaussian_moments() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(1, 1, 11, 11, generator=rng), torch.rand(1, 1, 11, 11, generator=rng)
    places = torch.arange(11) - 5.0
    taps = torch.exp(-places.square() / (2 * 1.5**2))
    weight = torch.outer(taps, taps) / taps.sum() ** 2
    mean_x, mean_y = (weight * x).sum(), (weight * y).sum()
    var_x, var_y = (weight * (x - mean_x) ** 2).sum(), (weight * (y - mean_y) ** 2).sum()
    covariance = (weight * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    expected = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    expected /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    assert ssim(x, y).item() == pytest.approx(expected.item(), abs=1e-5)


def test_ms_ssim_is_one_for_equals_falls_with_noise_and_has_a_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 180, 184, generator=rng) * 2 - 1
    noise = torch.randn(image.shape, generator=rng)
    assert ms_ssim(image, image).item() == pytest.approx(1.0, abs=1e-6)
    found = [ms_ssim(image + sigma * noise, image).item() for sigma in (0.05, 0.2, 0.8)]
    assert 1.0 > found[0] > found[1] > found[2] > 0.0
    flat = torch.full((1, 1, 180, 180), 0.5)
    c1 = (0.01 * 2) ** 2  # brightness counts at the coarsest of the five scales alone
    brightness = (2 * 0.5 * 0.25 + c1) / (0.5**2 + 0.25**2 + c1)
    assert ms_ssim(flat, flat / 2).item() == pytest.approx(brightness**0.1333, rel=1e-3)
    small = torch.rand(1, 3, 20, 20, generator=rng).requires_grad_(True)  # one scale: plain SSIM
    wanted = 0.8 * small.detach() + 0.1
    assert ms_ssim(small, wanted).item() == pytest.approx(ssim(small, wanted).item(), abs=1e-5)
    ms_ssim(small, wanted).backward()  # type: ignore[no-untyped-call]
    assert small.grad is not None


def test_psnr_counts_from_the_span_of_two_and_ends_at_a_number() -> None:
    wanted = torch.zeros(1, 3, 4, 4)
    assert psnr(wanted + 0.02, wanted) == pytest.approx(40.0, abs=1e-3)
    assert psnr(wanted, wanted) == EQUAL_DB == 100.0
