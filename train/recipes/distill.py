"""Distillation: a small generator learns what a trained one does, steadily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rt.card import file_sha256
from rt.frame import Rgb
from train.config import Distill
from train.data.feed import Batch, Feed
from train.data.folders import open_inputs, open_teacher_images
from train.data.warp import disturb, draw_flow, warp
from train.device import World
from train.errors import RunError
from train.facts import Networks
from train.load import (
    best_checkpoint,
    first_teacher,
    generator_from,
    load_discriminator,
    load_generator,
)
from train.metrics.translation import measure_pairs
from train.nets.discriminators import PatchDiscriminator
from train.recipes.base import SHOWN, Aim, Base, Losses, check_crop, stack_rows
from train.recipes.losses import feature_matching, haar_high_l1, laplacian_l1, lsgan_generator, ssim_loss
from train.report.sheet import Sheet


class DistillRecipe(Base):
    """Student, optimiser and the step of distillation.

    The student's input is W x + n, its target W T(x): the teacher's image moved, not the teacher's image
    of the moved input, so the student inherits the quality and not the flicker. Structure of the losses: Ren
    et al. 2021 (OMGD), Li et al. 2021 (features of the discriminator), Zhang et al. 2022 (wavelets).
    """

    aim = Aim("ssim", "higher")

    def __init__(self, config: Distill, world: World) -> None:
        super().__init__(config, world)
        self.config = config
        self.teacher: nn.Module | None = None
        self.judge: PatchDiscriminator | None = None
        self.student = self.add("G", generator_from(config.network_facts))
        check_crop(self.student, config, config.student)
        if config.teacher is None:
            self.feed: Feed = open_teacher_images(config, int(self.student.multiple))  # type: ignore[arg-type]
        else:
            self.feed = self._follow(config.teacher)
        self.to_B = self.add_average("G")
        self.optimizer = self.add_adam("optimizer_G", self.student)

    def _follow(self, run: Path) -> Feed:
        """Load the teacher and what judged it; return the images it translates."""
        config, path = self.config, best_checkpoint(run)
        teacher, facts = load_generator(path, config.direction)
        way = facts.direction or config.direction
        if config.direction != way:
            raise RunError(f"teacher {run} translates {way}: give --direction {way}")
        self.teacher = teacher.requires_grad_(False).to(self.device)
        self.judge = load_discriminator(path, config.direction)
        if self.judge is None and (config.feature_weight or config.adversarial_weight):
            raise RunError(
                f"teacher {run} has no discriminator: give --feature-weight 0 --adversarial-weight 0"
            )
        if self.judge is not None:
            self.judge.to(self.device)
        if config.copy_teacher:
            self._copy(teacher, facts.networks)
        check_crop(self.teacher, config, "the teacher")
        self.facts = {"teacher": {"checkpoint": path.name, "sha256": file_sha256(path)}}
        multiple = max(int(net.multiple) for net in (self.student, self.teacher))  # type: ignore[arg-type]
        return open_inputs(config, first_teacher(facts), multiple)

    def _copy(self, teacher: nn.Module, made: Networks) -> None:
        config, weights = self.config, teacher.state_dict()
        shapes, own = (
            {name: tensor.shape for name, tensor in found.items()}
            for found in (weights, self.student.state_dict())
        )
        # Names are compared too: weights of one hourglass fit the others, which do other things with them.
        if made.generator != config.student or shapes != own:
            raise RunError(
                f"cannot start as a copy of {config.teacher}: it is no {config.student} with "
                f"--norm {config.norm}, but {made.generator} with --norm {made.norm}; "
                "leave --copy-teacher out, or name the teacher's network and norm"
            )
        self.student.load_state_dict(weights)

    def step(self, batch: Batch) -> Losses:
        """Update the student once, from images `A`."""
        self.follow_schedule(batch.progress)
        losses = self.descend(
            self.optimizer, batch.parts(self.config.accumulate), partial(self._student, batch)
        )
        return self.finish(batch, losses)

    def _student(self, batch: Batch, part: Mapping[str, Tensor]) -> tuple[Losses, Tensor]:
        config = self.config
        seen, target = self._task(part, batch)
        with self.autocast():
            found = self.student(seen)
        losses = {
            "laplacian": laplacian_l1(found, target),
            "ssim": ssim_loss(found, target),
            "haar": haar_high_l1(found, target),
        }
        total = (
            config.laplacian_weight * losses["laplacian"]
            + config.ssim_weight * losses["ssim"]
            + config.haar_weight * losses["haar"]
        )
        if self.judge is not None and (config.feature_weight or config.adversarial_weight):
            with self.autocast():
                features = self.judge.features(self._judged(seen, found))
                with torch.no_grad():
                    wanted = self.judge.features(self._judged(seen, target))
            losses["features"] = feature_matching(features, wanted)
            total = total + config.feature_weight * losses["features"]
            if config.adversarial_weight and batch.progress >= config.adversarial_from:
                losses["G"] = lsgan_generator(features[-1])
                total = total + config.adversarial_weight * losses["G"]
        return losses, total

    @torch.no_grad()
    def _task(self, part: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what the student sees, W x + n, and what it shall give, W T(x)."""
        assert batch.rng is not None
        image = part["A"]
        if self.teacher is None:
            target = part["B"]
        else:
            with self.autocast():
                target = self.teacher(image).float()
        if self.config.flow_px:
            flow = draw_flow(
                len(image), image.shape[2], image.shape[3], batch.rng, sigma_px=self.config.flow_px
            ).to(self.device)
            image, target = warp(image, flow), warp(target, flow)
        if self.config.noise:
            image = disturb(image, batch.rng, noise=self.config.noise)
        return image, target

    def _judged(self, seen: Tensor, found: Tensor) -> Tensor:
        """Return what the teacher's discriminator takes: the output, pix2pix's with its input."""
        assert self.judge is not None
        return torch.cat([seen, found], dim=1) if self.judge.channels_in == 6 else found

    def sheet(self) -> Sheet:
        """Return rows of the input, the teacher's and the student's image."""
        real_A = list(self.feed.held["A"][:SHOWN])
        return stack_rows(
            {
                "real_A": real_A,
                "teacher": self._taught(SHOWN),
                "student": self.translate(self.to_B, real_A),
            }
        )

    def _taught(self, count: int | None = None) -> list[Rgb]:
        """Return what the teacher made of the first held images."""
        if self.teacher is None:
            return list(self.feed.held["B"][:count])
        return self.translate(self.teacher, self.feed.held["A"][:count])

    def translations(self) -> dict[str, tuple[nn.Module, Sequence[Rgb]]]:
        """Return the averaged generator with held inputs."""
        return {"it": (self.to_B, self.feed.held["A"])}

    def validate(self) -> dict[str, Any]:
        """Return L1, PSNR, SSIM, MS-SSIM against the teacher (ceiling: the input as it is), steadiness."""
        real_A = list(self.feed.held["A"])
        measured = measure_pairs(real_A, self.translate(self.to_B, real_A), self._taught())
        return measured | self.steadiness(self.to_B, real_A)
