"""What a run is told that teaches a small generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from train.config.base import (
    Direction,
    Norm,
    Schedule,
    Training,
)
from train.errors import RunError


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
