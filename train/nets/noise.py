"""Networks that draw images from noise, and their discriminators.

Generators take float32[N, z] noise from N(0, 1) and give float32[N, channels, side, side] in [-1, 1];
discriminators take such images and give float32[N] logits. With `classes` above 0 both also take labels,
int64[N]: the class enters the generator beside z and the discriminator beside the image (Mirza 2014).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from train.errors import RunError
from train.nets.layers import init_weights


class MlpGenerator(nn.Module):
    """Three hidden layers. Source: Goodfellow et al. 2014, section 5; with labels Mirza 2014, section 4.1."""

    def __init__(
        self, z: int = 100, side: int = 32, channels: int = 3, classes: int = 0, width: int = 256
    ) -> None:
        super().__init__()
        self.z, self.classes = z, classes
        self.model = nn.Sequential(
            nn.Linear(z + classes, width),
            nn.ReLU(),
            nn.Linear(width, 2 * width),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, 4 * width),
            nn.BatchNorm1d(4 * width),
            nn.ReLU(),
            nn.Linear(4 * width, channels * side * side),
            nn.Tanh(),
            nn.Unflatten(1, (channels, side, side)),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Draw one image for each row of z."""
        images: Tensor = self.model(torch.cat([z, *_one_hot(labels, self.classes)], dim=1))
        return images


class MlpDiscriminator(nn.Module):
    """Two hidden layers with dropout. Source: Goodfellow et al. 2014, section 5."""

    def __init__(self, side: int = 32, channels: int = 3, classes: int = 0, width: int = 256) -> None:
        super().__init__()
        self.classes = classes
        self.model = nn.Sequential(
            nn.Linear(channels * side * side + classes, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(2 * width, width),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(width, 1),
        )

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit per image."""
        flat = torch.cat([image.flatten(1), *_one_hot(labels, self.classes)], dim=1)
        logits: Tensor = self.model(flat)
        return logits.squeeze(1)


class DcganGenerator(nn.Module):
    """From a 4×4 projection of z doubled by transposed convolutions. Source: Radford et al. 2015, figure 1.

    `width` is the number of channels before the last convolution; `side` a power of two from 8.

    Raises:
        RunError: the side does not fit.
    """

    def __init__(
        self, z: int = 100, side: int = 64, channels: int = 3, classes: int = 0, width: int = 64
    ) -> None:
        super().__init__()
        self.z, self.classes = z, classes
        doublings = _doublings(side)
        across = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(z + classes, across, 4, bias=False)]
        for _ in range(doublings - 1):
            layers += [
                nn.BatchNorm2d(across),
                nn.ReLU(),
                nn.ConvTranspose2d(across, across // 2, 4, 2, 1, bias=False),
            ]
            across //= 2
        layers += [nn.BatchNorm2d(across), nn.ReLU(), nn.ConvTranspose2d(across, channels, 4, 2, 1)]
        self.model = nn.Sequential(*layers, nn.Tanh())
        init_weights(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Draw one image for each row of z."""
        known = torch.cat([z, *_one_hot(labels, self.classes)], dim=1)
        images: Tensor = self.model(known[:, :, None, None])  # [N, z + classes, 1, 1]
        return images


class DcganDiscriminator(nn.Module):
    """Strided convolutions, batch norm on all but the first. Source: Radford et al. 2015, section 3.

    Raises:
        RunError: the side does not fit.
    """

    def __init__(self, side: int = 64, channels: int = 3, classes: int = 0, width: int = 64) -> None:
        super().__init__()
        self.classes = classes
        layers: list[nn.Module] = [nn.Conv2d(channels + classes, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        across = width
        for _ in range(_doublings(side) - 1):
            layers += [
                nn.Conv2d(across, 2 * across, 4, 2, 1, bias=False),
                nn.BatchNorm2d(2 * across),
                nn.LeakyReLU(0.2),
            ]
            across *= 2
        self.model = nn.Sequential(*layers, nn.Conv2d(across, 1, 4), nn.Flatten(0))
        init_weights(self)

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit per image."""
        maps = (
            hot[:, :, None, None].expand(-1, -1, *image.shape[2:]) for hot in _one_hot(labels, self.classes)
        )
        logits: Tensor = self.model(torch.cat([image, *maps], dim=1))
        return logits


def _one_hot(labels: Tensor | None, classes: int) -> list[Tensor]:
    """Return the labels as float32[N, classes] in a list, or an empty list for a network without classes."""
    if (labels is None) != (classes == 0):
        raise ValueError(f"a network of {classes} classes was {'not ' if labels is None else ''}given labels")
    return [] if labels is None else [nn.functional.one_hot(labels, classes).float()]


def _doublings(side: int) -> int:
    """Return how often 4 pixels are doubled to `side`."""
    if side < 8 or side & (side - 1):
        raise RunError(f"a DCGAN draws no images of {side} px: needed is a power of two from 8")
    return int(math.log2(side)) - 2
