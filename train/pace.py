"""What a budget is worth, in steps and beside other runs."""

from __future__ import annotations

from train.config import Training

TOLD_AFTER = 3
"""Steps after which the pace is told; the first one is slower."""
PAPERS = {
    "cyclegan": (200, "epochs", "Zhu 2017"),
    "pix2pix": (200, "epochs", "Isola 2017"),
    "dcgan": (25, "epochs", "Radford 2015"),
}
"""What the papers took."""
GALLERY = {
    "cyclegan": ("winter of 0.1", 5353, 2),
    "pix2pix": ("colour", 15200, 4),
    "distill": ("comic", 1319, 6),
}
"""Style of the gallery, its steps, and images a step."""
ENOUGH = 0.25
"""Share of the gallery's steps below which a budget is called short."""


def describe_pace(config: Training, seconds: float, steps: int, images_per_step: int, epoch: int) -> str:
    """Return what to expect of a run.

    Args:
        config: the run's settings.
        seconds: a step takes.
        steps: the whole budget holds.
        images_per_step: of each kind, in all processes.
        epoch: images of one pass.
    """
    told = [f"pace: {seconds:.2g} s a step, {steps} steps in the budget ({_duration(seconds * steps)})"]
    if config.recipe in PAPERS:
        count, unit, who = PAPERS[config.recipe]
        there = max(1, round(count * epoch / images_per_step))
        told.append(f"{count} {unit} as in the paper ({who}) would be {there}, {_duration(seconds * there)}")
    style, theirs, at_once = GALLERY.get(config.recipe, ("", 0, 1))
    if style:
        needed = max(1, round(theirs * at_once / images_per_step))
        told.append(
            f"the gallery's {style} saw as many images as {needed} steps do, {_duration(seconds * needed)}"
        )
        if steps < ENOUGH * needed:
            told.append(f"short of that: expect little. {_advice(config)}")
    return "; ".join(told)


def _advice(config: Training) -> str:
    """Return what makes the budget go further."""
    generator = getattr(config, "generator", None)
    if generator is not None and generator.startswith(("resnet", "unet")):
        return "A small generator is many times as quick: --generator hg48, or --preset draft"
    if config.crop_size > 128:
        return "Smaller images are quicker: --load-size 160 --crop-size 128"
    return "Give it more --minutes, and go on later with --resume"


def _duration(seconds: float) -> str:
    """Return a duration in the unit that fits it."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
