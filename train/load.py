"""Networks of finished runs, ready for inference: for export, sampling, and as teachers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from rt.card import file_sha256
from train.checkpoint import BEST, CHECKPOINT, load_net, read_facts
from train.errors import RunError
from train.facts import Networks, RunFacts
from train.nets import make_generator
from train.nets.discriminators import PatchDiscriminator
from train.nets.noise import DcganDiscriminator, DcganGenerator, MlpDiscriminator, MlpGenerator

FROM_NOISE = ("gan", "cgan", "dcgan")
"""Recipes whose generators take noise, not an image."""


class ZeroNoise(nn.Module):
    """A generator that takes noise beside its image, with the noise at 0: the same image every time."""

    def __init__(self, generator: nn.Module, z: int) -> None:
        super().__init__()
        self.generator, self.z = generator, z
        self.multiple, self.minimum_px = generator.multiple, generator.minimum_px

    def forward(self, image: Tensor) -> Tensor:
        """Translate float32[N, 3, H, W] in [-1, 1]."""
        still = torch.zeros_like(image[:, :1]).expand(-1, self.z, -1, -1)
        translated: Tensor = self.generator(torch.cat([image, still], dim=1))
        return translated


def best_checkpoint(run: Path) -> Path:
    """Return the checkpoint of a run the validation liked best, the newest where none was validated."""
    best = run / BEST
    return best if best.is_file() else run / CHECKPOINT


def teacher_checkpoint(facts: RunFacts) -> Path:
    """Return the checkpoint a student's teacher has now."""
    return best_checkpoint(facts.teacher_run)


def is_teacher_unchanged(facts: RunFacts) -> bool:
    """Say whether the teacher of a student's run still is the network that the student learned from."""
    if facts.teacher is None:  # older runs did not note it
        return True
    return file_sha256(teacher_checkpoint(facts)) == facts.teacher.sha256


def first_teacher(facts: RunFacts) -> RunFacts:
    """Return the facts of the run that learned from images: a run's own, or at the head of its teachers.

    Raises:
        RunError: a teacher's checkpoint is missing or damaged.
    """
    while facts.has_teacher:
        facts = read_facts(teacher_checkpoint(facts))
    return facts


def generator_from(networks: Networks) -> nn.Module:
    """Return the untrained generator of a translating run, noise beside the image left in."""
    return make_generator(
        networks.generator,
        networks.norm,
        channels_in=networks.channels_in,
        width=networks.width,
        dropout=networks.dropout,
        down=networks.down,
        up=networks.up,
        init=networks.init,
    )


def load_generator(path: Path, direction: str) -> tuple[nn.Module, RunFacts]:
    """Return the generator of a checkpoint that translates images, for inference, and its facts.

    It takes and gives float32[N, 3, H, W] in [-1, 1]; dropout is off, noise is at 0, weights are the averaged
    ones where there are any.

    Raises:
        RunError: the checkpoint is missing or damaged, or its generator makes images from noise.
    """
    facts = read_facts(path)
    if facts.recipe in FROM_NOISE:
        raise RunError(
            f"{path} is of a {facts.recipe}: it makes images from noise and translates none, so it is "
            f"no style and no teacher; type videobrush-train sample {path.parent}"
        )
    net = generator_from(facts.networks)
    name = f"G_{'A' if direction == 'AtoB' else 'B'}" if facts.recipe == "cyclegan" else "G"
    load_net(path, name, net)
    z = facts.networks.z
    return (ZeroNoise(net, z) if z else net).eval(), facts


def load_discriminator(path: Path, direction: str) -> PatchDiscriminator | None:
    """Return the discriminator of what `load_generator` returns, frozen; None where the run has none.

    Raises:
        RunError: the checkpoint is missing or damaged.
    """
    facts = read_facts(path)
    recipe, networks = facts.recipe, facts.networks
    if recipe not in ("cyclegan", "pix2pix"):
        return None
    net = PatchDiscriminator(
        networks.discriminator_width,
        networks.discriminator_norm,
        channels_in=6 if recipe == "pix2pix" else 3,
        patch=networks.patch,
    )
    load_net(path, f"D_{'A' if direction == 'AtoB' else 'B'}" if recipe == "cyclegan" else "D", net)
    return net.eval().requires_grad_(False)


def noise_nets(networks: Networks, classes: int) -> tuple[nn.Module, nn.Module]:
    """Return the untrained generator and discriminator of a gan, cgan or dcgan."""
    z, side, width = networks.z, networks.side, networks.width or 64
    if networks.convolutional:
        return (
            DcganGenerator(z, side, classes=classes, width=width),
            DcganDiscriminator(side, classes=classes, width=width),
        )
    return MlpGenerator(z, side, classes=classes, width=width), MlpDiscriminator(
        side, classes=classes, width=width
    )


def load_noise_generator(path: Path) -> tuple[nn.Module, RunFacts]:
    """Return the generator of a checkpoint that makes images from noise, for inference, and its facts.

    Raises:
        RunError: the checkpoint is missing or damaged, or its generator translates images.
    """
    facts = read_facts(path)
    if facts.recipe not in FROM_NOISE:
        raise RunError(
            f"{path.parent} is a run of {facts.recipe}: it translates images, and its sheets are the "
            "sample-*.jpg in its folder"
        )
    net, _ = noise_nets(facts.networks, len(facts.classes))
    load_net(path, "G", net)
    return net.eval(), facts
