"""How alike two images are: PSNR, SSIM, MS-SSIM.

All take float[N, C, H, W] with values in [-1, 1] and compute in float32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

WINDOW_PX, SIGMA_PX = 11, 1.5
"""The Gaussian window of SSIM."""
C1, C2 = (0.01 * 2.0) ** 2, (0.03 * 2.0) ** 2
"""SSIM's constants for values that span 2."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM's scales, finest first. Source: Wang et al. 2003, section 3.2."""
EQUAL_DB = 100.0
"""PSNR given for equal images, and the largest there is: JSON has no infinity."""


def psnr(found: Tensor, wanted: Tensor) -> float:
    """Peak signal-to-noise ratio of all values together, in dB, at most `EQUAL_DB`."""
    error = (found.float() - wanted.float()).square().mean().item()
    return EQUAL_DB if error == 0.0 else min(EQUAL_DB, 10.0 * math.log10(4.0 / error))


def ssim(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean structural similarity, 1 for equal images: a scalar with a gradient.

    Images smaller than the window are compared with a window of their own size.
    Source: Wang et al. 2004, equation 13, without padding.
    """
    similarity, _ = _ssim_maps(found.float(), wanted.float())
    return similarity.mean()


def ms_ssim(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean multi-scale structural similarity, 1 for equal images: a scalar with a gradient.

    Five scales where the shorter side allows it, that is from 176 px (the smallest image as large as the
    window); fewer with the weights of the others made to sum to 1. Source: Wang et al. 2003, equation 7.
    """
    found, wanted = found.float(), wanted.float()
    shorter = min(found.shape[-2:])
    scales = max(1, min(len(SCALE_WEIGHTS), 1 + int(math.log2(max(1.0, shorter / WINDOW_PX)))))
    weights = [weight / sum(SCALE_WEIGHTS[:scales]) for weight in SCALE_WEIGHTS[:scales]]
    product: Tensor | float = 1.0
    for number, weight in enumerate(weights):
        similarity, contrast = _ssim_maps(found, wanted)
        chosen = similarity if number == scales - 1 else contrast
        # Per image and channel; what is unlike enough to be negative counts as nothing, as in common code.
        product = product * chosen.mean(dim=(2, 3)).clamp_min(1e-6) ** weight
        found, wanted = (torch.nn.functional.avg_pool2d(image, 2) for image in (found, wanted))
    assert isinstance(product, Tensor)
    return product.mean()


def _ssim_maps(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM, and its contrast and structure part alone, at every place of the window."""
    count = found.shape[1]
    kernels = [_gaussian(side, found.device) for side in found.shape[-2:]]

    def local_mean(x: Tensor) -> Tensor:
        rows, columns = kernels
        x = torch.nn.functional.conv2d(x, rows.view(1, 1, -1, 1).repeat(count, 1, 1, 1), groups=count)
        return torch.nn.functional.conv2d(x, columns.view(1, 1, 1, -1).repeat(count, 1, 1, 1), groups=count)

    # Half precision would lose the variances, which are small differences of large numbers.
    with torch.autocast(found.device.type, enabled=False):
        mean_x, mean_y = local_mean(found), local_mean(wanted)
        variance_x = local_mean(found * found) - mean_x.square()
        variance_y = local_mean(wanted * wanted) - mean_y.square()
        covariance = local_mean(found * wanted) - mean_x * mean_y
        contrast = (2 * covariance + C2) / (variance_x + variance_y + C2)
        brightness = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return brightness * contrast, contrast


def _gaussian(side_px: int, device: torch.device) -> Tensor:
    length = min(WINDOW_PX, side_px)
    places = torch.arange(length, dtype=torch.float32, device=device) - (length - 1) / 2
    taps = torch.exp(-places.square() / (2 * SIGMA_PX**2))
    return taps / taps.sum()
