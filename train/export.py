"""Checkpoint to style: card, ONNX with pixels in and out, previews."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from torch import nn

from rt.card import NAME_PATTERN, Card, Detail, View, describe_model, write_card
from rt.view import look_at
from train.checkpoint import CHECKPOINT, read_facts
from train.data.images import picture_paths, read_picture, scale_short_side, write_picture
from train.errors import DataError, ExportError
from train.graph import check_parity, crop_to_multiple, fold_batch_norm, translate_pictures, write_onnx
from train.load import (
    best_checkpoint,
    generator_name,
    is_teacher_unchanged,
    load_generator,
    teacher_checkpoint,
)
from train.metrics.evaluate import FidReals, Learned, Material, gather_material, learnt_view, measure_style
from train.nets import count_parameters

PARITY_PICTURES = 12
DRAWING = ("draw48", "paint48", "strokes")
"""Generators whose images share too little detail with their input for it to be added back."""


@dataclass(frozen=True)
class Export:
    """Write a trained generator as a style: card, ONNX with uint8 RGB in and out, previews."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a training run, or of an imported generator."""
    name: str
    """Name of the style: lower-case letters, digits, '-' and '_'."""
    out: Path | None = None
    """Folder to write; default RUN/NAME."""
    checkpoint: Literal["best", "newest"] = "best"
    """Which checkpoint: the best by the validation (the newest where none was validated), or the newest."""
    direction: Literal["AtoB", "BtoA"] | None = None
    """Which of the two generators of a CycleGAN; default AtoB."""
    title: str = ""
    """One line for people: what the style does."""
    view: View | None = None
    """What of a camera's picture the network is to look at; default: what --pair made in training. edges: for
    drawings that lay beside their photos."""
    detail: Detail | None = None
    """How the network's change is laid over the frame in live use: keep adds it to the frame's own detail,
    network shows the network's picture. Default: network for pictures drawn from edges, and of draw48,
    paint48 and strokes."""
    size: int = 256
    """Short side of the network's picture in live use: the default of --size."""
    data: Path | None = None
    """Folder with pictures to check and measure on; default: the run's own."""
    facts: Path | None = None
    """JSON object with `data` (name, origin, terms) and `faults` (sentences) for the card."""
    previews: Path | None = None
    """Folder of redistributable pictures for the style's previews; default: none are written."""
    fid_weights: Path | None = None
    """Inception weights of torch-fidelity: FID is measured too; it needs the package torchmetrics."""
    fid_reals: FidReals = "test"
    """What FID is measured against: test reals alone (CUT), or train and test reals (GAN Compression).

    Figures of the two protocols must never be compared; the card says which it was."""
    lpips: bool = False
    """Measure LPIPS too, against pairs and the teacher; it needs torchmetrics and AlexNet's weights."""
    overwrite: bool = False
    """Replace an existing style folder."""

    @property
    def learned(self) -> Learned:
        """Return the metrics asked for that need the user's weights."""
        return Learned(self.fid_weights, self.fid_reals, self.lpips)


def export_style(config: Export, say: Callable[[str], None]) -> Path:
    """Write a run's generator as a style folder and return the folder.

    Everything is written into a temporary folder beside the target, which is renamed at the end: a failed
    export leaves nothing.

    Raises:
        ExportError: the name, target or size does not fit, or ONNX Runtime's picture differs from PyTorch's
            by more than one level anywhere.
        RunError, DataError: the run or its pictures are missing or damaged, or it translates no pictures.
    """
    target = check_target(config)
    notes = read_notes(config.facts)
    config.learned.check()
    path = best_checkpoint(config.run) if config.checkpoint == "best" else config.run / CHECKPOINT
    net, facts = load_generator(path, config.direction or "AtoB")
    if config.direction is not None and facts["recipe"] != "cyclegan":
        raise ExportError(f"--direction: a run of {facts['recipe']} has one generator alone; leave it out")
    if config.size < (minimum := int(net.minimum_px)):  # type: ignore[arg-type]
        raise ExportError(
            f"--size {config.size}: {generator_name(facts['settings'])} takes no picture smaller than "
            f"{minimum} px; give --size {minimum} or more"
        )
    say(f"checkpoint {path}, step {facts['step']}")
    folder = target.with_name(target.name + ".part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _fill(folder, _Work(config, net, facts, notes), say)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def check_target(config: Export) -> Path:
    """Return the folder of the style.

    Raises:
        ExportError: its name is no style's, or the folder is not one that may be replaced.
    """
    target = config.out or config.run / config.name
    if not NAME_PATTERN.fullmatch(config.name):
        raise ExportError(
            f"--name {config.name!r} is no style name: use lower-case letters, digits, '-' and '_'"
        )
    if target.exists() and not config.overwrite:
        raise ExportError(f"{target} exists: give another --out, or replace it with --overwrite")
    if target.exists() and not (target / "card.json").is_file():
        raise ExportError(f"{target} is not a style folder and is left alone: give another --out")
    if config.previews is not None:
        picture_paths(config.previews)
    return target


def read_notes(path: Path | None) -> dict[str, Any]:
    """Return the `data` and `faults` that people wrote for a card; nothing without a file.

    Raises:
        ExportError: the file cannot be read, or holds something else.
    """
    if path is None:
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"--facts {path} cannot be read as JSON: {error}") from None
    if not isinstance(facts, dict) or set(facts) - {"data", "faults"}:
        raise ExportError(f"--facts {path}: needed is an object with only `data` and `faults`")
    return facts


