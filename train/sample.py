"""Sheets of images made from noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from rt.errors import nearest
from rt.frame import Rgb
from train.checkpoint import CHECKPOINT
from train.data.feed import seeded
from train.data.images import save_image
from train.errors import RunError
from train.load import best_checkpoint, load_noise_generator
from train.recipes.noise import draw_samples


@dataclass(frozen=True)
class Sample:
    """Draw a sheet of images with the generator of a gan, cgan or dcgan."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a training run."""
    out: Path | None = None
    """Image to write, .png or .jpg; default RUN/samples.png, or RUN/samples-CLASS.png."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """The class to draw, of a cgan; default: a row of each."""
    count: int = 64
    """Images on the sheet, of each class where no class is asked for: 8."""
    seed: int = 0
    """Seed of the noise: the same seed, the same sheet."""
    checkpoint: Literal["best", "newest"] = "best"
    """Which checkpoint: the best by the validation (the newest where none was validated), or the newest."""


def write_samples(config: Sample) -> Path:
    """Write the sheet and return its path; images of RUN are left as they are.

    Raises:
        RunError: the run is missing, makes no images from noise, or has no such class.
    """
    path = best_checkpoint(config.run) if config.checkpoint == "best" else config.run / CHECKPOINT
    generator, facts = load_noise_generator(path)
    names = facts.classes
    if config.class_name is not None and config.class_name not in names:
        known = f"its classes are {', '.join(names)}" if names else f"a {facts.recipe} has none"
        raise RunError(f"no class {config.class_name!r}: {known}{nearest(config.class_name, names)}")
    if config.count < 1:
        raise RunError(f"--count is {config.count}: needed is 1 or more")
    rng = seeded(config.seed, "sample")
    if names and config.class_name is None:
        rows = [draw_samples(generator, 8, number, rng) for number in range(len(names))]
        sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    else:
        label = names.index(config.class_name) if config.class_name is not None else None
        sheet = tile(draw_samples(generator, config.count, label, rng))
    suffix = f"-{config.class_name}" if config.class_name is not None else ""
    out = config.out or config.run / f"samples{suffix}.png"
    save_image(out, sheet)
    return out


def tile(images: list[Rgb]) -> Rgb:
    """Return images of one size on a nearly square sheet, row by row; what is left over is white."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = images[0].shape[:2]
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, rgb in enumerate(images):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = rgb
    return sheet
