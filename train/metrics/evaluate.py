"""What an exported generator is checked and measured with, after the kind of its training pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from torch import nn

from rt.card import View
from rt.frame import Rgb
from train.data.folders import first_folder, held_split, makes_inputs, photos_folder, read_pairs
from train.data.images import load_pictures
from train.data.paintings import painted_views, read_paintings
from train.errors import DataError
from train.graph import crop_to_multiple, translate_pictures
from train.load import first_teacher, is_teacher_unchanged, load_generator, teacher_checkpoint
from train.metrics.perceptual import find_fid, find_lpips, measure_fid, measure_lpips
from train.metrics.pretrained import judge, measure_pretrained
from train.metrics.translation import (
    measure_pairs,
    measure_steadiness,
    measure_translation,
    train_domain_classifier,
)

HELD_BACK = "held-back pictures"
CLASSIFIER_PX = 72
"""Short side of the pictures the two-domain classifier learns from."""
PAINTED, FIRST_LOOK = 64, 4
"""Most photos a painting's style is measured on, and an untrained one."""
STEADINESS_PICTURES = 12
"""Pictures the warping error is measured on."""


FidReals = Literal["test", "train+test"]
PROTOCOLS: dict[FidReals, str] = {
    "test": "test reals alone (the protocol of CUT)",
    "train+test": "train and test reals (the protocol of GAN Compression)",
}
"""What FID is measured against; figures of the two protocols must never be compared with each other."""


@dataclass(frozen=True)
class Learned:
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
class Material:
    """Pictures to measure a generator with."""

    inputs: list[Rgb]
    measured_on: str
    """Whether they were kept back from training."""
    wanted: Sequence[Rgb] = ()
    """What each input should become, of a pair."""
    reals: Sequence[Rgb] = ()
    """Pictures of the target domain."""
    train_reals: Sequence[Rgb] = ()
    """Training pictures of the target domain, where they are asked for beside held-back ones."""
    trained: tuple[Sequence[Rgb], Sequence[Rgb]] | None = None
    """Training pictures of source and target domain, for the classifier that tells them apart."""
    teacher: nn.Module | None = None
    """The network a student learnt from."""

    @property
    def counts(self) -> str:
        """How many pictures there are, in words."""
        return f"{len(self.inputs)} and {len(self.reals)}" if self.reals else f"{len(self.inputs)}"


def gather_material(
    facts: dict[str, Any],
    direction: str,
    data: Path | None,
    size: int,
    multiple: int,
    fid_reals: FidReals = "test",
) -> Material:
    """Read the pictures of a checkpoint's run, or those of `data`, short sides scaled to `size`.

    With `fid_reals` "train+test" the training pictures of the target domain are read too.

    Raises:
        DataError: they are missing or damaged, or too few.
        RunError: a student's teacher is damaged.
    """
    settings, recipe = facts["settings"], facts["recipe"]
    if recipe == "paint":
        return _cut(_painted(facts, data, size), multiple)
    if data is None and "data" not in settings:
        raise DataError("an imported generator has no pictures of its own: give some with --data DIR")
    folder = data or Path(settings["data"])
    first = first_teacher(facts)
    if recipe == "pix2pix" or makes_inputs(folder, first):
        material = _pairs(folder, first["settings"]["pair"], direction, size)
    elif recipe == "cyclegan" or (folder / f"train{direction[-1]}").is_dir():
        material = _domains(folder, direction, size, fid_reals)
    else:
        own = "pictures of --data" if data else "training pictures: none were held back"
        material = _pictures(folder, direction[0], size, own)
    material = _cut(material, multiple)
    return _with_teacher(material, facts) if recipe == "distill" else material


def learnt_view(facts: dict[str, Any]) -> View:
    """Return what of its pictures a checkpoint's generator, or a student's teacher, learnt to look at."""
    settings = first_teacher(facts)["settings"]
    return "picture" if (pair := settings.get("pair", "none")) == "none" else cast(View, pair)


def _painted(facts: Mapping[str, Any], data: Path | None, size: int) -> Material:
    """Read photos, the user's or those of the training, and views of the paintings.

    Of a first look, which nothing was trained for, only the steadiness is measured, on a few photos.
    """
    settings = facts["settings"]
    told = HELD_BACK if data is not None else "training photos: none were held back"
    folder = data or photos_folder(settings["photos"])
    inputs = list(load_pictures(folder, size, PAINTED if facts["step"] else FIRST_LOOK).pictures)
    if not facts["step"]:
        return Material(inputs, told)
    return Material(
        inputs, told, reals=painted_views(read_paintings(Path(settings["data"])), settings["scale"])
    )


def _pairs(folder: Path, pair: str, direction: str, size: int) -> Material:
    split = held_split(folder) or "train"
    inputs, wanted = read_pairs(folder, split, pair, direction, size)
    told = HELD_BACK if split != "train" else "training pictures: there are neither val nor test"
    return Material(inputs, told, wanted=wanted)


def _domains(folder: Path, direction: str, size: int, fid_reals: FidReals) -> Material:
    source, target = direction[0], direction[-1]
    held_back = all((folder / f"test{domain}").is_dir() for domain in (source, target))
    split = "test" if held_back else "train"
    inputs, reals = (
        list(load_pictures(folder / f"{split}{domain}", size).pictures) for domain in (source, target)
    )
    if len(reals) < 4:
        raise DataError(f"only {len(reals)} pictures of the target domain to measure with: needed are 4")
    learnt = [load_pictures(folder / f"train{domain}", CLASSIFIER_PX).pictures for domain in (source, target)]
    told = HELD_BACK if held_back else "training pictures: there are no testA and testB"
    further: Sequence[Rgb] = ()
    if held_back and fid_reals == "train+test":
        further = load_pictures(folder / f"train{target}", size).pictures
    return Material(inputs, told, reals=reals, train_reals=further, trained=(learnt[0], learnt[1]))


