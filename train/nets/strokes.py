"""Strokes: the arbitrary-style network of one painting as plain convolutions on folded pixels."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from train.nets.arbitrary import ArbitraryStyle, StyledBlock, StyledConv
from train.nets.layers import Generator, ResidualBlock


def _conv(
    channels_in: int, channels: int, stride: int = 1, mode: Literal["reflect", "replicate"] = "replicate"
) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, 3, stride, padding=1, padding_mode=mode)


class Strokes(Generator):
    """Paints with the strokes of one painting: convolutions and ReLUs on pixels folded 2×2.

    Takes float32[N, 3, H, W] in [-1, 1], H and W multiples of 4, and gives the same. `from_style` gives it
    the weights of the network it comes from; untrained it is of no use. The image and what is computed at
    its full size are folded into four channels of half the size, which the same sums pass through faster.
    """

    multiple = 4
    minimum_px = 16

    def __init__(self, norm: str = "none", *, channels_in: int = 3, width: int = 8) -> None:
        super().__init__()
        half, quarter = 2 * width, 4 * width  # channels at half and at a quarter of the size
        # Mirrored pixels lie in mirrored blocks in another order. Repeating the outermost block instead puts
        # the right one beside it, before the halving and after each doubling.
        self.see = nn.Sequential(nn.Conv2d(4 * channels_in, 4 * width, 5), nn.ReLU())
        self.halve = nn.Sequential(
            _conv(4 * width, half), nn.ReLU(), _conv(half, quarter, 2, "reflect"), nn.ReLU()
        )
        self.body = nn.Sequential(*(ResidualBlock(quarter, norm) for _ in range(5)))
        self.enlarge = nn.Sequential(
            _conv(quarter, 4 * half), nn.ReLU(), nn.PixelShuffle(2), _conv(half, 4 * width), nn.ReLU()
        )
        last = nn.Conv2d(4 * width, 12, 5, padding=2, padding_mode="replicate")
        self.paint = nn.Sequential(last, nn.PixelShuffle(2))

    def forward(self, image: Tensor) -> Tensor:
        """Paint an image."""
        folded = nnf.pixel_unshuffle(
            nnf.pad(image, (4, 4, 4, 4), mode="reflect"), 2
        )  # [N, 12, H/2 + 4, W/2 + 4]
        quarter = self.body(self.halve(self.see(folded)))  # [N, 32, H/4, W/4]
        painted: Tensor = self.paint(self.enlarge(quarter))
        return torch.tanh(0.5 * painted)  # the sigmoid of the network it comes from, on the scale of [-1, 1]


@torch.no_grad()
def from_style(style: ArbitraryStyle) -> Strokes:
    """Return the strokes of a network with its vector set and its statistics fixed: the same images.

    Four pixels from an edge and nearer they may differ: the last convolution sees blocks repeated there.
    """
    net, weights = Strokes().eval(), {}

    def put(name: str, kernel: Tensor, bias: Tensor) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = kernel, bias

    first, second, third = (cast(nn.Conv2d, conv) for conv in style.contract)
    biases = [cast(Tensor, conv.bias) for conv in (first, second, third)]
    # The image's scale of [-1, 1] is turned into the [0, 1] of the network it comes from.
    biases[0] = biases[0] + 0.5 * first.weight.sum((1, 2, 3))
    put("see.0", fold_both(0.5 * first.weight), biases[0].repeat_interleave(4))
    put("halve.0", fold_input(second.weight), biases[1])
    put("halve.2", third.weight, biases[2])
    for index, block in enumerate(style.residual):
        assert isinstance(block, StyledBlock)
        put(f"body.{index}.body.0", *_normed(block.first, style.vector))
        put(f"body.{index}.body.2", *_normed(block.second, style.vector))
    *doubled, last = (_normed(cast(StyledConv, styled), style.vector) for styled in style.expand)
    for name, (kernel, bias) in zip(("enlarge.0", "enlarge.3"), doubled, strict=True):
        put(name, fold_doubling(kernel), bias.repeat_interleave(4))
    put("paint.0", fold_both(last[0]), last[1].repeat_interleave(4))
    net.load_state_dict(weights)
    return net


def _normed(styled: StyledConv, vector: Tensor) -> tuple[Tensor, Tensor]:
    """Return kernel and bias of a convolution with the norm behind it folded in."""
    factor, offset = styled.norm.affine(vector)
    return styled.conv.weight * factor[:, None, None, None], offset


def fold_both(kernel: Tensor) -> Tensor:
    """Return a kernel float[O, I, K, K] for input and output folded 2×2: float[4 O, 4 I, L, L].

    Channels are those of pixel_unshuffle: channel * 4 + row * 2 + column.
    """
    out, count, side, _ = kernel.shape
    reach = side // 2
    blocks = (reach + 1) // 2
    folded = torch.zeros(out, 4, count, 4, 2 * blocks + 1, 2 * blocks + 1)
    for row, column, down, right in _taps(reach):
        y, x = row + down, column + right  # from the block's first pixel
        at = folded[:, 2 * row + column, :, 2 * (y % 2) + x % 2]
        at[..., y // 2 + blocks, x // 2 + blocks] = kernel[..., down + reach, right + reach]
    return folded.reshape(4 * out, 4 * count, *folded.shape[-2:])


def fold_input(kernel: Tensor) -> Tensor:
    """Return a 3×3 kernel of stride 2 for input folded 2×2, stride 1: float[O, 4 I, 3, 3]."""
    out, count, side, _ = kernel.shape
    reach = side // 2
    folded = torch.zeros(out, count, 4, 3, 3)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            at = folded[:, :, 2 * (down % 2) + right % 2]
            at[..., down // 2 + 1, right // 2 + 1] = kernel[..., down + reach, right + reach]
    return folded.reshape(out, 4 * count, 3, 3)


def fold_doubling(kernel: Tensor) -> Tensor:
    """Return a kernel of up to 5×5 after a nearest doubling, its output folded 2×2: float[4 O, I, 3, 3]."""
    out, count, side, _ = kernel.shape
    reach = side // 2
    folded = torch.zeros(out, 4, count, 3, 3)
    for row, column, down, right in _taps(reach):
        at = folded[:, 2 * row + column]
        at[..., (row + down) // 2 + 1, (column + right) // 2 + 1] += kernel[..., down + reach, right + reach]
    return folded.reshape(4 * out, count, 3, 3)


def _taps(reach: int) -> list[tuple[int, int, int, int]]:
    """Return every pixel of a 2×2 block with every tap of a kernel: row, column, down, right."""
    places, steps = range(2), range(-reach, reach + 1)
    return [
        (row, column, down, right) for row in places for column in places for down in steps for right in steps
    ]
