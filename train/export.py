"""Checkpoint to style: card, ONNX with pixels in and out, previews."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from torch import nn

from rt.card import NAME_PATTERN, Card, Detail, View, describe_model, write_card
from rt.replacing import replacing
from rt.view import look_at
from train.checkpoint import CHECKPOINT, read_facts
from train.data.images import image_paths, load_image, save_image, scale_short_side
from train.errors import DataError, ExportError
from train.facts import RunFacts
from train.graph import check_parity, crop_to_multiple, fold_batch_norm, translate_images, write_onnx
from train.load import (
    best_checkpoint,
    is_teacher_unchanged,
    load_generator,
    teacher_checkpoint,
)
from train.metrics.evaluate import (
    EvalSet,
    FidReals,
    PerceptualMetrics,
    gather_eval_set,
    measure_style,
    training_view,
)
from train.metrics.translation import IDENTITY_LEVELS
from train.nets import count_parameters

PARITY_IMAGES = 12
DRAWING = ("draw48", "paint48", "flat48", "strokes")
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
    """What of a camera's image the network is to look at; default: what --pair made in training. edges: for
    drawings that lay beside their photos."""
    detail: Detail | None = None
    """How the network's residual is applied to the frame in live use: keep adds it to the frame's own detail,
    network shows the network's image. Default: network for images drawn from edges, and of draw48,
    paint48, flat48 and strokes."""
    size: int | None = None
    """Short side of the network's image in live use: the default of --size there. Default: that of the
    training, --load-size; 256 for an imported generator."""
    data: Path | None = None
    """Folder with images to check and measure on; default: the run's own."""
    facts: Path | None = None
    """JSON object with `data` (name, origin, terms) and `faults` (sentences) for the card."""
    previews: Path | None = None
    """Folder of redistributable images for the style's previews; default: none are written."""
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
    def perceptual(self) -> PerceptualMetrics:
        """Return the metrics asked for that need the user's weights."""
        return PerceptualMetrics(self.fid_weights, self.fid_reals, self.lpips)


def export_style(config: Export, say: Callable[[str], None]) -> Path:
    """Write a run's generator as a style folder and return the folder.

    Everything is written into a temporary folder beside the target, which is renamed at the end: a failed
    export leaves nothing.

    Raises:
        ExportError: the name, target or size does not fit, or ONNX Runtime's image differs from PyTorch's
            by more than one level anywhere.
        RunError, DataError: the run or its images are missing or damaged, or it translates no images.
    """
    target = check_target(config)
    notes = read_notes(config.facts)
    config.perceptual.check()
    path = best_checkpoint(config.run) if config.checkpoint == "best" else config.run / CHECKPOINT
    net, facts = load_generator(path, config.direction or "AtoB")
    if config.direction is not None and facts.recipe != "cyclegan":
        raise ExportError(f"--direction: a run of {facts.recipe} has one generator alone; leave it out")
    work = _Work(config, net, facts, notes)
    if work.size < (minimum := int(net.minimum_px)):  # type: ignore[arg-type]
        raise ExportError(
            f"--size {work.size}: {facts.networks.generator} takes no image smaller than "
            f"{minimum} px; give --size {minimum} or more"
        )
    say(f"checkpoint {path}, step {facts.step}")
    with replacing(target) as folder:
        folder.mkdir(parents=True)
        _fill(folder, work, say)
        if target.exists():
            shutil.rmtree(target)
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
        image_paths(config.previews)
    return target


def read_notes(path: Path | None) -> dict[str, Any]:
    """Return the `data`, `faults` and `expects` that people wrote for a card; nothing without a file.

    Raises:
        ExportError: the file cannot be read, or holds something else.
    """
    if path is None:
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"--facts {path} cannot be read as JSON: {error}") from None
    if not isinstance(facts, dict) or set(facts) - {"data", "faults", "expects"}:
        raise ExportError(f"--facts {path}: needed is an object with only `data`, `faults` and `expects`")
    return facts


@dataclass(frozen=True)
class _Work:
    """What a style is made from."""

    config: Export
    net: nn.Module
    facts: RunFacts
    """The checkpoint's facts."""
    notes: dict[str, Any]
    """`data`, `faults` and `expects`, as the user gave them."""

    @property
    def size(self) -> int:
        """Short side of the network's image: as asked for, else that of the training."""
        multiple = int(self.net.multiple)  # type: ignore[arg-type]
        trained = int(self.facts.settings.get("load_size", 256))
        return self.config.size or max(trained - trained % multiple, multiple)

    @property
    def direction(self) -> str:
        """Which of the domains is translated to which."""
        return self.config.direction or self.facts.direction or "AtoB"

    @property
    def view(self) -> View:
        """What of a camera's image the network looks at."""
        return self.config.view or training_view(self.facts)

    @property
    def detail(self) -> Detail:
        """How the network's residual is applied to the frame."""
        drawn = self.view == "edges" or self.facts.networks.generator in DRAWING
        return self.config.detail or ("network" if drawn else "keep")


