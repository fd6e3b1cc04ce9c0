"""A discriminator that judges images by pretrained features of four scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf
from torch.nn.utils.parametrizations import spectral_norm

from train.nets.backbone import Backbone

JUDGED = slice(1, 5)
"""Stages of the backbone that are judged: of 4, 8, 16 and 16 px."""
MIXED = 64
"""Channels that the features of every scale are mixed to."""
_HALVINGS = (2, 1, 0, 0)
"""How often each head halves its features, so that all judge places of the same size."""
_LAYOUT_PX = 96
_LAYOUT_SEED = 5


class ProjectedDiscriminator(nn.Module):
    """Say for each place of an image whether it is real, once for every scale of features.

    The features are mixed by fixed random convolutions, across channels and from coarse to fine; only small
    heads learn, so a game of minutes does not end with a discriminator that knows every image.
    Source: Sauer et al. 2021 (Projected GANs Converge Faster), section 3.2.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(_LAYOUT_SEED)
        self.heads = nn.ModuleList()
        for number, (feature, halvings) in enumerate(zip(_probe(backbone), _HALVINGS, strict=True)):
            channels = feature.shape[1]
            # Features of every scale get a deviation of about 1, whatever the backbone's own is.
            across = torch.randn(MIXED, channels, 1, 1, generator=rng) / math.sqrt(channels)
            self.register_buffer(f"across{number}", across / feature.std())
            down = torch.randn(MIXED, MIXED, 3, 3, generator=rng) / math.sqrt(9 * MIXED)
            self.register_buffer(f"down{number}", down)
            self.heads.append(_head(halvings))

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """Return logits float32[N, 1, h, w] of every scale, from a backbone's stages."""
        return [head(mixed) for head, mixed in zip(self.heads, self._mix(stages[JUDGED]), strict=True)]

    def _mix(self, stages: Sequence[Tensor]) -> list[Tensor]:
        above: Tensor | None = None
        found = []
        for number in reversed(range(len(stages))):
            mixed = nnf.conv2d(stages[number].float(), cast(Tensor, getattr(self, f"across{number}")))
            if above is not None:
                mixed = mixed + nnf.interpolate(
                    above, size=mixed.shape[-2:], mode="bilinear", align_corners=False
                )
            padded = nnf.pad(mixed, (1, 1, 1, 1), mode="reflect")
            above = nnf.conv2d(padded, cast(Tensor, getattr(self, f"down{number}")))
            found.append(above)
        return found[::-1]


@torch.no_grad()
def _probe(backbone: Backbone) -> list[Tensor]:
    """Return the judged features of noise of large and small forms, to learn their widths and scales."""
    rng = torch.Generator().manual_seed(_LAYOUT_SEED)
    side = _LAYOUT_PX
    image = torch.zeros(2, 3, side, side)
    for cells in (3, 12, 48):
        coarse = torch.randn(2, 3, cells, cells, generator=rng)
        image += 0.4 * nnf.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    return backbone(image.clamp(-1, 1), JUDGED.stop).stages[JUDGED]  # type: ignore[no-any-return]


def _head(halvings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(halvings):
        layers += [spectral_norm(nn.Conv2d(MIXED, MIXED, 4, 2, 1)), nn.LeakyReLU(0.2)]
    layers += [spectral_norm(nn.Conv2d(MIXED, MIXED, 3, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(MIXED, 1, 3, padding=1)))
