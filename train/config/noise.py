"""What runs are told that make images from noise: gan, cgan, dcgan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.config.base import (
    Adversarial,
    Schedule,
    Training,
)
from train.errors import RunError


@dataclass(frozen=True, kw_only=True)
class _FromNoise(Training):
    """What the recipes have in common that make images from noise."""

    load_size: int = 64
    """Short side in pixels that images are scaled to before cropping (Radford 2015: 64 × 64)."""
    crop_size: int = 64
    """Side in pixels of the images made: a power of two, at least 16."""
    batch: int = 128
    """Images per step and process (Radford 2015, 4)."""
    schedule: Schedule = "constant"
    """Step size over the run; constant: it stays."""
    z: int = 100
    """Length of the noise vector (Radford 2015, 4)."""
    width: int = 64
    """Channels of the layer next to the image (Radford 2015, figure 1: 128; 64 in the authors' code)."""
    loss: Adversarial = "vanilla"
    """Adversarial loss; vanilla is cross-entropy, the generator's not saturating (Goodfellow 2014, 3)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_positive("z", "width")
        if self.crop_size < 16 or self.crop_size & (self.crop_size - 1):
            raise RunError(f"--crop-size is {self.crop_size}: needed is a power of two, at least 16")


@dataclass(frozen=True, kw_only=True)
class Gan(_FromNoise):
    """Train a generator of images from noise, fully connected (GAN, Goodfellow et al. 2014)."""

    recipe = "gan"
    run: Path = Path("runs/gan")
    """Folder of this run."""
    load_size: int = 32
    """Short side in pixels that images are scaled to before cropping."""
    crop_size: int = 32
    """Side in pixels of the images made: a power of two, at least 16."""
    width: int = 256
    """Units of the first hidden layer."""


@dataclass(frozen=True, kw_only=True)
class Cgan(_FromNoise):
    """Train a generator of images of asked classes, a folder each in DATA (CGAN, Mirza et al. 2014)."""

    recipe = "cgan"
    run: Path = Path("runs/cgan")
    """Folder of this run."""
    load_size: int = 32
    """Short side in pixels that images are scaled to before cropping."""
    crop_size: int = 32
    """Side in pixels of the images made: a power of two, at least 16."""
    networks: Literal["mlp", "dcgan"] = "mlp"
    """Fully connected networks (Mirza 2014), or DCGAN's convolutions."""
    width: int = 256
    """Units of the first hidden layer; with --networks dcgan channels of the layer next to the image."""


@dataclass(frozen=True, kw_only=True)
class Dcgan(_FromNoise):
    """Train a generator of images from noise, all of convolutions (DCGAN, Radford et al. 2015)."""

    recipe = "dcgan"
    run: Path = Path("runs/dcgan")
    """Folder of this run."""
