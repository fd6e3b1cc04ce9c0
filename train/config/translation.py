"""What runs are told that translate images of A to images of B."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from train.config.base import (
    PATCH_MINIMUM_PX,
    Adversarial,
    Direction,
    GeneratorName,
    Norm,
    Training,
)
from train.errors import RunError


@dataclass(frozen=True, kw_only=True)
class TwoDomains(Training):
    """What all recipes have in common that translate images of A to images of B."""

    generator: GeneratorName = "resnet9"
    """Generator: resnet*, unet* are the papers'; the others are small enough for live video on a CPU, and
    bring the settings that the gallery's were trained with; options of your own replace them."""
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Folder of images to translate from, with --to instead of --data; every tenth is held out."""
    target: Annotated[Path | None, tyro.conf.arg(name="to")] = None
    """Folder of images to translate to; for pix2pix with the names of those in --from."""
    norm: Norm = "instance"
    """Normalisation in the generators (Zhu 2017, 7.2)."""
    generator_width: int | None = None
    """Channels of the generators' first convolution; default: the network's own (64 for the papers')."""
    down: Literal["stride", "blur"] = "stride"
    """Halving in resnet*: strided (Zhu 2017, 7.2), or without aliasing by a blur (Zhang 2019)."""
    up: Literal["transposed", "nearest"] = "transposed"
    """Doubling in resnet*: transposed (Zhu 2017, 7.2), or without checkerboards (Odena 2016)."""
    init: Literal["identity", "icnr"] = "identity"
    """How hg48, paint48, flat48, pu48 and pu32 start: adding nothing to their input, or without a block
    pattern (ICNR, Aitken 2017)."""


@dataclass(frozen=True, kw_only=True)
class _Translation(TwoDomains):
    """What pix2pix and CycleGAN have in common."""

    patch: Literal["pixel", "16", "70", "286"] = "70"
    """Side of the patches the discriminators judge (Isola 2017, 4.4: 70)."""
    discriminator_width: int = 64
    """Channels of the discriminators' first convolution (Isola 2017, 6.1.2)."""
    discriminator_norm: Literal["instance", "batch", "spectral", "none"] = "instance"
    """Normalisation in the discriminators; without instance norm they see brightness and colour."""
    loss: Adversarial = "lsgan"
    """Adversarial loss; lsgan is least squares (Zhu 2017, 4)."""
    grid_weight: float = 0.0
    """Weight of the loss on patterns of period 4 px that generators add; hg48, draw48 and paint48 mostly
    need it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_positive("discriminator_width")
        least = PATCH_MINIMUM_PX[self.patch]
        if self.crop_size % 4 or self.crop_size < least:
            raise RunError(
                f"--crop-size is {self.crop_size}: needed is a multiple of 4, "
                f"at least {least} with --patch {self.patch}"
            )


@dataclass(frozen=True, kw_only=True)
class CycleGan(_Translation):
    """Train two generators and two discriminators on unpaired images (CycleGAN, Zhu et al. 2017).

    DATA has trainA and trainB; testA and testB, where present, feed sample sheets and the validation.
    """

    recipe = "cyclegan"
    run: Path = Path("runs/cyclegan")
    """Folder of this run."""
    cycle_weight: float = 10.0
    """Weight of the cycle loss (Zhu 2017, 4)."""
    cycle_weight_end: float | None = None
    """Weight of the cycle loss at the end, reached linearly over the second half; default: no change."""
    identity_weight: float = 5.0
    """Weight of the identity loss: half of the cycle loss's (Zhu 2017, 5.2)."""
    identity_weight_end: float | None = None
    """Weight of the identity loss after --identity-until; default: no change."""
    identity_until: float = 0.2
    """Share of the run after which the identity loss has its end weight (ours)."""
    equivariance_weight: float = 0.0
    """Weight of |G(Wx + n) - W G(x)| under a random flow W, against flicker; 5 to 10 is enough (ours)."""
    equivariance_from: float = 0.1
    """Share of the run after which the equivariance loss counts (ours)."""
    l1_beta: float = 0.0
    """Difference, on the scale of [-1, 1], below which cycle and identity loss are quadratic; 0: plain L1."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalty with --loss wgan-gp (Gulrajani 2017, 4)."""
    pool: int = 50
    """Past fakes kept for the discriminators (Zhu 2017, 4)."""


@dataclass(frozen=True, kw_only=True)
class Pix2Pix(_Translation):
    """Train a generator on pairs of images (pix2pix, Isola et al. 2017).

    DATA/train holds images of A and B side by side, or DATA has trainA and trainB with equal names; --pair
    makes A from photos. DATA/val or DATA/test (valA, testA, ...), where present, feeds sheets and validation.
    """

    recipe = "pix2pix"
    run: Path = Path("runs/pix2pix")
    """Folder of this run."""
    generator: GeneratorName = "unet256"
    """Generator (Isola 2017, 6.1.1: the U-Net)."""
    norm: Norm = "instance"
    """Normalisation in the generator; instance: what batch norm computes on one image (Isola 2017, 3.3)."""
    loss: Adversarial = "vanilla"
    """Adversarial loss; vanilla is binary cross-entropy (Isola 2017, 3.1)."""
    direction: Direction = "AtoB"
    """Which half, or folder, is translated to which."""
    pair: Literal["none", "gray", "edges"] = "none"
    """Make the input from photos: their gray (colourisation) or their edges (sketch to photo)."""
    l1_weight: float = 100.0
    """Weight of the L1 loss (Isola 2017, 6.2)."""
    feature_weight: float = 0.0
    """Weight of matching the discriminator's features (Wang 2018, 3.2: 10)."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalty with --loss wgan-gp (Gulrajani 2017, 4)."""
    dropout: bool | None = None
    """Noise as dropout, in unet* and resnet* (Isola 2017, 3.2); default: in unet* without --z."""
    z: int = 0
    """Channels of noise concatenated to the input, for varied outputs; 0: none. In styles it is 0."""


@dataclass(frozen=True, kw_only=True)
class Projected(TwoDomains):
    """Train one small generator on unpaired images, with pretrained features as judge (projected GAN).

    DATA has trainA and trainB; testA and testB, where present, feed sample sheets and the validation. There
    is no way back: features of the input say what an image shows and has to stay. Source: Sauer et al. 2021.
    """

    recipe = "projected"
    run: Path = Path("runs/projected")
    """Folder of this run."""
    generator: GeneratorName = "hg48"
    """Generator: the small ones learn what the large ones would, from features that know images already."""
    norm: Norm = "none"
    """Normalisation in the generator (ours: none, for the same image whatever else is in it)."""
    batch: int = 3
    """Images of each kind per step and process (ours)."""
    load_size: int = 256
    """Short side in pixels that images are scaled to before cropping (ours)."""
    crop_size: int = 192
    """Side in pixels of the random training crops (ours)."""
    learning_rate: float = 3e-4
    """Adam's step size of the generator (ours)."""
    discriminator_rate: float = 1e-3
    """Adam's step size of the discriminator (ours)."""
    beta1: float = 0.0
    """Adam's memory of the gradient (Sauer 2021); its beta2 is 0.99."""
    ema: float = 0.998
    """Decay of the averaged generator weights; these are measured and exported (ours). 0: none are kept."""
    amp: bool = True
    """Compute in bfloat16 where it is safe (faster on GPUs and CPUs with instructions for it)."""
    backbone: str = "lite0"
    """Pretrained features of the losses: lite0, lite1, or the path of a .pth of an EfficientNet-Lite."""
    anchor: Path | None = None
    """Folder of a run whose generator gives the colours that are held, instead of the input."""
    adversarial_weight: float = 2.8
    """Weight of the hinge loss against the projected discriminator (Sauer 2021; the number is ours)."""
    content_weight: float = 2.0
    """Weight of the self-similarity of features: what is alike in the input stays alike (Kolkin 2019; the
    number is ours)."""
    gram_weight: float = 4.0
    """Weight of the batch's Gram matrices to the mean of B's (Gatys 2016, equation 5; the number is ours)."""
    low_weight: float = 0.0
    """Weight of the L1 loss to the input, or to the anchor's image, both shrunk to a sixteenth (ours)."""
    equivariance_weight: float = 10.0
    """Weight of |G(Wx + n) - W G(x)| under a random flow W, against flicker (ours)."""
    equivariance_weight_end: float = 20.0
    """Weight of the equivariance loss from three tenths of the run on, reached linearly (ours)."""
    dark_weight: float = 10.0
    """Weight of the L1 loss to the input where it is black: nothing is invented there (ours)."""
    grid_weight: float = 1000.0
    """Weight of the loss on patterns of period 4 and 8 px in the change of the input (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop_size % 16 or self.crop_size < 96:
            raise RunError(f"--crop-size is {self.crop_size}: needed is a multiple of 16, at least 96")
