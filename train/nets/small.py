"""Small generators: fast enough for live video on a CPU."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from train.nets.layers import (
    BinomialBlur,
    Generator,
    ResidualBlock,
    SoftKuwahara,
    calm_residuals,
    init_for_relu,
    init_icnr,
    init_weights,
    make_norm,
)

WAY_BACK = 0.1
"""Share of a gradient that is passed on beyond the range; whole ones cost small runs 1.2 dB."""


class _Clip(torch.autograd.Function):
    """Clip to [-1, 1]; beyond the range a share of the gradients that lead back into it is passed on.

    A pixel that an early step drove out of the range would otherwise have no gradient, and never come back.
    """

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return torch.clamp(x, -1.0, 1.0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        beyond = WAY_BACK * (gradient * x > 0.0)
        passed: Tensor = gradient * torch.where(x.abs() <= 1.0, 1.0, beyond)
        return passed


class FoldedGenerator(Generator):
    """Work on the image folded to 1/4 with PixelUnshuffle, and unless `finish` says otherwise change it.

    Detail the network need not touch stays exact then. A fixed binomial blur after the unfolding takes the
    patterns of period 2 out of the change and halves those of period 4, the block patterns that PixelShuffle
    is prone to.
    """

    head: nn.Sequential

    def __init__(self) -> None:
        super().__init__()
        self.blur = BinomialBlur(3)

    def finish(self, image: Tensor, features: Tensor) -> Tensor:
        """Turn float[N, C, H/4, W/4] features into a change, add it to the first three channels, and clip."""
        whole = image[:, :3] + self.blur(self.head(features))  # [N, 3, H, W]
        if not self.training:
            return torch.clamp(whole, -1.0, 1.0)
        clipped: Tensor = _Clip.apply(whole)  # type: ignore[no-untyped-call]
        return clipped

    def init(self, how: str, norm: str) -> None:
        """Draw the weights; `how` says how the last convolution starts: identity (at zero) or icnr."""
        init_for_relu(self)
        if norm == "none":
            calm_residuals(self)
        last = cast(nn.Conv2d, self.head[-2])
        if how == "icnr":
            init_icnr(last, 4)
            return
        for parameter in last.parameters():
            nn.init.zeros_(parameter)


class Hourglass(FoldedGenerator):
    """One block at 1/4 of the image, six at 1/8, and a skip between.

    Takes float32[N, channels_in, H, W] in [-1, 1], gives three channels; H and W are multiples of 8.
    """

    multiple = 8
    minimum_px = 16

    def __init__(
        self,
        norm: str = "instance",
        *,
        channels_in: int = 3,
        width: int = 48,
        blocks: int = 6,
        init: str = "identity",
    ) -> None:
        super().__init__()
        eighth = 2 * width
        self.fold = nn.Sequential(*_fold(channels_in, width, norm), ResidualBlock(width, norm))
        self.down = nn.Sequential(
            nn.Conv2d(width, eighth, 3, stride=2, padding=1),
            *make_norm(norm, eighth),
            nn.ReLU(inplace=True),
        )
        self.body = nn.Sequential(*(ResidualBlock(eighth, norm) for _ in range(blocks)))
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            nn.Conv2d(eighth, width, 3, padding=1, padding_mode="reflect"),
            *make_norm(norm, width),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 48, 3, padding=1, padding_mode="reflect"),
            nn.PixelShuffle(4),
        )
        self.init(init, norm)

    def forward(self, image: Tensor) -> Tensor:
        """Translate an image."""
        quarter = self.fold(image)  # [N, C, H/4, W/4]
        return self.finish(image, quarter + self.up(self.body(self.down(quarter))))


class DrawingHourglass(Hourglass):
    """The hourglass where the output shares no pixels with the input: labels or lines become an image.

    Nothing of the input is added, so none of its sharp edges is left over; the last convolution starts
    without a block pattern.
    """

    def __init__(self, norm: str = "instance", *, channels_in: int = 3, width: int = 48) -> None:
        super().__init__(norm, channels_in=channels_in, width=width, init="icnr")

    def finish(self, image: Tensor, features: Tensor) -> Tensor:
        """Turn float[N, C, H/4, W/4] features into an image; the input is left out."""
        drawn: Tensor = torch.tanh(self.blur(self.head(features)))
        return drawn


class PaintingHourglass(Hourglass):
    """The hourglass on an image that a fixed filter has flattened into dabs: photos become paintings.

    Small networks blur where they have to leave detail out; the filter leaves it out and keeps edges crisp:
    palette and brushwork remain to be learned. Before training it gives the flattened image.
    """

    def __init__(
        self, norm: str = "instance", *, channels_in: int = 3, width: int = 48, init: str = "identity"
    ) -> None:
        super().__init__(norm, channels_in=channels_in, width=width, init=init)
        self.flatten = SoftKuwahara()

    def forward(self, image: Tensor) -> Tensor:
        """Translate an image; channels beyond its three are passed on as they are."""
        flat = self.flatten(image[:, :3])
        return super().forward(torch.cat([flat, image[:, 3:]], dim=1) if image.shape[1] > 3 else flat)


class FlatHourglass(PaintingHourglass):
    """The hourglass on the flattened image that sees the image itself, too: photos become drawings.

    What it changes is flat already; where lines run it reads off the image, which has them.
    """

    def __init__(
        self, norm: str = "instance", *, channels_in: int = 3, width: int = 48, init: str = "identity"
    ) -> None:
        super().__init__(norm, channels_in=channels_in + 3, width=width, init=init)

    def forward(self, image: Tensor) -> Tensor:
        """Translate an image; channels beyond its three are passed on as they are."""
        return Hourglass.forward(self, torch.cat([self.flatten(image[:, :3]), image], dim=1))


class Quarter(FoldedGenerator):
    """Six blocks at 1/4 of the image: simpler and quicker than the hourglass, with a smaller view.

    Takes float32[N, channels_in, H, W] in [-1, 1], gives three channels; H and W are multiples of 4.
    """

    multiple = 4
    minimum_px = 16

    def __init__(
        self,
        norm: str = "instance",
        *,
        channels_in: int = 3,
        width: int = 48,
        blocks: int = 6,
        init: str = "identity",
    ) -> None:
        super().__init__()
        self.fold = nn.Sequential(*_fold(channels_in, width, norm))
        self.body = nn.Sequential(*(ResidualBlock(width, norm) for _ in range(blocks)))
        self.head = nn.Sequential(
            nn.Conv2d(width, 48, 3, padding=1, padding_mode="reflect"), nn.PixelShuffle(4)
        )
        self.init(init, norm)

    def forward(self, image: Tensor) -> Tensor:
        """Translate an image."""
        return self.finish(image, self.body(self.fold(image)))


def _fold(channels_in: int, width: int, norm: str) -> list[nn.Module]:
    return [
        nn.PixelUnshuffle(4),
        nn.Conv2d(16 * channels_in, width, 3, padding=1, padding_mode="reflect"),
        *make_norm(norm, width),
        nn.ReLU(inplace=True),
    ]


class MobileResnet(Generator):
    """CycleGAN's ResNet with nine blocks of separable convolutions, 16 channels wide: the common control.

    Takes float32[N, channels_in, H, W] in [-1, 1], gives three channels; H and W are multiples of 4.
    Source: Li et al. 2020 (GAN Compression), section 3.2; the student of Ren et al. 2021 (OMGD).
    """

    multiple = 4
    minimum_px = 16

    def __init__(
        self, norm: str = "instance", *, channels_in: int = 3, width: int = 16, blocks: int = 9
    ) -> None:
        super().__init__()

        def normed(channels: int) -> list[nn.Module]:
            return [*make_norm(norm, channels, affine=False), nn.ReLU(inplace=True)]

        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels_in, width, 7),
            *normed(width),
        ]
        for channels in (width, 2 * width):
            layers += [nn.Conv2d(channels, 2 * channels, 3, 2, 1), *normed(2 * channels)]
        layers += [_SeparableBlock(4 * width, norm) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            double = nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1)
            layers += [double, *normed(channels // 2)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Translate an image."""
        translated: Tensor = self.model(image)
        return translated


class _SeparableBlock(nn.Module):
    """A residual block whose 3×3 convolutions see one channel each and whose 1×1 convolutions mix them."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()

        def separable() -> list[nn.Module]:
            return [
                nn.ReflectionPad2d(1),
                nn.Conv2d(channels, channels, 3, groups=channels),
                *make_norm(norm, channels, affine=False),
                nn.Conv2d(channels, channels, 1),
                *make_norm(norm, channels, affine=False),
            ]

        self.body = nn.Sequential(*separable(), nn.ReLU(inplace=True), *separable())

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.body(x)
        return x + change
