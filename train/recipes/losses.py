"""Loss terms: scalars in float32 whatever the precision of what they compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, softplus

from train.metrics.similarity import ssim


def lsgan_generator(fake_logits: Tensor) -> Tensor:
    """Least-squares generator loss: E[(D(fake) - 1)²]. Source: Mao et al. 2017, equation 9."""
    return (fake_logits.float() - 1.0).square().mean()


def lsgan_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Least-squares discriminator loss: ½E[(D(real) - 1)²] + ½E[D(fake)²]. Source: Mao et al. 2017."""
    return 0.5 * ((real_logits.float() - 1.0).square().mean() + fake_logits.float().square().mean())


def vanilla_generator(fake_logits: Tensor) -> Tensor:
    """Non-saturating generator loss: E[-log D(fake)]. Source: Goodfellow et al. 2014, section 3."""
    return softplus(-fake_logits.float()).mean()


def vanilla_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Cross entropy: E[-log D(real)] + E[-log(1 - D(fake))]. Source: Goodfellow et al. 2014, equation 1."""
    return softplus(-real_logits.float()).mean() + softplus(fake_logits.float()).mean()


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Hinge loss: E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))]. Source: Lim and Ye 2017, equation 8."""
    return (1.0 - real_logits.float()).relu().mean() + (1.0 + fake_logits.float()).relu().mean()


def critic_generator(fake_logits: Tensor) -> Tensor:
    """Generator loss of hinge and Wasserstein GANs: -E[D(fake)]."""
    return -fake_logits.float().mean()


def wgan_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Wasserstein critic loss: E[D(fake)] - E[D(real)]. Source: Arjovsky et al. 2017, equation 2."""
    return fake_logits.float().mean() - real_logits.float().mean()


class GanLoss(NamedTuple):
    """The two sides of an adversarial game."""

    generator: Callable[[Tensor], Tensor]
    """Takes the logits of fakes."""
    discriminator: Callable[[Tensor, Tensor], Tensor]
    """Takes the logits of reals, then those of fakes."""


GAN_LOSSES = {
    "lsgan": GanLoss(lsgan_generator, lsgan_discriminator),
    "vanilla": GanLoss(vanilla_generator, vanilla_discriminator),
    "hinge": GanLoss(critic_generator, hinge_discriminator),
    "wgan-gp": GanLoss(critic_generator, wgan_discriminator),
}
"""Adversarial losses by name; wgan-gp needs `gradient_penalty` beside them."""


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: torch.Generator
) -> Tensor:
    """E[(|grad D(x)| - 1)²] at random points between reals and fakes, to be weighted by 10.

    Source: Gulrajani et al. 2017, equation 3.

    Args:
        critic: takes float32[N, C, H, W], gives logits of any shape; those of one image are averaged.
        real: float32[N, C, H, W].
        fake: the same; its gradient is not followed.
        rng: CPU generator of the places between them.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=rng).to(real.device)
    between = (share * real + (1.0 - share) * fake).detach().requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):
        logits = critic(between).reshape(len(real), -1).mean(dim=1)
        (slope,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
    lengths: Tensor = slope.flatten(1).norm(dim=1)
    return (lengths - 1.0).square().mean()


def l1(found: Tensor, wanted: Tensor, beta: float = 0.0) -> Tensor:
    """Mean absolute difference, quadratic below `beta`, in float32 whatever the images' precision.

    With `beta` 0 this is plain L1. A generator that adds a change to its input can match its input exactly,
    and there the kink of L1 outweighs a young discriminator: it never leaves the identity. Quadratic near
    zero, the loss lets it go. Source of the form: Girshick 2015, equation 3 (smooth L1).
    """
    return torch.nn.functional.smooth_l1_loss(found.float(), wanted.float(), beta=beta)


def feature_matching(fake_features: Sequence[Tensor], real_features: Sequence[Tensor]) -> Tensor:
    """L1 between a discriminator's features of fake and real, each layer's mean counting the same.

    The gradient goes to the fake alone; the last entry, the logits, is left out. Source: Wang et al. 2018
    (pix2pixHD), equation 3.

    Args:
        fake_features: from `PatchDiscriminator.features`.
        real_features: the same of what the fake should look like.
    """
    pairs = list(zip(fake_features, real_features, strict=True))[:-1]
    return torch.stack([l1(fake, real.detach()) for fake, real in pairs]).mean()


def laplacian_l1(found: Tensor, wanted: Tensor, levels: int = 5) -> Tensor:
    """Sum over a Laplacian pyramid of each level's mean absolute difference; the last level is the rest.

    Levels are halved by 2×2 means and doubled bilinearly; an image too small for `levels` has fewer. Equal
    weights of means are weights of 4^level of sums. Source: Bojanowski et al. 2018, section 3.2 (Lap1).
    """
    rest = found.float() - wanted.float()  # every step is linear: one pyramid of the difference is enough
    total = rest.new_zeros(())
    for _ in range(levels - 1):
        if min(rest.shape[-2:]) < 2:
            break
        smaller = avg_pool2d(rest, 2)
        band = rest - interpolate(smaller, size=rest.shape[-2:], mode="bilinear", align_corners=False)
        total, rest = total + band.abs().mean(), smaller
    return total + rest.abs().mean()


def haar_high_l1(found: Tensor, wanted: Tensor, levels: int = 1) -> Tensor:
    """Mean absolute difference of the three high bands of a Haar transform, averaged over its levels.

    H and W are multiples of 2**levels. Source of the idea: Zhang et al. 2022 (wavelet distillation).
    """
    low = found.float() - wanted.float()
    total = low.new_zeros(())
    for _ in range(levels):
        top, bottom = low[..., 0::2, :], low[..., 1::2, :]
        a, b, c, d = top[..., 0::2], top[..., 1::2], bottom[..., 0::2], bottom[..., 1::2]  # [N, C, H/2, W/2]
        high = torch.stack([a - b + c - d, a + b - c - d, a - b - c + d])
        total, low = total + 0.5 * high.abs().mean(), 0.5 * (a + b + c + d)
    return total / levels


def ssim_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - SSIM: 0 for equal images."""
    return 1.0 - ssim(found, wanted)


def grid(change: Tensor, period_px: int = 4, window: int = 8) -> Tensor:
    """Energy of patterns that repeat every `period_px` pixels in float32[N, 3, H, W]; H, W multiples of it.

    Blocks of period_px² pixels are averaged over windows of `window`² blocks, less each block's mean: what
    is left is what neighbouring blocks have in common. Texture that does not repeat averages out; the block
    patterns of PixelShuffle do not.
    """
    blocks = torch.nn.functional.pixel_unshuffle(change.float(), period_px)  # [N, 3 * P², H/P, W/P]
    count, _, height, width = blocks.shape
    blocks = blocks.reshape(count, change.shape[1], period_px**2, height, width)  # [N, 3, P², H/P, W/P]
    patterns = (blocks - blocks.mean(dim=2, keepdim=True)).flatten(1, 2)  # [N, 3 * P², H/P, W/P]
    return avg_pool2d(patterns, window, ceil_mode=True).square().mean()
