"""pix2pix: one generator, one discriminator that sees input and output together, paired images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.config import Pix2Pix
from train.data.feed import Batch, Feed
from train.data.folders import open_pairs
from train.device import World
from train.load import ZeroNoise, generator_from
from train.metrics.translation import measure_pairs
from train.nets.discriminators import PatchDiscriminator
from train.recipes.base import (
    SHOWN,
    Aim,
    Base,
    Losses,
    check_crop,
    set_trainable,
    stack_rows,
)
from train.recipes.losses import GAN_LOSSES, feature_matching, gradient_penalty, grid, l1
from train.report.sheet import Sheet


class Pix2PixRecipe(Base):
    """Nets, optimisers and the step of pix2pix. Source: Isola et al. 2017."""

    aim = Aim("psnr", "higher")

    def __init__(self, config: Pix2Pix, world: World) -> None:
        super().__init__(config, world)
        self.config = config
        self.adversarial = GAN_LOSSES[config.loss]
        self.G = self.add("G", generator_from(config.network_facts))
        check_crop(self.G, config, config.generator)
        self.D = PatchDiscriminator(
            config.discriminator_width, config.discriminator_norm, channels_in=6, patch=config.patch
        )
        self.add("D", self.D)
        average = self.add_average("G")
        self.to_B = ZeroNoise(average, config.z) if config.z else average
        self.optimizer_G = self.add_adam("optimizer_G", self.G)
        self.optimizer_D = self.add_adam("optimizer_D", self.D)
        self.feed: Feed = open_pairs(config, int(self.G.multiple))  # type: ignore[arg-type]

    def step(self, batch: Batch) -> Losses:
        """Update the generator, then the discriminator, once, from pairs `A` and `B` and noise `z`."""
        self.follow_schedule(batch.progress)
        parts, fakes = batch.parts(self.config.accumulate), list[Tensor]()
        set_trainable((self.D,), False)
        losses = self.descend(self.optimizer_G, parts, partial(self._generator, batch, fakes))
        set_trainable((self.D,), True)
        for part, fake in zip(parts, fakes, strict=True):
            part["fake"] = fake
        losses |= self.descend(self.optimizer_D, parts, partial(self._discriminator, batch))
        return self.finish(batch, losses)

    def _generator(
        self, batch: Batch, fakes: list[Tensor], part: Mapping[str, Tensor]
    ) -> tuple[Losses, Tensor]:
        config, real_A, real_B = self.config, part["A"], part["B"]
        before = None if batch.rng is None else batch.rng.get_state()
        with self.autocast():
            fake_B = self.G(self._with_noise(real_A, part))
            pair = self.augmented(torch.cat([real_A, fake_B], dim=1), batch)
            features = self.D.features(pair)
        losses = {"G": self.adversarial.generator(features[-1]), "L1": l1(fake_B, real_B)}
        total = losses["G"] + config.l1_weight * losses["L1"]
        if config.feature_weight:
            if batch.rng is not None and before is not None:
                batch.rng.set_state(before)  # what is compared is moved and cut alike
            with self.autocast(), torch.no_grad():
                wanted = self.D.features(self.augmented(torch.cat([real_A, real_B], dim=1), batch))
            losses["features"] = feature_matching(features, wanted)
            total = total + config.feature_weight * losses["features"]
        if config.grid_weight:
            losses["grid"] = grid(fake_B - real_B)
            total = total + config.grid_weight * losses["grid"]
        fakes.append(fake_B.detach().float())
        return losses, total

    def _discriminator(self, batch: Batch, part: Mapping[str, Tensor]) -> tuple[Losses, Tensor]:
        real = self.augmented(torch.cat([part["A"], part["B"]], dim=1), batch)
        fake = self.augmented(torch.cat([part["A"], part["fake"]], dim=1), batch)
        with self.autocast():
            judged_real, judged_fake = self.D(real), self.D(fake)
        losses = {"D": self.adversarial.discriminator(judged_real, judged_fake)}
        total = self.discriminator_share(self.config.loss) * losses["D"]
        if self.config.loss == "wgan-gp":
            assert batch.rng is not None
            losses["penalty"] = gradient_penalty(self.D, real, fake, batch.rng)
            total = total + self.config.penalty_weight * losses["penalty"]
        return losses, total

    def _with_noise(self, image: Tensor, part: Mapping[str, Tensor]) -> Tensor:
        if not self.config.z:
            return image
        planes = part["z"][:, :, None, None].expand(-1, -1, *image.shape[2:])  # [N, Z, H, W]
        return torch.cat([image, planes], dim=1)

    def sheet(self) -> Sheet:
        """Return rows of real_A, fake_B and real_B, with averaged weights and without noise."""
        real_A, real_B = (list(self.feed.held[domain][:SHOWN]) for domain in "AB")
        return stack_rows({"real_A": real_A, "fake_B": self.translate(self.to_B, real_A), "real_B": real_B})

    def translations(self) -> dict[str, tuple[nn.Module, Sequence[Rgb]]]:
        """Return the averaged generator with held inputs."""
        return {"it": (self.to_B, self.feed.held["A"])}

    def validate(self) -> dict[str, Any]:
        """Return L1, PSNR, SSIM and MS-SSIM of the held pairs; the ceiling is the input taken as it is."""
        real_A, real_B = (list(self.feed.held[domain]) for domain in "AB")
        return measure_pairs(real_A, self.translate(self.to_B, real_A), real_B)