def _fill(folder: Path, work: _Work, say: Callable[[str], None]) -> None:
    """Write everything a style consists of into `folder`, the card last."""
    config, net = work.config, work.net
    multiple = int(net.multiple)  # type: ignore[arg-type]
    eval_set: EvalSet = gather_eval_set(
        work.facts, work.direction, config.data, work.size, multiple, config.fid_reals
    )
    folded, norms = fold_batch_norm(net)
    write_onnx(folded, folder / "model.onnx")
    compared = eval_set.inputs[:PARITY_IMAGES]
    worst = check_parity(net, folder / "model.onnx", compared)
    say(f"ONNX Runtime against PyTorch on {len(compared)} images: largest difference {worst} level(s): ok")
    say(f"measuring on {eval_set.counts} {eval_set.measured_on} ...")
    metrics = measure_style(net, eval_set, config.perceptual)
    if metrics["mean_change_levels"] < IDENTITY_LEVELS:
        say(f"warning: {_identity(metrics)}")
    if config.previews is not None:
        _write_previews(folder, work)
    metrics |= {"measured_on": eval_set.measured_on, "onnx_largest_difference": worst}
    write_card(_make_card(folder, work, metrics, norms), folder)


def _make_card(folder: Path, work: _Work, metrics: dict[str, Any], norms: int) -> Card:
    config, net, facts = work.config, work.net, work.facts
    recipe, networks = facts.recipe, facts.networks
    network = {
        "generator": networks.generator,
        "norm": networks.norm,
        "parameters": count_parameters(net),
    }
    if norms:
        network["batch_norms_folded"] = norms
    if "weights" in facts.further:
        network["weights"] = facts.further["weights"]
    if networks.z:
        network["noise"] = f"{networks.z} channels, at 0"
    return Card(
        name=config.name,
        title=config.title or f"{recipe} {work.direction[0]} to {work.direction[-1]}",
        multiple=int(net.multiple),  # type: ignore[arg-type]
        minimum_px=int(net.minimum_px),  # type: ignore[arg-type]
        size_px=work.size,
        models={"fp32": describe_model(folder / "model.onnx")},
        recipe=recipe,
        network=network,
        data={**work.notes.get("data", {}), "images": dict(facts.images)},
        training={
            "steps": facts.step,
            "minutes": facts.minutes,
            "direction": work.direction,
            **facts.environment,
            **_teacher_facts(facts),
        },
        metrics=metrics,
        faults=(
            *work.notes.get("faults", []),
            *([_identity(metrics)] if metrics["mean_change_levels"] < IDENTITY_LEVELS else []),
        ),
        view=work.view,
        detail=work.detail,
        expects=work.notes.get("expects", "photo"),
    )


def _identity(metrics: Mapping[str, Any]) -> str:
    """Return the sentence about a network that does nothing."""
    return (
        f"It changes an image by {metrics['mean_change_levels']:g} of 255 levels on average: it is the "
        "identity, trained too briefly or held there by its losses."
    )


def _teacher_facts(facts: RunFacts) -> dict[str, Any]:
    """Return how a student's teacher was trained; nothing without one, or where it has changed since."""
    if not facts.has_teacher or not is_teacher_unchanged(facts):
        return {}
    teacher = read_facts(teacher_checkpoint(facts))
    return {
        "teacher": {
            "recipe": teacher.recipe,
            "generator": teacher.networks.generator,
            "steps": teacher.step,
            "minutes": teacher.minutes,
            **teacher.environment,
        }
    }


def _write_previews(folder: Path, work: _Work) -> None:
    """Write pairs of the given images: what the network looks at | what it makes of it."""
    config, net = work.config, work.net
    assert config.previews is not None
    previews = folder / "previews"
    previews.mkdir()
    for path in image_paths(config.previews):
        rgb = load_image(path)
        if rgb is None:
            raise DataError(f"preview image {path} is damaged")
        multiple = int(net.multiple)  # type: ignore[arg-type]
        before = look_at(crop_to_multiple(scale_short_side(rgb, work.size), multiple), work.view)
        after = translate_images(net, [before])[0]
        save_image(previews / f"{path.stem}.jpg", np.concatenate([before, after], axis=1))
