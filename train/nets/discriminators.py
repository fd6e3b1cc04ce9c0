"""Discriminators of images."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from train.errors import RunError
from train.nets.layers import init_weights, make_norm

PATCHES = {"pixel": 0, "16": 1, "70": 3, "286": 5}
"""Layers, as the authors count them, by the side of a patch in pixels."""


class PatchDiscriminator(nn.Module):
    """Say for each overlapping patch whether it is real.

    Takes float32[N, channels_in, H, W] in [-1, 1], gives one logit per patch, without a final sigmoid: for
    the 70×70 patch float32[N, 1, H/8 - 2, W/8 - 2], for "pixel" one per pixel.

    With `norm` "spectral" every convolution is divided by its largest singular value (Miyato et al. 2018) and
    the instance norms, which take an image's brightness and colour out of the judgement, are left out.

    Source: Isola et al. 2017, appendix 6.1.2.

    Raises:
        RunError: there is no such patch.
    """

    def __init__(
        self, width: int = 64, norm: str = "instance", *, channels_in: int = 3, patch: str = "70"
    ) -> None:
        super().__init__()
        self.channels_in = channels_in
        if patch not in PATCHES:
            raise RunError(f"no discriminator with patch {patch!r}: there are {', '.join(PATCHES)}")
        layers = (
            _pixel_layers(width, norm, channels_in)
            if patch == "pixel"
            else _patch_layers(width, norm, channels_in, PATCHES[patch])
        )
        self.model = nn.Sequential(*layers)
        init_weights(self)
        if norm == "spectral":
            for layer in layers:
                if isinstance(layer, nn.Conv2d):
                    spectral_norm(layer)

    def forward(self, image: Tensor) -> Tensor:
        """Return one logit per patch."""
        logits: Tensor = self.model(image)
        return logits

    def features(self, image: Tensor) -> list[Tensor]:
        """Return what comes out of every LeakyReLU, then the logits."""
        found = []
        for layer in self.model:
            image = layer(image)
            if isinstance(layer, nn.LeakyReLU):
                found.append(image)
        return [*found, image]


def _patch_layers(width: int, norm: str, channels_in: int, count: int) -> list[nn.Module]:
    """Return `count` halvings and one more convolution, channels doubling up to eight times the width."""
    layers: list[nn.Module] = [nn.Conv2d(channels_in, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for number in range(1, count + 1):
        before, after = (width * min(2**power, 8) for power in (number - 1, number))
        stride = 2 if number < count else 1
        layers += [
            nn.Conv2d(before, after, 4, stride, 1, bias=norm != "batch"),
            *_norm(norm, after),
            nn.LeakyReLU(0.2),
        ]
    return [*layers, nn.Conv2d(width * min(2**count, 8), 1, 4, padding=1)]


def _pixel_layers(width: int, norm: str, channels_in: int) -> list[nn.Module]:
    bias = norm != "batch"
    return [
        nn.Conv2d(channels_in, width, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 1, bias=bias),
        *_norm(norm, 2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 1, bias=bias),
    ]


def _norm(norm: str, channels: int) -> list[nn.Module]:
    return make_norm("none" if norm == "spectral" else norm, channels, affine=False)
