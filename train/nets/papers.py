"""Generators of the papers: CycleGAN's residual network, pix2pix's U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.nets.layers import BinomialBlur, Generator, init_weights, make_norm


class ResnetBlock(nn.Module):
    """Two reflect-padded 3×3 convolutions around a skip, laid out as in the authors' code."""

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = norm != "batch"
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            *make_norm(norm, channels, affine=False),
            nn.ReLU(inplace=True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            *make_norm(norm, channels, affine=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x + f(x), float32[N, C, H, W]."""
        change: Tensor = self.conv_block(x)
        return x + change


class ResnetGenerator(Generator):
    """The generator of CycleGAN: two halvings, residual blocks, two doublings.

    Takes float32[N, channels_in, H, W] in [-1, 1], H and W multiples of 4, and gives three channels of the
    same size. With `down` "stride" and `up` "transposed" weights of the authors' code fit. "blur" halves with
    a binomial blur after a full convolution (Zhang 2019), "nearest" doubles by repeating pixels before one
    (Odena et al. 2016): no aliasing and no checkerboards, for more time.

    Source: Zhu et al. 2017, appendix 7.2 (after Johnson et al. 2016).
    """

    multiple = 4
    minimum_px = 16

    def __init__(
        self,
        blocks: int = 9,
        norm: str = "instance",
        *,
        channels_in: int = 3,
        width: int = 64,
        dropout: bool = False,
        down: str = "stride",
        up: str = "transposed",
    ) -> None:
        super().__init__()
        bias = norm != "batch"

        def normed(channels: int) -> list[nn.Module]:
            return [*make_norm(norm, channels, affine=False), nn.ReLU(inplace=True)]

        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels_in, width, 7, bias=bias),
            *normed(width),
        ]
        for channels in (width, 2 * width):
            stride = 2 if down == "stride" else 1
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=bias), *normed(2 * channels)]
            if down == "blur":
                layers.append(BinomialBlur(2 * channels, stride=2))
        layers += [ResnetBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [*_doubling(channels, channels // 2, up, bias), *normed(channels // 2)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Translate an image."""
        translated: Tensor = self.model(image)
        return translated


def _doubling(channels_in: int, channels: int, up: str, bias: bool) -> list[nn.Module]:
    if up == "transposed":
        return [nn.ConvTranspose2d(channels_in, channels, 3, 2, 1, output_padding=1, bias=bias)]
    return [
        nn.Upsample(scale_factor=2.0, mode="nearest"),
        nn.ReflectionPad2d(1),
        nn.Conv2d(channels_in, channels, 3, bias=bias),
    ]


class UnetGenerator(Generator):
    """The generator of pix2pix: halved to one pixel and back, with a skip at every size.

    Takes float32[N, channels_in, H, W] in [-1, 1], H and W multiples of 2**halvings, and gives three channels
    of the same size. Its noise is dropout in the inner blocks. Weights of the authors' code fit.

    Source: Isola et al. 2017, appendix 6.1.1.
    """

    def __init__(
        self,
        halvings: int = 8,
        norm: str = "batch",
        *,
        channels_in: int = 3,
        width: int = 64,
        dropout: bool = True,
    ) -> None:
        super().__init__()
        self.multiple = self.minimum_px = 2**halvings
        block = UnetBlock(8 * width, 8 * width, norm=norm)
        for _ in range(halvings - 5):
            block = UnetBlock(8 * width, 8 * width, inside=block, norm=norm, dropout=dropout)
        for outer, inner in ((4, 8), (2, 4), (1, 2)):
            block = UnetBlock(outer * width, inner * width, inside=block, norm=norm)
        self.model = UnetBlock(3, width, inside=block, norm=norm, channels_in=channels_in)
        init_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Translate an image."""
        translated: Tensor = self.model(image)
        return translated


class UnetBlock(nn.Module):
    """One halving, what lies inside, one doubling, and the skip around them; the outermost has no skip."""

    def __init__(
        self,
        outer: int,
        inner: int,
        *,
        inside: UnetBlock | None = None,
        norm: str,
        dropout: bool = False,
        channels_in: int | None = None,
    ) -> None:
        super().__init__()
        self.outermost = channels_in is not None
        bias = norm != "batch"
        halve = nn.Conv2d(channels_in or outer, inner, 4, 2, 1, bias=bias)
        joined = inner if inside is None else 2 * inner
        double = nn.ConvTranspose2d(joined, outer, 4, 2, 1, bias=bias or self.outermost)
        around: list[nn.Module] = [] if inside is None else [inside]
        if self.outermost:
            self.model = nn.Sequential(halve, *around, nn.ReLU(), double, nn.Tanh())
            return
        # The innermost features may be one pixel: there is nothing to normalise them with.
        normed = [] if inside is None else make_norm(norm, inner, affine=False)
        self.model = nn.Sequential(
            nn.LeakyReLU(0.2),
            halve,
            *normed,
            *around,
            nn.ReLU(),
            double,
            *make_norm(norm, outer, affine=False),
            *([nn.Dropout(0.5)] if dropout else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x), with x itself as further channels unless this is the outermost block."""
        found: Tensor = self.model(x)
        return found if self.outermost else torch.cat([x, found], dim=1)
