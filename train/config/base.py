"""What every training run is told."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

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


def settings_json(config: Training) -> dict[str, Any]:
    """Return the settings as a JSON object."""

    def plain(value: Any) -> Any:
        return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in asdict(config).items()}
