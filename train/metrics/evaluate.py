"""What an exported generator is checked and measured with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from rt.card import View
from rt.frame import Rgb
from train.data.folders import first_folder, held_split, makes_inputs, photos_folder, read_pairs
from train.data.images import load_images
from train.data.paintings import painted_views, read_paintings
from train.errors import DataError
from train.facts import RunFacts
from train.graph import crop_to_multiple, translate_images
from train.load import first_teacher, is_teacher_unchanged, load_generator, teacher_checkpoint
from train.metrics.perceptual import find_fid, find_lpips, measure_fid, measure_lpips
from train.metrics.pretrained import ENOUGH, judge, measure_pretrained
from train.metrics.translation import (
    measure_pairs,
    measure_steadiness,
    measure_translation,
    train_domain_classifier,
)

HELD_OUT = "held-out images"
CLASSIFIER_PX = 72
"""Short side of the images the two-domain classifier learns from."""
PAINTED, FIRST_LOOK = 24, 4
"""Most photos a painting's style is measured on, and an untrained one."""
STEADINESS_IMAGES = 12
"""Images the warping error is measured on."""


FEWEST_REALS = 4
"""Images of the target domain that distances need: two halves of two."""
FidReals = Literal["test", "train+test"]
PROTOCOLS: dict[FidReals, str] = {
    "test": "test reals alone (the protocol of CUT)",
    "train+test": "train and test reals (the protocol of GAN Compression)",
}
"""What FID is measured against; figures of the two protocols must never be compared with each other."""


@dataclass(frozen=True)
class PerceptualMetrics:
    """Metrics asked for that need the user's weights."""

    fid_weights: Path | None = None
    fid_reals: FidReals = "test"
    lpips: bool = False

    def check(self) -> None:
        """Refuse at once what cannot be measured later.

        Raises:
            RunError: packages or weights are missing.
        """
        if self.fid_weights is not None:
            find_fid(self.fid_weights)
        if self.lpips:
            find_lpips()


@dataclass(frozen=True)
class EvalSet:
    """Images to measure a generator with."""

    inputs: list[Rgb]
    measured_on: str
    """Whether they were held out from training."""
    wanted: Sequence[Rgb] = ()
    """What each input should become, of a pair."""
    reals: Sequence[Rgb] = ()
    """Images of the target domain."""
    train_reals: Sequence[Rgb] = ()
    """Training images of the target domain, where they are asked for beside held-out ones."""
    trained: tuple[Sequence[Rgb], Sequence[Rgb]] | None = None
    """Training images of source and target domain, for the classifier that tells them apart."""
    teacher: nn.Module | None = None
    """The network a student learned from."""

    @property
    def counts(self) -> str:
        """How many images there are, in words."""
        return f"{len(self.inputs)} and {len(self.reals)}" if self.reals else f"{len(self.inputs)}"


def gather_eval_set(
    facts: RunFacts,
    direction: str,
    data: Path | None,
    size: int,
    multiple: int,
    fid_reals: FidReals = "test",
) -> EvalSet:
    """Read the images of a checkpoint's run, or those of `data`, short sides scaled to `size`.

    With `fid_reals` "train+test" the training images of the target domain are read too.

    Raises:
        DataError: they are missing or damaged, or too few.
        RunError: a student's teacher is damaged.
    """
    recipe, folder = facts.recipe, data or facts.data
    if recipe == "paint":
        return _cut(_painted(facts, data, size), multiple)
    if folder is None:
        raise DataError("an imported generator has no images of its own: give some with --data DIR")
    first = first_teacher(facts)
    if facts.learned_pairs or makes_inputs(folder, first):
        eval_set = _pairs(folder, first.pair, direction, size)
    elif recipe == "cyclegan" or (folder / f"train{direction[-1]}").is_dir():
        eval_set = _domains(folder, direction, size, fid_reals)
    else:
        own = "images of --data" if data else "training images: none were held out"
        eval_set = _images(folder, direction[0], size, own)
    eval_set = _cut(eval_set, multiple)
    return _with_teacher(eval_set, facts) if facts.has_teacher else eval_set


