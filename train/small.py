"""Small generators: fast enough for live video on a CPU."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from train.nets import ResidualBlock, make_norm


class Hourglass(nn.Module):
    """Work at 1/4 and 1/8 of the picture and add the change to the input.

    The picture is folded to 1/4 with PixelUnshuffle, halved once more for the residual blocks, and the
    learned change is unfolded and added to the input, so detail the network need not touch stays exact.
    The last convolution starts at zero: training starts from the identity. A fixed binomial blur after the
    unfolding takes the patterns of period 2 out of the change and halves those of period 4, the block
    patterns that PixelShuffle is prone to.

    Takes and gives float32[N, 3, H, W] in [-1, 1]; H and W are multiples of 8.
    """

    multiple = 8
    minimum_px = 16

    def __init__(self, quarter: int = 48, eighth: int = 96, blocks: int = 6, norm: str = "instance") -> None:
        super().__init__()
        self.fold = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, quarter, 3, padding=1, padding_mode="reflect"),
            *make_norm(norm, quarter),
            nn.ReLU(inplace=True),
            ResidualBlock(quarter, norm),
        )
        self.down = nn.Sequential(
            nn.Conv2d(quarter, eighth, 3, stride=2, padding=1),
            *make_norm(norm, eighth),
            nn.ReLU(inplace=True),
        )
        self.body = nn.Sequential(*(ResidualBlock(eighth, norm) for _ in range(blocks)))
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            nn.Conv2d(eighth, quarter, 3, padding=1, padding_mode="reflect"),
            *make_norm(norm, quarter),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(
            nn.Conv2d(quarter, quarter, 3, padding=1, padding_mode="reflect"),
            nn.ReLU(inplace=True),
            nn.Conv2d(quarter, 48, 3, padding=1, padding_mode="reflect"),
            nn.PixelShuffle(4),
        )
        tap = torch.tensor([0.25, 0.5, 0.25])
        self.binomial: Tensor
        self.register_buffer("binomial", torch.outer(tap, tap).expand(3, 1, 3, 3).clone(), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Translate float32[N, 3, H, W] in [-1, 1] to the same shape and range."""
        quarter = self.fold(picture)  # [N, C, H/4, W/4]
        change = self.head(quarter + self.up(self.body(self.down(quarter))))  # [N, 3, H, W]
        return torch.clamp(picture + self._blur(change), -1.0, 1.0)

    def _blur(self, change: Tensor) -> Tensor:
        padded = nn.functional.pad(change, (1, 1, 1, 1), mode="reflect")
        return nn.functional.conv2d(padded, self.binomial.to(change.dtype), groups=3)

    def start_from_identity(self) -> None:
        """Zero the last convolution, so that the untrained network returns its input."""
        last = cast(nn.Conv2d, self.head[2])
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
