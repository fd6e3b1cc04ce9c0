"""GAN, CGAN and DCGAN: images from noise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.config import Cgan, Dcgan, Gan
from train.data.feed import Batch, Feed, NoiseFeed, seeded
from train.data.folders import class_names, open_classes, open_images
from train.data.images import to_rgb
from train.device import World
from train.load import noise_nets
from train.metrics.translation import measure_drawn
from train.recipes.base import Aim, Base, Losses, set_trainable, stack_rows
from train.recipes.losses import GAN_LOSSES, gradient_penalty
from train.report.sheet import Sheet

COLUMNS = 8
ROWS = 4
PENALTY_WEIGHT = 10.0
"""Weight of the gradient penalty of wgan-gp (Gulrajani 2017, 4)."""


class _NoiseRecipe(Base):
    """Nets, optimisers and the step of all three: D learns real from fake, then G learns to pass for real."""

    aim = Aim("swd", "lower")

    def __init__(self, config: Gan | Cgan | Dcgan, world: World, feed: NoiseFeed, classes: list[str]) -> None:
        super().__init__(config, world)
        self.feed: Feed = feed
        self.classes, self.loss = classes, config.loss
        self.adversarial = GAN_LOSSES[config.loss]
        G, D = noise_nets(config.network_facts, len(classes))
        self.G, self.D = self.add("G", G), self.add("D", D)
        self.sampler = self.add_average("G")
        self.optimizer_G, self.optimizer_D = self.add_adam("optimizer_G", G), self.add_adam("optimizer_D", D)
        self.facts = {"classes": classes} if classes else {}

    def step(self, batch: Batch) -> Losses:
        """Update the discriminator, then the generator, once, from images `real` and noise `z`."""
        self.follow_schedule(batch.progress)
        parts = batch.parts(self.base.accumulate)
        losses = self.descend(self.optimizer_D, parts, partial(self._discriminator, batch))
        set_trainable((self.D,), False)
        losses |= self.descend(self.optimizer_G, parts, partial(self._generator, batch))
        set_trainable((self.D,), True)
        return self.finish(batch, losses)

    def _discriminator(self, batch: Batch, part: Mapping[str, Tensor]) -> tuple[Losses, Tensor]:
        known = self._known(part)
        with self.autocast():
            with torch.no_grad():
                fake = self.G(part["z"], *known)
            real, fake = self.augmented(part["real"], batch), self.augmented(fake.float(), batch)
            # One after the other: batch norm must not mix the statistics of real and fake.
            judged_real, judged_fake = self.D(real, *known), self.D(fake, *known)
        losses = {"D": self.adversarial.discriminator(judged_real, judged_fake)}
        total = losses["D"]
        if self.loss == "wgan-gp":
            assert batch.rng is not None
            losses["penalty"] = gradient_penalty(lambda x: self.D(x, *known), real, fake, batch.rng)
            total = total + PENALTY_WEIGHT * losses["penalty"]
        return losses, total

    def _generator(self, batch: Batch, part: Mapping[str, Tensor]) -> tuple[Losses, Tensor]:
        known = self._known(part)
        with self.autocast():
            judged = self.D(self.augmented(self.G(part["z"], *known), batch), *known)
        loss = self.adversarial.generator(judged)
        return {"G": loss}, loss

    def _known(self, part: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        return (part["class"],) if self.classes else ()

    def sheet(self) -> Sheet:
        """Return a sheet of the same noise every time; of classes, a row each."""
        rows: dict[str, list[Rgb]] = {}
        for number, name in enumerate(self.classes[:10] or [f"noise {row + 1}" for row in range(ROWS)]):
            label = number if self.classes else None
            rows[name] = draw_samples(self.sampler, COLUMNS, label, seeded("sheet", number))
        return stack_rows(rows)

    def validate(self) -> dict[str, Any] | None:
        """Measure drawn images, of all classes alike, against held ones; the ceiling is plain noise."""
        reals = list(self.feed.held["real"])
        if len(reals) < 4:
            return None
        labels: list[int | None] = [*range(len(self.classes))] or [None]
        count = -(-len(reals) // len(labels))
        drawn = [draw_samples(self.sampler, count, label, seeded("validation", label)) for label in labels]
        return measure_drawn([rgb for alike in zip(*drawn, strict=True) for rgb in alike], reals)


class GanRecipe(_NoiseRecipe):
    """Fully connected networks. Source: Goodfellow et al. 2014."""

    def __init__(self, config: Gan, world: World) -> None:
        super().__init__(config, world, open_images(config), [])


class DcganRecipe(_NoiseRecipe):
    """Convolutions alone. Source: Radford et al. 2015."""

    def __init__(self, config: Dcgan, world: World) -> None:
        super().__init__(config, world, open_images(config), [])


class CganRecipe(_NoiseRecipe):
    """The class enters both networks. Source: Mirza et al. 2014."""

    def __init__(self, config: Cgan, world: World) -> None:
        super().__init__(config, world, open_classes(config), class_names(config.data))


@torch.no_grad()
def draw_samples(generator: nn.Module, count: int, label: int | None, rng: torch.Generator) -> list[Rgb]:
    """Return `count` images uint8[H, W, 3] RGB of a generator, of one class where it has classes."""
    device = next(generator.parameters()).device
    z = torch.randn(count, int(generator.z), generator=rng).to(device)  # type: ignore[arg-type]
    known = () if label is None else (torch.full((count,), label, device=device),)
    training = generator.training
    generator.eval()
    images = [to_rgb(image) for image in generator(z, *known)]
    generator.train(training)
    return images
