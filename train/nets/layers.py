"""Layers that several networks share, and how their weights start."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """A network from image to image: float32[N, C, H, W] in [-1, 1] to float32[N, 3, H, W] in [-1, 1]."""

    multiple: int
    """Height and width of an image are multiples of this, in pixels."""
    minimum_px: int
    """Smallest height and width, in pixels."""


def make_norm(norm: str, channels: int, affine: bool = True) -> list[nn.Module]:
    """Return the normalisation layers for `norm`: `instance`, `batch` or `none` (no layer).

    Args:
        norm: kind of normalisation.
        channels: channels of the features.
        affine: whether the instance norm learns a scale and a shift; the papers' code has neither.
    """
    if norm == "instance":
        return [nn.InstanceNorm2d(channels, affine=affine)]
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "none":
        return []
    raise ValueError(f"norm {norm!r} is not instance, batch or none")


class ResidualBlock(nn.Module):
    """Two reflect-padded 3×3 convolutions around a skip: x + f(x), float32[N, C, H, W]."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            *make_norm(norm, channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            *make_norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x + f(x)."""
        change: Tensor = self.body(x)
        return x + change


class BinomialBlur(nn.Module):
    """Blur every channel with the 3×3 binomial kernel, reflected at the edges; with stride 2 it halves.

    It takes out what repeats every two pixels. Source of the halving: Zhang 2019, section 3.2.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride
        tap = torch.tensor([0.25, 0.5, 0.25])
        self.kernel: Tensor
        self.register_buffer(
            "kernel", torch.outer(tap, tap).expand(channels, 1, 3, 3).clone(), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Blur float[N, C, H, W]."""
        padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return nn.functional.conv2d(padded, self.kernel.to(x.dtype), stride=self.stride, groups=self.channels)


class SoftKuwahara(nn.Module):
    """Flatten images into dabs with crisp edges: a fixed filter without weights, made for live video.

    Every pixel becomes the mean of the four quarter discs around it, the calm ones far ahead of the others.
    Each quarter is a Gaussian cut along rows and columns, so that the means of all four take two passes; the
    sum of squares runs along as a fourth channel. Computed in float32 under autocast: the deviations are
    small differences.

    Source: Papari, Petkov and Campisi 2007 (Artistic edge and corner enhancing smoothing), with quarters.
    """

    SHARPNESS = 3
    """Squarings of a quarter's weight, 1 over 1 + its deviation: the power of 8 of the filter's source."""
    LEVELS = 127.5 / 3
    """The deviation over three channels in levels of 255."""

    def __init__(self, radius: int = 5) -> None:
        """Build the filter.

        Args:
            radius: of the discs in pixels, two deviations of the Gaussian; images are larger on both sides.
        """
        super().__init__()
        self.radius = radius
        steps = torch.arange(radius + 1.0)
        half = torch.exp(-2 * (steps / radius) ** 2)
        before = torch.cat([(half / half.sum()).flip(0), torch.zeros(radius)])
        both = torch.stack(
            [before, before.flip(0)]
        )  # float[2, 2R+1]: the half before a pixel and the one behind
        self.rows: Tensor
        self.columns: Tensor
        self.halves: Tensor
        self.quarters: Tensor
        fixed = {
            "rows": both.repeat(4, 1)[:, None, None, :],
            "columns": both.repeat_interleave(2, dim=0).repeat(4, 1)[:, None, :, None],
            "halves": torch.arange(4).repeat_interleave(2),
            "quarters": torch.arange(8).view(4, 1, 2).expand(4, 2, 2).flatten(),
        }
        for name, value in fixed.items():
            self.register_buffer(name, value.contiguous(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Flatten float[N, 3, H, W] in [-1, 1]."""
        with torch.autocast(image.device.type, enabled=False):
            return self._flatten(image.float()).to(image.dtype)

    def _flatten(self, image: Tensor) -> Tensor:
        seen = torch.cat([image, (image * image).sum(dim=1, keepdim=True)], dim=1)
        seen = nn.functional.pad(seen, (self.radius,) * 4, mode="reflect")
        # Each channel becomes two halves, and each pair of halves four quarters.
        means = nn.functional.conv2d(seen.index_select(1, self.halves), self.rows, groups=8)
        means = nn.functional.conv2d(means.index_select(1, self.quarters), self.columns, groups=16)
        red, green, blue, squares = means[:, :4], means[:, 4:8], means[:, 8:12], means[:, 12:]
        variance = squares - (red * red + green * green + blue * blue)
        unrest = 1.0 + self.LEVELS * torch.sqrt(torch.clamp(variance, min=0.0) + 1e-6)
        weight = unrest.amin(dim=1, keepdim=True) / unrest  # 1 for the calmest: the sum is never 0
        for _ in range(self.SHARPNESS):
            weight = weight * weight
        weight = weight / weight.sum(dim=1, keepdim=True)
        return torch.cat([(weight * mean).sum(dim=1, keepdim=True) for mean in (red, green, blue)], dim=1)


def init_weights(net: nn.Module) -> None:
    """Draw weights from N(0, 0.02), those of batch norms from N(1, 0.02), clear biases, as the papers do."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_for_relu(net: nn.Module) -> None:
    """Draw convolution weights that keep the size of the signal through ReLUs. Source: He et al. 2015."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def calm_residuals(net: nn.Module) -> None:
    """Shrink the second convolution of every block: without normalisation the sum of blocks would grow."""
    for module in net.modules():
        if isinstance(module, ResidualBlock):
            second = module.body[-1]
            with torch.no_grad():
                second.weight.mul_(0.1)  # type: ignore[operator]


def init_icnr(convolution: nn.Conv2d, factor: int, gain: float = 0.1) -> None:
    """Let the convolution before PixelShuffle(factor) start as one that is enlarged by nearest neighbour.

    All factor² channels of one output channel start equal, so that no block pattern is there from the start.
    Source: Aitken et al. 2017, section 4 (ICNR).
    """
    out, *rest = convolution.weight.shape
    drawn = torch.empty(out // factor**2, *rest)
    nn.init.kaiming_normal_(drawn, nonlinearity="relu")
    with torch.no_grad():
        convolution.weight.copy_(gain * drawn.repeat_interleave(factor**2, dim=0))
        if convolution.bias is not None:
            convolution.bias.zero_()
