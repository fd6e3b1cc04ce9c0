"""Loss terms."""

from __future__ import annotations

import torch
from torch import Tensor


def lsgan_generator(fake_logits: Tensor) -> Tensor:
    """Least-squares generator loss: E[(D(fake) - 1)²]. Source: Mao et al. 2017, equation 9."""
    return (fake_logits.float() - 1.0).square().mean()


def lsgan_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Least-squares discriminator loss: ½E[(D(real) - 1)²] + ½E[D(fake)²]. Source: Mao et al. 2017."""
    return 0.5 * ((real_logits.float() - 1.0).square().mean() + fake_logits.float().square().mean())


def l1(found: Tensor, wanted: Tensor, beta: float = 0.0) -> Tensor:
    """Mean absolute difference, quadratic below `beta`, in float32 whatever the pictures' precision.

    With `beta` 0 this is plain L1. A generator that adds a change to its input can match its input exactly,
    and there the kink of L1 outweighs a young discriminator: it never leaves the identity. Quadratic near
    zero, the loss lets it go. Source of the form: Girshick 2015, equation 3 (smooth L1).
    """
    return torch.nn.functional.smooth_l1_loss(found.float(), wanted.float(), beta=beta)


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
    return torch.nn.functional.avg_pool2d(patterns, window, ceil_mode=True).square().mean()
