"""Generators of the papers, their parts, and the table of all generators by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def make_norm(norm: str, channels: int) -> list[nn.Module]:
    """Return the normalisation layers for `norm`: `instance`, `batch` or `none` (no layer)."""
    if norm == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
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


class ResnetGenerator(nn.Module):
    """The generator of CycleGAN: two halvings, residual blocks, two doublings.

    Takes and gives float32[N, 3, H, W] in [-1, 1]; H and W are multiples of 4.
    Source: Zhu et al. 2017, appendix 7.2 (after Johnson et al. 2016).
    """

    multiple = 4
    minimum_px = 16

    def __init__(self, width: int = 64, blocks: int = 9, norm: str = "instance") -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect"),
            *make_norm(norm, width),
            nn.ReLU(inplace=True),
        ]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
                *make_norm(norm, 2 * channels),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * width, norm) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1),
                *make_norm(norm, channels // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, picture: Tensor) -> Tensor:
        """Translate float32[N, 3, H, W] in [-1, 1] to the same shape and range."""
        translated: Tensor = self.model(picture)
        return translated


def start_weights(net: nn.Module) -> None:
    """Draw convolution weights from N(0, 0.02) and clear their biases, as the papers do."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def make_generator(name: str, norm: str = "instance") -> nn.Module:
    """Return the untrained generator of that name; see `GENERATORS`.

    Raises:
        KeyError: no generator has that name.
    """
    return GENERATORS[name](norm)


def count_parameters(net: nn.Module) -> int:
    """Return the number of trainable numbers in a network."""
    return sum(parameter.numel() for parameter in net.parameters())


def _hourglass(norm: str) -> nn.Module:
    from train.small import Hourglass

    net = Hourglass(norm=norm)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if norm == "none":
        _calm_residuals(net)
    net.start_from_identity()
    return net


def _calm_residuals(net: nn.Module) -> None:
    """Shrink the second convolution of every block: without normalisation the sum of blocks would grow."""
    for module in net.modules():
        if isinstance(module, ResidualBlock):
            second = module.body[-1]
            with torch.no_grad():
                second.weight.mul_(0.1)  # type: ignore[operator]


def _resnet(width: int, blocks: int, norm: str) -> nn.Module:
    net = ResnetGenerator(width, blocks, norm)
    start_weights(net)
    return net


GENERATORS: dict[str, Callable[[str], nn.Module]] = {
    "hg48": _hourglass,
    "resnet6": lambda norm: _resnet(64, 6, norm),
    "resnet9": lambda norm: _resnet(64, 9, norm),
}
"""Untrained generators by name: Hourglass 48/96, ResNet with 6 and 9 blocks."""