def training_view(facts: RunFacts) -> View:
    """Return what of its images a checkpoint's generator, or a student's teacher, learned to look at."""
    pair = first_teacher(facts).pair
    return "image" if pair == "none" else pair


def _painted(facts: RunFacts, data: Path | None, size: int) -> EvalSet:
    """Read photos, the user's or those of the training, and views of the paintings.

    Of a first look, which nothing was trained for, only the steadiness is measured, on a few photos.
    """
    settings = facts.settings
    told = HELD_OUT if data is not None else "training photos: none were held out"
    folder = data or photos_folder(settings["photos"])
    inputs = list(load_images(folder, size, PAINTED if facts.step else FIRST_LOOK).images)
    if not facts.step:
        return EvalSet(inputs, told)
    return EvalSet(
        inputs, told, reals=painted_views(read_paintings(Path(settings["data"])), settings["scale"])
    )


def _pairs(folder: Path, pair: str, direction: str, size: int) -> EvalSet:
    split = held_split(folder) or "train"
    inputs, wanted = read_pairs(folder, split, pair, direction, size)
    told = HELD_OUT if split != "train" else "training images: there are neither val nor test"
    return EvalSet(inputs, told, wanted=wanted)


def _domains(folder: Path, direction: str, size: int, fid_reals: FidReals) -> EvalSet:
    source, target = direction[0], direction[-1]
    held_out = all((folder / f"test{domain}").is_dir() for domain in (source, target))
    split = "test" if held_out else "train"
    inputs, reals = (
        list(load_images(folder / f"{split}{domain}", size).images) for domain in (source, target)
    )
    learned = [load_images(folder / f"train{domain}", CLASSIFIER_PX).images for domain in (source, target)]
    told = HELD_OUT if held_out else "training images: there are no testA and testB"
    if len(reals) < FEWEST_REALS:
        told += f"; {len(reals)} of the target domain are too few to measure the distance to it"
        return EvalSet(inputs, told)
    further: Sequence[Rgb] = ()
    if held_out and fid_reals == "train+test":
        further = load_images(folder / f"train{target}", size).images
    return EvalSet(inputs, told, reals=reals, train_reals=further, trained=(learned[0], learned[1]))


def _images(folder: Path, source: str, size: int, own: str) -> EvalSet:
    """Read images to translate; `own` says whose they are where none of them are held out."""
    shown = first_folder(folder, f"test{source}", "val", "test", f"train{source}", "train")
    held_out = shown != folder and shown.name.startswith(("test", "val"))
    return EvalSet(list(load_images(shown, size).images), HELD_OUT if held_out else own)


def _cut(eval_set: EvalSet, multiple: int) -> EvalSet:
    inputs, wanted, reals, train_reals = (
        [crop_to_multiple(rgb, multiple) for rgb in images]
        for images in (eval_set.inputs, eval_set.wanted, eval_set.reals, eval_set.train_reals)
    )
    return replace(eval_set, inputs=inputs, wanted=wanted, reals=reals, train_reals=train_reals)


def measure_style(
    net: nn.Module, eval_set: EvalSet, perceptual: PerceptualMetrics | None = None
) -> dict[str, Any]:
    """Measure a generator against pairs, the target domain and its teacher, as far as there are.

    `teacher` has the figures of the student's images against its teacher's, `teacher_itself` those of the
    teacher's own, measured on the same images by the same classifier.

    Raises:
        RunError, DataError: a metric asked for cannot be measured.
    """
    inputs = eval_set.inputs
    classifier = None if eval_set.trained is None else train_domain_classifier(*eval_set.trained)
    translated = translate_images(net, inputs)
    changed = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(inputs, translated, strict=True)]
    metrics: dict[str, Any] = {
        "mean_change_levels": round(float(np.mean(changed)), 2),
        "images": {"translated": len(inputs), "real": len(eval_set.reals or eval_set.wanted)},
        **_measure(net, eval_set, translated, classifier),
    }
    if eval_set.teacher is not None:
        taught = translate_images(eval_set.teacher, inputs)
        metrics["teacher"] = measure_pairs(inputs, translated, taught)
        metrics["teacher_itself"] = _measure(eval_set.teacher, eval_set, taught, classifier)
    if perceptual is not None:
        metrics |= _measure_perceptual(eval_set, translated, perceptual)
    return metrics


