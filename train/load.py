"""Networks of finished runs, ready for inference: for export, sampling, and as teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rt.card import file_sha256
from train.checkpoint import BEST, CHECKPOINT, load_net, read_facts
from train.errors import RunError
from train.nets import make_generator
from train.nets.discriminators import PatchDiscriminator
from train.nets.noise import DcganDiscriminator, DcganGenerator, MlpDiscriminator, MlpGenerator

FROM_NOISE = ("gan", "cgan", "dcgan")
"""Recipes whose generators take noise, not a picture."""


class AtRest(nn.Module):
    """A generator that takes noise beside its picture, with the noise at 0: the same picture every time."""

    def __init__(self, generator: nn.Module, z: int) -> None:
        super().__init__()
        self.generator, self.z = generator, z
        self.multiple, self.minimum_px = generator.multiple, generator.minimum_px

    def forward(self, picture: Tensor) -> Tensor:
        """Translate float32[N, 3, H, W] in [-1, 1]."""
        still = torch.zeros_like(picture[:, :1]).expand(-1, self.z, -1, -1)
        translated: Tensor = self.generator(torch.cat([picture, still], dim=1))
        return translated


def best_checkpoint(run: Path) -> Path:
    """Return the checkpoint of a run the validation liked best, the newest where none was validated."""
    best = run / BEST
    return best if best.is_file() else run / CHECKPOINT


def teacher_checkpoint(facts: dict[str, Any]) -> Path:
    """Return the checkpoint a student's teacher has now."""
    return best_checkpoint(Path(facts["settings"]["teacher"]))


def is_teacher_unchanged(facts: dict[str, Any]) -> bool:
    """Say whether the teacher of a student's run still is the network that the student learnt from."""
    learnt_from = facts.get("teacher", {}).get("sha256")  # older runs did not note it
    return learnt_from is None or file_sha256(teacher_checkpoint(facts)) == learnt_from


def first_teacher(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of the run that learnt from pictures: a run's own, or at the head of its teachers.

    Raises:
        RunError: a teacher's checkpoint is missing or damaged.
    """
    while facts["recipe"] == "distill":
        facts = read_facts(teacher_checkpoint(facts))
    return facts


def generator_name(settings: dict[str, Any]) -> str:
    """Return which of `GENERATORS` a translating run trained: a student's name, or that of the recipe's."""
    return str(settings.get("student") or settings["generator"])


def generator_from(settings: dict[str, Any]) -> nn.Module:
    """Return the untrained generator of a translating run's settings, noise beside the picture left in."""
    options = ("width", "dropout", "down", "up", "start")
    name = generator_name(settings)
    given = {option: settings[option] for option in options if settings.get(option) is not None}
    if settings.get("generator_width") is not None:
        given["width"] = settings["generator_width"]
    if settings.get("dropout", False) is None:
        given["dropout"] = name.startswith("unet") and not settings.get("z")
    channels_in = settings.get("channels_in", 3 + settings.get("z", 0))
    return make_generator(name, settings["norm"], channels_in=channels_in, **given)


def load_generator(path: Path, direction: str) -> tuple[nn.Module, dict[str, Any]]:
    """Return the generator of a checkpoint that translates pictures, for inference, and its facts.

    It takes and gives float32[N, 3, H, W] in [-1, 1]; dropout is off, noise is at 0, weights are the averaged
    ones where there are any.

    Raises:
        RunError: the checkpoint is missing or damaged, or its generator makes pictures from noise.
    """
    facts = read_facts(path)
    if facts["recipe"] in FROM_NOISE:
        raise RunError(
            f"{path} is of a {facts['recipe']}: it makes pictures from noise and translates none, so it is "
            f"no style and no teacher; type videobrush-train sample {path.parent}"
        )
    settings = facts["settings"]
    net = generator_from(settings)
    name = f"G_{'A' if direction == 'AtoB' else 'B'}" if facts["recipe"] == "cyclegan" else "G"
    load_net(path, name, net)
    z = settings.get("z", 0)
    return (AtRest(net, z) if z else net).eval(), facts


def load_discriminator(path: Path, direction: str) -> PatchDiscriminator | None:
    """Return the discriminator of what `load_generator` returns, frozen; None where the run has none.

    Raises:
        RunError: the checkpoint is missing or damaged.
    """
    facts = read_facts(path)
    recipe, settings = facts["recipe"], facts["settings"]
    if recipe not in ("cyclegan", "pix2pix"):
        return None
    net = PatchDiscriminator(
        settings["discriminator_width"],
        settings["discriminator_norm"],
        channels_in=6 if recipe == "pix2pix" else 3,
        patch=settings.get("patch", "70"),
    )
    load_net(path, f"D_{'A' if direction == 'AtoB' else 'B'}" if recipe == "cyclegan" else "D", net)
    return net.eval().requires_grad_(False)


def noise_nets(recipe: str, settings: dict[str, Any], classes: int) -> tuple[nn.Module, nn.Module]:
    """Return the untrained generator and discriminator of a gan, cgan or dcgan."""
    convolutions = recipe == "dcgan" or settings.get("networks") == "dcgan"
    side, width = settings["crop_size"], settings["width"]
    if convolutions:
        return (
            DcganGenerator(settings["z"], side, classes=classes, width=width),
            DcganDiscriminator(side, classes=classes, width=width),
        )
    return (
        MlpGenerator(settings["z"], side, classes=classes, width=width),
        MlpDiscriminator(side, classes=classes, width=width),
    )


def load_noise_generator(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the generator of a checkpoint that makes pictures from noise, for inference, and its facts.

    Raises:
        RunError: the checkpoint is missing or damaged, or its generator translates pictures.
    """
    facts = read_facts(path)
    if facts["recipe"] not in FROM_NOISE:
        raise RunError(
            f"{path.parent} is a run of {facts['recipe']}: it translates pictures, and its sheets are the "
            "sample-*.jpg in its folder"
        )
    net, _ = noise_nets(facts["recipe"], facts["settings"], len(facts.get("classes", ())))
    load_net(path, "G", net)
    return net.eval(), facts