def _pictures(folder: Path, source: str, size: int, own: str) -> Material:
    """Read pictures to translate; `own` says whose they are where none of them are kept back."""
    shown = first_folder(folder, f"test{source}", "val", "test", f"train{source}", "train")
    held_back = shown != folder and shown.name.startswith(("test", "val"))
    return Material(list(load_pictures(shown, size).pictures), HELD_BACK if held_back else own)


def _cut(material: Material, multiple: int) -> Material:
    inputs, wanted, reals, train_reals = (
        [crop_to_multiple(rgb, multiple) for rgb in pictures]
        for pictures in (material.inputs, material.wanted, material.reals, material.train_reals)
    )
    return replace(material, inputs=inputs, wanted=wanted, reals=reals, train_reals=train_reals)


def measure_style(net: nn.Module, material: Material, learned: Learned | None = None) -> dict[str, Any]:
    """Measure a generator against pairs, the target domain and its teacher, as far as there are.

    `teacher` has the figures of the student's pictures against its teacher's, `teacher_itself` those of the
    teacher's own, measured on the same pictures by the same classifier.

    Raises:
        RunError, DataError: a metric asked for cannot be measured.
    """
    inputs = material.inputs
    classifier = None if material.trained is None else train_domain_classifier(*material.trained)
    translated = translate_pictures(net, inputs)
    changed = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(inputs, translated, strict=True)]
    metrics: dict[str, Any] = {
        "mean_change_levels": round(float(np.mean(changed)), 2),
        "pictures": {"translated": len(inputs), "real": len(material.reals or material.wanted)},
        **_measure(net, material, translated, classifier),
    }
    if material.teacher is not None:
        taught = translate_pictures(material.teacher, inputs)
        metrics["teacher"] = measure_pairs(inputs, translated, taught)
        metrics["teacher_itself"] = _measure(material.teacher, material, taught, classifier)
    if learned is not None:
        metrics |= _measure_learned(material, translated, learned)
    return metrics


def _measure(
    net: nn.Module, material: Material, translated: list[Rgb], classifier: nn.Module | None
) -> dict[str, Any]:
    """Measure what can be measured of a student and a teacher alike."""
    metrics = measure_steadiness(net, material.inputs[:STEADINESS_PICTURES])
    if material.wanted:
        metrics |= measure_pairs(material.inputs, translated, material.wanted)
    if classifier is not None:
        metrics |= measure_translation(material.inputs, translated, material.reals, classifier)
    elif len(material.reals) >= 4 and len(translated) >= 2 and (backbone := judge()) is not None:
        metrics |= measure_pretrained(material.inputs, translated, material.reals, backbone)
    return metrics


def _measure_learned(material: Material, translated: list[Rgb], learned: Learned) -> dict[str, Any]:
    inputs, metrics = material.inputs, dict[str, Any]()
    if learned.fid_weights is not None:
        metrics |= _measure_fid(material, translated, learned.fid_weights, learned.fid_reals)
    if learned.lpips:
        if not material.wanted and material.teacher is None:
            raise DataError("--lpips: there are neither pairs nor a teacher to compare with; leave it out")
        if material.wanted:
            found = measure_lpips(inputs, translated, material.wanted)
            metrics["lpips"] = {**found["lpips"], "protocol": f"AlexNet, {len(inputs)} pairs"}
        if material.teacher is not None:
            found = measure_lpips(inputs, translated, translate_pictures(material.teacher, inputs))
            told = f"AlexNet, against the teacher's pictures of {len(inputs)} inputs"
            metrics["lpips_teacher"] = {**found["lpips"], "protocol": told}
    return metrics


def _measure_fid(
    material: Material, translated: list[Rgb], weights: Path, fid_reals: FidReals
) -> dict[str, Any]:
    held = list(material.reals or material.wanted)
    if not held:
        raise DataError("--fid-weights: there are no pictures of the target domain; leave it out")
    protocol = PROTOCOLS[fid_reals]
    if not material.measured_on.startswith(HELD_BACK):
        protocol = "training reals (no paper's protocol: nothing was held back)"
    elif fid_reals == "train+test" and not material.train_reals:
        raise DataError("--fid-reals train+test: needed are trainA, trainB, testA and testB; give test")
    reals = [*held, *material.train_reals]
    found = measure_fid(material.inputs, translated, reals, weights)
    told = f"{len(translated)} fakes against {len(reals)} {protocol}"
    return {"fid": {**found["fid"], "protocol": told}}


def _with_teacher(material: Material, facts: dict[str, Any]) -> Material:
    """Add the teacher, pictures cut to what it takes too; where that cannot be, say why instead."""
    if not is_teacher_unchanged(facts):
        told = f"{material.measured_on}, not against the teacher, which was trained on since"
        return replace(material, measured_on=told)
    teacher, _ = load_generator(teacher_checkpoint(facts), facts["settings"]["direction"])
    multiple, minimum = int(teacher.multiple), int(teacher.minimum_px)  # type: ignore[arg-type]
    if any(min(rgb.shape[:2]) < minimum for rgb in material.inputs):
        told = f"{material.measured_on}, not against the teacher, which takes none smaller than {minimum} px"
        return replace(material, measured_on=told)
    return replace(_cut(material, multiple), teacher=teacher)