@dataclass(frozen=True)
class _Work:
    """What a style is made from."""

    config: Export
    net: nn.Module
    facts: dict[str, Any]
    """The checkpoint's facts."""
    notes: dict[str, Any]
    """`data` and `faults`, as the user gave them."""

    @property
    def direction(self) -> str:
        """Which of the domains is translated to which."""
        return self.config.direction or str(self.facts["settings"].get("direction", "AtoB"))

    @property
    def view(self) -> View:
        """What of a camera's picture the network looks at."""
        return self.config.view or learnt_view(self.facts)

    @property
    def detail(self) -> Detail:
        """How the network's change is laid over the frame."""
        drawn = self.view == "edges" or generator_name(self.facts["settings"]) in DRAWING
        return self.config.detail or ("network" if drawn else "keep")


def _fill(folder: Path, work: _Work, say: Callable[[str], None]) -> None:
    """Write everything a style consists of into `folder`, the card last."""
    config, net = work.config, work.net
    multiple = int(net.multiple)  # type: ignore[arg-type]
    material: Material = gather_material(
        work.facts, work.direction, config.data, config.size, multiple, config.fid_reals
    )
    folded, norms = fold_batch_norm(net)
    write_onnx(folded, folder / "model.onnx")
    compared = material.inputs[:PARITY_PICTURES]
    worst = check_parity(net, folder / "model.onnx", compared)
    say(f"ONNX Runtime against PyTorch on {len(compared)} pictures: largest difference {worst} level(s): ok")
    say(f"measuring on {material.counts} {material.measured_on} ...")
    metrics = measure_style(net, material, config.learned)
    if config.previews is not None:
        _write_previews(folder, work)
    metrics |= {"measured_on": material.measured_on, "onnx_largest_difference": worst}
    write_card(_make_card(folder, work, metrics, norms), folder)


def _make_card(folder: Path, work: _Work, metrics: dict[str, Any], norms: int) -> Card:
    config, net, facts = work.config, work.net, work.facts
    settings, recipe = facts["settings"], facts["recipe"]
    network = {
        "generator": generator_name(facts["settings"]),
        "norm": settings["norm"],
        "parameters": count_parameters(net),
    }
    if norms:
        network["batch_norms_folded"] = norms
    if "weights" in facts:
        network["weights"] = facts["weights"]
    if settings.get("z"):
        network["noise"] = f"{settings['z']} channels, at 0"
    return Card(
        name=config.name,
        title=config.title or f"{recipe} {work.direction[0]} to {work.direction[-1]}",
        multiple=int(net.multiple),  # type: ignore[arg-type]
        minimum_px=int(net.minimum_px),  # type: ignore[arg-type]
        size_px=config.size,
        models={"fp32": describe_model(folder / "model.onnx")},
        recipe=recipe,
        network=network,
        data={**work.notes.get("data", {}), "pictures": facts["pictures"]},
        training={
            "steps": facts["step"],
            "minutes": round(facts["elapsed_s"] / 60, 1),
            "direction": work.direction,
            **facts["environment"],
            **_teacher_facts(facts),
        },
        metrics=metrics,
        faults=tuple(work.notes.get("faults", [])),
        view=work.view,
        detail=work.detail,
    )


def _teacher_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return how a student's teacher was trained; nothing without one, or where it has changed since."""
    if facts["recipe"] != "distill" or not is_teacher_unchanged(facts):
        return {}
    teacher = read_facts(teacher_checkpoint(facts))
    return {
        "teacher": {
            "recipe": teacher["recipe"],
            "generator": generator_name(teacher["settings"]),
            "steps": teacher["step"],
            "minutes": round(teacher["elapsed_s"] / 60, 1),
            **teacher["environment"],
        }
    }


def _write_previews(folder: Path, work: _Work) -> None:
    """Write pairs of the given pictures: what the network looks at | what it makes of it."""
    config, net = work.config, work.net
    assert config.previews is not None
    previews = folder / "previews"
    previews.mkdir()
    for path in picture_paths(config.previews):
        rgb = read_picture(path)
        if rgb is None:
            raise DataError(f"preview picture {path} is damaged")
        multiple = int(net.multiple)  # type: ignore[arg-type]
        before = look_at(crop_to_multiple(scale_short_side(rgb, config.size), multiple), work.view)
        after = translate_pictures(net, [before])[0]
        write_picture(previews / f"{path.stem}.jpg", np.concatenate([before, after], axis=1))
