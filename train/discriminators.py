"""Discriminators."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from train.nets import start_weights


class PatchDiscriminator(nn.Module):
    """Say for each overlapping 70×70 patch whether it is real.

    Takes float32[N, 3, H, W] in [-1, 1], gives float32[N, 1, H/8 - 2, W/8 - 2] without a final sigmoid.
    Source: Isola et al. 2017, appendix 6.1.2. With `norm` "spectral" every convolution is divided by its
    largest singular value (Miyato et al. 2018) and the instance norms, which take a picture's brightness and
    colour out of the judgement, are left out.
    """

    def __init__(self, width: int = 64, norm: str = "instance") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for channels, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers.append(nn.Conv2d(channels, 2 * channels, 4, stride=stride, padding=1))
            if norm == "instance":
                layers.append(nn.InstanceNorm2d(2 * channels))
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Conv2d(8 * width, 1, 4, padding=1))
        self.model = nn.Sequential(*layers)
        start_weights(self)
        if norm == "spectral":
            for layer in layers:
                if isinstance(layer, nn.Conv2d):
                    spectral_norm(layer)

    def forward(self, picture: Tensor) -> Tensor:
        """Return one logit per patch."""
        logits: Tensor = self.model(picture)
        return logits