def _measure(
    net: nn.Module, eval_set: EvalSet, translated: list[Rgb], classifier: nn.Module | None
) -> dict[str, Any]:
    """Measure what can be measured of a student and a teacher alike."""
    metrics = measure_steadiness(net, eval_set.inputs[:STEADINESS_IMAGES])
    if eval_set.wanted:
        metrics |= measure_pairs(eval_set.inputs, translated, eval_set.wanted)
    if classifier is not None:
        metrics |= measure_translation(eval_set.inputs, translated, eval_set.reals, classifier)
    reals = eval_set.reals or eval_set.wanted
    enough = ENOUGH if classifier is not None else FEWEST_REALS
    if len(reals) >= enough and len(translated) >= 2 and (backbone := judge()) is not None:
        metrics |= measure_pretrained(eval_set.inputs, translated, reals, backbone)
    return metrics


def _measure_perceptual(
    eval_set: EvalSet, translated: list[Rgb], perceptual: PerceptualMetrics
) -> dict[str, Any]:
    inputs, metrics = eval_set.inputs, dict[str, Any]()
    if perceptual.fid_weights is not None:
        metrics |= _measure_fid(eval_set, translated, perceptual.fid_weights, perceptual.fid_reals)
    if perceptual.lpips:
        if not eval_set.wanted and eval_set.teacher is None:
            raise DataError("--lpips: there are neither pairs nor a teacher to compare with; leave it out")
        if eval_set.wanted:
            found = measure_lpips(inputs, translated, eval_set.wanted)
            metrics["lpips"] = {**found["lpips"], "protocol": f"AlexNet, {len(inputs)} pairs"}
        if eval_set.teacher is not None:
            found = measure_lpips(inputs, translated, translate_images(eval_set.teacher, inputs))
            told = f"AlexNet, against the teacher's images of {len(inputs)} inputs"
            metrics["lpips_teacher"] = {**found["lpips"], "protocol": told}
    return metrics


def _measure_fid(
    eval_set: EvalSet, translated: list[Rgb], weights: Path, fid_reals: FidReals
) -> dict[str, Any]:
    held = list(eval_set.reals or eval_set.wanted)
    if not held:
        raise DataError("--fid-weights: there are no images of the target domain; leave it out")
    protocol = PROTOCOLS[fid_reals]
    if not eval_set.measured_on.startswith(HELD_OUT):
        protocol = "training reals (no paper's protocol: nothing was held out)"
    elif fid_reals == "train+test" and not eval_set.train_reals:
        raise DataError("--fid-reals train+test: needed are trainA, trainB, testA and testB; give test")
    reals = [*held, *eval_set.train_reals]
    found = measure_fid(eval_set.inputs, translated, reals, weights)
    told = f"{len(translated)} fakes against {len(reals)} {protocol}"
    return {"fid": {**found["fid"], "protocol": told}}


def _with_teacher(eval_set: EvalSet, facts: RunFacts) -> EvalSet:
    """Add the teacher, images cut to what it takes too; where that cannot be, say why instead."""
    if not is_teacher_unchanged(facts):
        told = f"{eval_set.measured_on}, not against the teacher, which was trained on since"
        return replace(eval_set, measured_on=told)
    teacher, _ = load_generator(teacher_checkpoint(facts), facts.direction or "AtoB")
    multiple, minimum = int(teacher.multiple), int(teacher.minimum_px)  # type: ignore[arg-type]
    if any(min(rgb.shape[:2]) < minimum for rgb in eval_set.inputs):
        told = f"{eval_set.measured_on}, not against the teacher, which takes none smaller than {minimum} px"
        return replace(eval_set, measured_on=told)
    return replace(_cut(eval_set, multiple), teacher=teacher)
