"""Checkpoint to style: card, ONNX with pixels in and out, previews."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rt.card import NAME_PATTERN, Card, describe_model, write_card
from rt.frame import Rgb
from train.checkpoint import load_net, read_facts
from train.config import Export
from train.data import load_pictures, picture_paths, read_picture, scale_short_side, write_picture
from train.errors import DataError, ExportError
from train.loop import CHECKPOINT
from train.metrics import measure_translation, train_domain_classifier
from train.nets import count_parameters, make_generator

OPSET = 21
INPUT, OUTPUT = "frame", "translated"
PARITY_PICTURES = 12


class PixelsInOut(nn.Module):
    """A generator with scaling and layout inside: uint8[N, H, W, 3] RGB in, the same out."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, frame: Tensor) -> Tensor:
        """Translate uint8[N, H, W, 3] RGB; the graph that is exported."""
        picture = frame.to(torch.float32).permute(0, 3, 1, 2) * (1 / 127.5) - 1.0  # [N, 3, H, W]
        levels = self.generator(picture) * 127.5 + 127.5
        # TensorRT's cast to uint8 truncates and is undefined out of range: round and clip stand before it.
        return torch.clamp(torch.round(levels), 0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)


def export_style(config: Export, say: Callable[[str], None]) -> Path:
    """Write a run's generator as a style folder and return the folder.

    Everything is written into a temporary folder beside the target, which is renamed at the end: a failed
    export leaves nothing.

    Raises:
        ExportError: the name or target does not fit, or ONNX Runtime's picture differs from PyTorch's by more
            than one level anywhere.
        RunError, DataError: the run or its pictures are missing or damaged.
    """
    target = config.out or config.run / config.name
    _check_target(config, target)
    notes = _read_facts(config.facts)
    net, facts = load_generator(config.run, config.direction)
    folder = target.with_name(target.name + ".part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _fill(folder, _Material(config, net, facts, notes), say)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def load_generator(run: Path, direction: str) -> tuple[nn.Module, dict[str, Any]]:
    """Return the averaged generator of a run, ready for inference, and the checkpoint's facts.

    Raises:
        RunError: the run has no readable checkpoint.
    """
    settings = read_facts(run / CHECKPOINT)["settings"]
    net = make_generator(settings["generator"], settings["norm"])
    facts = load_net(run / CHECKPOINT, "ema_G_A" if direction == "AtoB" else "ema_G_B", net)
    return net.eval(), facts


def write_onnx(net: nn.Module, path: Path) -> None:
    """Export a generator with dynamic batch, height and width to an ONNX file with uint8 RGB in and out."""
    batch = torch.export.Dim("batch", min=1, max=64)
    rows = torch.export.Dim("rows", min=2, max=1024)
    columns = torch.export.Dim("columns", min=2, max=1024)
    multiple = _whole(net.multiple)
    shapes = ({0: batch, 1: multiple * rows, 2: multiple * columns},)
    example = torch.zeros(2, 12 * multiple, 16 * multiple, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which is not used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            PixelsInOut(net).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


@torch.no_grad()
def translate_pictures(net: nn.Module, pictures: list[Rgb]) -> list[Rgb]:
    """Translate uint8[H, W, 3] RGB pictures of any size, each cropped to the network's multiple."""
    graph = PixelsInOut(net).eval()
    return [graph(torch.from_numpy(np.ascontiguousarray(rgb))[None])[0].numpy() for rgb in pictures]


def check_parity(net: nn.Module, path: Path, pictures: list[Rgb]) -> int:
    """Compare ONNX Runtime with PyTorch on pictures cut to several sizes; return the largest difference.

    Raises:
        ExportError: a pixel differs by more than one level, or the shapes differ.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    multiple, minimum = _whole(net.multiple), _whole(net.minimum_px)
    worst = 0
    for number, rgb in enumerate(pictures):
        # Sizes change from picture to picture, so that a size frozen into the graph is found.
        cropped = crop_to_multiple(rgb[: max(minimum, rgb.shape[0] - multiple * number)], multiple)
        frames = np.stack([cropped] * (1 + number % 2))
        with torch.no_grad():
            wanted = PixelsInOut(net).eval()(torch.from_numpy(frames)).numpy()
        found = session.run([OUTPUT], {INPUT: frames})[0]
        if found.shape != wanted.shape:
            raise ExportError(
                f"ONNX Runtime returned shape {found.shape} for {frames.shape}: export is wrong"
            )
        worst = max(worst, int(np.abs(found.astype(np.int16) - wanted).max()))
    if worst > 1:
        raise ExportError(
            f"ONNX Runtime's picture differs from PyTorch's by up to {worst} levels (1 is allowed): "
            "nothing was written"
        )
    return worst


def crop_to_multiple(rgb: Rgb, multiple: int) -> Rgb:
    """Cut a picture at the bottom and the right to multiples of `multiple` pixels."""
    height, width = (side - side % multiple for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[:height, :width])


def _check_target(config: Export, target: Path) -> None:
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


def _read_facts(path: Path | None) -> dict[str, Any]:
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
class _Material:
    """What a style is made from."""

    config: Export
    net: nn.Module
    facts: dict[str, Any]
    """The checkpoint's facts."""
    notes: dict[str, Any]
    """`data` and `faults`, as the user gave them."""


def _fill(folder: Path, material: _Material, say: Callable[[str], None]) -> None:
    """Write everything a style consists of into `folder`, the card last."""
    config, net = material.config, material.net
    data, multiple = Path(material.facts["settings"]["data"]), _whole(net.multiple)
    domains = ("A", "B") if config.direction == "AtoB" else ("B", "A")
    inputs, reals = (_test_pictures(data, domain, config.size, multiple) for domain in domains)
    write_onnx(net, folder / "model.onnx")
    compared = inputs[:PARITY_PICTURES]
    worst = check_parity(net, folder / "model.onnx", compared)
    say(f"ONNX Runtime against PyTorch on {len(compared)} pictures: largest difference {worst} level(s): ok")
    held_back = all((data / f"test{domain}").is_dir() for domain in domains)
    measured_on = "held-back pictures" if held_back else "training pictures: there are no testA and testB"
    say(f"measuring on {len(inputs)} and {len(reals)} {measured_on} ...")
    source, target = (load_pictures(data / f"train{domain}", 72).pictures for domain in domains)
    metrics = _measure(net, inputs, reals, train_domain_classifier(source, target))
    if config.previews is not None:
        _write_previews(folder, config.previews, net, config.size)
    metrics |= {"measured_on": measured_on, "onnx_largest_difference": worst}
    write_card(_make_card(folder, material, metrics), folder)


def _make_card(folder: Path, material: _Material, metrics: dict[str, Any]) -> Card:
    config, net, facts, notes = material.config, material.net, material.facts, material.notes
    settings, recipe = facts["settings"], facts["recipe"]
    return Card(
        name=config.name,
        title=config.title or f"{recipe} {config.direction[0]} to {config.direction[-1]}",
        multiple=_whole(net.multiple),
        minimum_px=_whole(net.minimum_px),
        size_px=config.size,
        models={"fp32": describe_model(folder / "model.onnx")},
        recipe=recipe,
        network={
            "generator": settings["generator"],
            "norm": settings["norm"],
            "parameters": count_parameters(net),
        },
        data={**notes.get("data", {}), "pictures": facts["pictures"]},
        training={
            "steps": facts["step"],
            "minutes": round(facts["elapsed_s"] / 60, 1),
            "direction": config.direction,
            **facts["environment"],
        },
        metrics=metrics,
        faults=tuple(notes.get("faults", [])),
    )


def _whole(value: Tensor | nn.Module) -> int:
    """Return a network's plain number, which PyTorch types as if it were a part of the network."""
    return int(value)  # type: ignore[arg-type]


def _test_pictures(data: Path, domain: str, size: int, multiple: int) -> list[Rgb]:
    """Return held-back pictures of a domain; the training ones only where there are no others."""
    folder = data / f"test{domain}"
    pictures = load_pictures(folder if folder.is_dir() else data / f"train{domain}", size).pictures
    return [crop_to_multiple(rgb, multiple) for rgb in pictures]


def _measure(net: nn.Module, inputs: list[Rgb], reals: list[Rgb], classifier: nn.Module) -> dict[str, Any]:
    if len(reals) < 4:
        raise DataError(f"only {len(reals)} pictures of the target domain to measure with: needed are 4")
    translated = translate_pictures(net, inputs)
    changed = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(inputs, translated, strict=True)]
    return {
        **measure_translation(inputs, translated, reals, classifier),
        "mean_change_levels": round(float(np.mean(changed)), 2),
        "pictures": {"translated": len(inputs), "real": len(reals)},
    }


def _write_previews(folder: Path, pictures: Path, net: nn.Module, size: int) -> None:
    """Write before|after pairs of the given pictures."""
    previews = folder / "previews"
    previews.mkdir()
    for path in picture_paths(pictures):
        rgb = read_picture(path)
        if rgb is None:
            raise DataError(f"preview picture {path} is damaged")
        before = crop_to_multiple(scale_short_side(rgb, size), _whole(net.multiple))
        after = translate_pictures(net, [before])[0]
        write_picture(previews / f"{path.stem}.jpg", np.concatenate([before, after], axis=1))
