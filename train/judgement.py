"""What an exported generator is checked and measured with, after the kind of its training pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from rt.frame import Rgb
from train.data import load_pictures
from train.errors import DataError
from train.folders import first_folder, held_split, read_pairs
from train.graph import crop_to_multiple, translate_pictures
from train.metrics import measure_pairs, measure_steadiness, measure_translation, train_domain_classifier
from train.trained import best_checkpoint, load_generator

HELD_BACK = "held-back pictures"
CLASSIFIER_PX = 72
"""Short side of the pictures the two-domain classifier learns from."""
STEADINESS_PICTURES = 12
"""Pictures the warping error is measured on."""


@dataclass(frozen=True)
class Material:
    """Pictures to measure a generator with."""

    inputs: list[Rgb]
    measured_on: str
    """Whether they were kept back from training."""
    wanted: Sequence[Rgb] = ()
    """What each input should become, of a pair."""
    reals: Sequence[Rgb] = ()
    """Pictures of the target domain."""
    trained: tuple[Sequence[Rgb], Sequence[Rgb]] | None = None
    """Training pictures of source and target domain, for the classifier that tells them apart."""
    teacher: nn.Module | None = None
    """The network a student learnt from."""

    @property
    def counts(self) -> str:
        """How many pictures there are, in words."""
        return f"{len(self.inputs)} and {len(self.reals)}" if self.reals else f"{len(self.inputs)}"


def gather_material(
    facts: dict[str, Any], direction: str, data: Path | None, size: int, multiple: int
) -> Material:
    """Read the pictures of a checkpoint's run, or those of `data`, short sides scaled to `size`.

    Raises:
        DataError: they are missing or damaged, or too few.
        RunError: a student's teacher is damaged.
    """
    settings, recipe = facts["settings"], facts["recipe"]
    if data is None and "data" not in settings:
        raise DataError("an imported generator has no pictures of its own: give some with --data DIR")
    folder = data or Path(settings["data"])

    def cut(pictures: Sequence[Rgb]) -> list[Rgb]:
        return [crop_to_multiple(rgb, multiple) for rgb in pictures]

    if recipe == "pix2pix":
        split = held_split(folder) or "train"
        halves = read_pairs(folder, split, settings["pair"], settings["direction"], size)
        told = HELD_BACK if split != "train" else "training pictures: there are neither val nor test"
        return Material(cut(halves[0]), told, wanted=cut(halves[1]))
    source, target = direction[0], direction[-1]
    if recipe == "cyclegan" or (folder / f"train{target}").is_dir():
        held_back = all((folder / f"test{domain}").is_dir() for domain in (source, target))
        split = "test" if held_back else "train"
        inputs, reals = (
            load_pictures(folder / f"{split}{domain}", size).pictures for domain in (source, target)
        )
        if len(reals) < 4:
            raise DataError(f"only {len(reals)} pictures of the target domain to measure with: needed are 4")
        learnt = [
            load_pictures(folder / f"train{domain}", CLASSIFIER_PX).pictures for domain in (source, target)
        ]
        told = HELD_BACK if held_back else "training pictures: there are no testA and testB"
        material = Material(cut(inputs), told, reals=cut(reals), trained=(learnt[0], learnt[1]))
    else:
        shown = first_folder(folder, f"test{source}", "val", "test", f"train{source}", "train")
        told = HELD_BACK if shown.name.startswith(("test", "val")) else "pictures of --data"
        material = Material(cut(load_pictures(shown, size).pictures), told)
    return _with_teacher(material, settings) if recipe == "distill" else material


def measure_style(net: nn.Module, material: Material) -> dict[str, Any]:
    """Measure a generator against pairs, the target domain and its teacher, as far as there are."""
    inputs = material.inputs
    translated = translate_pictures(net, inputs)
    changed = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(inputs, translated, strict=True)]
    metrics: dict[str, Any] = {
        "mean_change_levels": round(float(np.mean(changed)), 2),
        "pictures": {"translated": len(inputs), "real": len(material.reals or material.wanted)},
        **measure_steadiness(net, inputs[:STEADINESS_PICTURES]),
    }
    if material.wanted:
        metrics |= measure_pairs(inputs, translated, material.wanted)
    if material.trained is not None:
        classifier = train_domain_classifier(*material.trained)
        metrics |= measure_translation(inputs, translated, material.reals, classifier)
    if material.teacher is not None:
        metrics["teacher"] = measure_pairs(inputs, translated, translate_pictures(material.teacher, inputs))
    return metrics


def _with_teacher(material: Material, settings: dict[str, Any]) -> Material:
    """Add the teacher, pictures cut to what it takes too; where they are too small for it, say so instead."""
    teacher, _ = load_generator(best_checkpoint(Path(settings["teacher"])), settings["direction"])
    multiple, minimum = int(teacher.multiple), int(teacher.minimum_px)  # type: ignore[arg-type]
    if any(min(rgb.shape[:2]) < minimum for rgb in material.inputs):
        told = f"{material.measured_on}, not against the teacher, which takes none smaller than {minimum} px"
        return replace(material, measured_on=told)
    inputs = [crop_to_multiple(rgb, multiple) for rgb in material.inputs]
    return replace(material, inputs=inputs, teacher=teacher)
