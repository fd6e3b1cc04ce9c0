"""Synthetic motion and noise: what a moving camera does to an image.

A generator that turns small movements into other images flickers on video. `equivariance` punishes that,
the student of a distillation learns from images moved like this, and `measure_steadiness` measures it.
Source: Eilertsen et al. 2019 (single-frame regularisation for temporally stable CNNs), section 3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

CELL_PX = 100
"""Side of the cells whose corners move on their own."""


def draw_flow(
    count: int,
    height: int,
    width: int,
    rng: torch.Generator,
    *,
    sigma_px: float = 8.0,
    shift_px: float = 10.0,
    zoom: float = 0.03,
) -> Tensor:
    """Draw a smooth motion for each image: float32[N, 2, H, W] in px, on the CPU.

    The motion at a pixel (x, then y) says how far from it that pixel's new value lies. N(0, sigma_px) at the
    corners of cells of 100 px, enlarged and blurred, plus one shift of up to ±shift_px each way and one zoom
    of up to ±zoom about the centre.
    """
    corners = (2, max(2, round(height / CELL_PX)), max(2, round(width / CELL_PX)))
    coarse = sigma_px * torch.randn(count, *corners, generator=rng)
    flow = interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
    flow = _box_blur(flow, min(CELL_PX // 2, height, width))
    shift = shift_px * (2.0 * torch.rand(count, 2, 1, 1, generator=rng) - 1.0)
    scale = zoom * (2.0 * torch.rand(count, 1, 1, 1, generator=rng) - 1.0)
    from_centre = _places(height, width) - torch.tensor([(width - 1) / 2, (height - 1) / 2]).view(2, 1, 1)
    return flow + shift + scale * from_centre


def warp(images: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Move float[N, C, H, W] images by a flow from `draw_flow`; mirrored at the edge.

    `mode` bicubic blurs less, and may leave the range of the images a little.
    """
    height, width = images.shape[-2:]
    places = _places(height, width).to(flow.device) + flow  # [N, 2, H, W], px
    size = torch.tensor([width, height], dtype=torch.float32, device=flow.device).view(2, 1, 1)
    looked_up = ((2.0 * places + 1.0) / size - 1.0).permute(0, 2, 3, 1)  # [N, H, W, 2] in [-1, 1]
    grid = looked_up.to(images.device)
    moved = grid_sample(images.float(), grid, mode=mode, padding_mode="reflection", align_corners=False)
    return moved.to(images.dtype)


def inside(flow: Tensor) -> Tensor:
    """Return float32[N, 1, H, W]: 1 where the flow looks inside the image, 0 where it meets the mirror."""
    height, width = flow.shape[-2:]
    x, y = (_places(height, width).to(flow.device) + flow).unbind(dim=1)
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).float()[:, None]


def disturb(
    images: Tensor, rng: torch.Generator, *, noise: float = 0.02, gain: float = 0.03, gamma: float = 0.03
) -> Tensor:
    """Add what a camera adds, to each image its own: float[N, C, H, W] in [-1, 1] in and out.

    On the scale of [0, 1]: gain and gamma up to ±3 %, noise N(0, sigma) with sigma from U(0, 0.02).
    """

    def drawn() -> Tensor:
        return torch.rand(len(images), 1, 1, 1, generator=rng).to(images)

    gains, gammas, sigmas = (
        1.0 + gain * (2.0 * drawn() - 1.0),
        1.0 + gamma * (2.0 * drawn() - 1.0),
        noise * drawn(),
    )
    levels = (0.5 * images + 0.5).clamp(1e-4, 1.0)
    levels = gains * levels**gammas + sigmas * torch.randn(images.shape, generator=rng).to(images)
    return (2.0 * levels - 1.0).clamp(-1.0, 1.0)


def equivariance(
    translate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: torch.Generator
) -> Tensor:
    """|G(W x + n) - W G(x)|, the mean over pixels that W takes from inside; to be weighted by 5 to 10.

    Args:
        translate: the generator G.
        real: x, float[N, 3, H, W] in [-1, 1].
        fake: G(x); its gradient is followed too.
        rng: CPU generator of motion and noise.
    """
    flow = draw_flow(len(real), real.shape[-2], real.shape[-1], rng).to(real.device)
    found = translate(disturb(warp(real, flow), rng))
    mask = inside(flow)
    difference = (found.float() - warp(fake, flow).float()).abs() * mask
    return difference.sum() / (mask.sum() * real.shape[1]).clamp_min(1.0)


def _places(height: int, width: int) -> Tensor:
    """Return float32[2, H, W]: the x and the y of every pixel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).float()


def _box_blur(flow: Tensor, side: int) -> Tensor:
    before, after = (side - 1) // 2, side // 2
    padded = torch.nn.functional.pad(flow, (before, after, before, after), mode="replicate")
    return avg_pool2d(avg_pool2d(padded, (side, 1), stride=1), (1, side), stride=1)
