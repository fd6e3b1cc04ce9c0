"""CycleGAN: two generators, two discriminators, unpaired images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.config import CycleGan
from train.data.feed import Batch, Feed
from train.data.folders import open_unpaired
from train.data.warp import equivariance
from train.device import World
from train.load import generator_from
from train.metrics.distances import sliced_wasserstein
from train.metrics.pretrained import DISTANCES, ENOUGH, judge, measure_pretrained
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
from train.recipes.losses import GAN_LOSSES, gradient_penalty, grid, l1
from train.report.sheet import Sheet

JUDGED = 32
"""Most held images of a domain that a validation looks at."""


class CycleGanRecipe(Base):
    """Nets, optimisers and the step of CycleGAN.

    G_A translates A to B and D_A judges B, as in the authors' code. Source: Zhu et al. 2017.
    """

    def __init__(self, config: CycleGan, world: World) -> None:
        super().__init__(config, world)
        self.config = config
        self.adversarial = GAN_LOSSES[config.loss]
        self.G_A, self.G_B = (self.add(name, generator_from(config.network_facts)) for name in ("G_A", "G_B"))
        check_crop(self.G_A, config, config.generator)
        self.D_A, self.D_B = (
            self.add(
                name,
                PatchDiscriminator(config.discriminator_width, config.discriminator_norm, patch=config.patch),
            )
            for name in ("D_A", "D_B")
        )
        self.to_B, self.to_A = self.add_average("G_A"), self.add_average("G_B")
        self.optimizer_G = self.add_adam("optimizer_G", self.G_A, self.G_B)
        self.optimizer_D = self.add_adam("optimizer_D", self.D_A, self.D_B)
        self.pool_A, self.pool_B = (self.add_pool(name, config.pool) for name in ("pool_A", "pool_B"))
        self.feed: Feed = open_unpaired(config, int(self.G_A.multiple))  # type: ignore[arg-type]
        enough = min(len(self.feed.held[domain]) for domain in "AB") >= ENOUGH
        self.features = judge() if enough else None
        self.aim = Aim("kid" if self.features is not None else "swd", "lower")

    def step(self, batch: Batch) -> Losses:
        """Update generators, then discriminators, once, from images `A` and `B`."""
        self.follow_schedule(batch.progress)
        assert batch.rng is not None
        parts, fakes = batch.parts(self.config.accumulate), list[dict[str, Tensor]]()
        set_trainable((self.D_A, self.D_B), False)
        losses = self.descend(self.optimizer_G, parts, partial(self._generators, batch, fakes))
        set_trainable((self.D_A, self.D_B), True)
        for part, fake in zip(parts, fakes, strict=True):
            part["past_A"] = self.pool_A.exchange(fake["A"], batch.rng)
            part["past_B"] = self.pool_B.exchange(fake["B"], batch.rng)
        losses |= self.descend(self.optimizer_D, parts, partial(self._discriminators, batch))
        return self.finish(batch, losses)

    def cycle_weight(self, progress: float) -> float:
        """Weight of the cycle loss: constant for the first half of the run, then linear to its end."""
        start, end = self.config.cycle_weight, self.config.cycle_weight_end
        over = max(0.0, 2.0 * progress - 1.0)
        return start if end is None else start + (end - start) * over

    def identity_weight(self, progress: float) -> float:
        """Weight of the identity loss: its start's, then its end's where there is one."""
        end = self.config.identity_weight_end
        return self.config.identity_weight if end is None or progress < self.config.identity_until else end

    def _generators(
        self, batch: Batch, fakes: list[dict[str, Tensor]], part: Mapping[str, Tensor]
    ) -> tuple[Losses, Tensor]:
        config, real_A, real_B = self.config, part["A"], part["B"]
        identity_weight, count = self.identity_weight(batch.progress), len(real_A)
        with self.autocast():
            if identity_weight and config.norm == "batch":  # statistics must not mix A and B
                fake_B, idt_A = self.G_A(real_A), self.G_A(real_B)
                fake_A, idt_B = self.G_B(real_B), self.G_B(real_A)
            elif identity_weight:
                # No layer mixes images of a batch, so translation and identity share one pass.
                fake_B, idt_A = self.G_A(torch.cat([real_A, real_B])).split(count)
                fake_A, idt_B = self.G_B(torch.cat([real_B, real_A])).split(count)
            else:
                fake_B, fake_A = self.G_A(real_A), self.G_B(real_B)
            rec_A, rec_B = self.G_B(fake_B), self.G_A(fake_A)
            judged_B = self.D_A(self.augmented(fake_B, batch))
            judged_A = self.D_B(self.augmented(fake_A, batch))
        losses = {
            "G_A": self.adversarial.generator(judged_B),
            "G_B": self.adversarial.generator(judged_A),
            "cycle_A": l1(rec_A, real_A, config.l1_beta),
            "cycle_B": l1(rec_B, real_B, config.l1_beta),
        }
        total = losses["G_A"] + losses["G_B"]
        total = total + self.cycle_weight(batch.progress) * (losses["cycle_A"] + losses["cycle_B"])
        if identity_weight:
            losses["idt_A"] = l1(idt_A, real_B, config.l1_beta)
            losses["idt_B"] = l1(idt_B, real_A, config.l1_beta)
            total = total + identity_weight * (losses["idt_A"] + losses["idt_B"])
        if config.grid_weight:
            losses["grid"] = grid(fake_B - real_A) + grid(fake_A - real_B)
            total = total + config.grid_weight * losses["grid"]
        if config.equivariance_weight and batch.progress >= config.equivariance_from:
            assert batch.rng is not None
            with self.autocast():
                losses["equivariance"] = equivariance(self.G_A, real_A, fake_B, batch.rng) + equivariance(
                    self.G_B, real_B, fake_A, batch.rng
                )
            total = total + config.equivariance_weight * losses["equivariance"]
        fakes.append({"A": fake_A.detach().float(), "B": fake_B.detach().float()})
        return losses, total

    def _discriminators(self, batch: Batch, part: Mapping[str, Tensor]) -> tuple[Losses, Tensor]:
        losses, total = Losses(), torch.zeros((), device=self.device)
        for name, net, domain in (("D_A", self.D_A, "B"), ("D_B", self.D_B, "A")):
            real = self.augmented(part[domain], batch)
            fake = self.augmented(part[f"past_{domain}"], batch)
            losses[name] = self._judge(net, real, fake)
            total = total + self.discriminator_share(self.config.loss) * losses[name]
            if self.config.loss == "wgan-gp":
                assert batch.rng is not None
                losses[f"penalty_{name}"] = gradient_penalty(net, real, fake, batch.rng)
                total = total + self.config.penalty_weight * losses[f"penalty_{name}"]
        return losses, total

    def _judge(self, net: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        with self.autocast():
            if self.config.discriminator_norm == "batch":  # statistics must not mix real and fake
                judged_real, judged_fake = net(real), net(fake)
            else:
                judged_real, judged_fake = net(torch.cat([real, fake])).split(len(real))
        return self.adversarial.discriminator(judged_real, judged_fake)

    def sheet(self) -> Sheet:
        """Return rows of real_A, fake_B, rec_A, then real_B, fake_A, rec_B, with averaged weights."""
        rows: dict[str, list[Rgb]] = {}
        for domain, other, there, back in (
            ("A", "B", self.to_B, self.to_A),
            ("B", "A", self.to_A, self.to_B),
        ):
            reals = list(self.feed.held[domain][:SHOWN])
            fakes = self.translate(there, reals)
            rows |= {f"real_{domain}": reals, f"fake_{other}": fakes}
            rows[f"rec_{domain}"] = self.translate(back, fakes)
        return stack_rows(rows)

    def translations(self) -> dict[str, tuple[nn.Module, Sequence[Rgb]]]:
        """Return both averaged generators with held images."""
        return {"A to B": (self.to_B, self.feed.held["A"]), "B to A": (self.to_A, self.feed.held["B"])}

    def validate(self) -> dict[str, Any] | None:
        """Return distances both ways, their means as `kid`, `gram` and `swd`, and the steadiness.

        KID and Gram distance, on features that no loss looked at, steer where there are enough images.
        """
        if not self.floors:
            return None
        metrics: dict[str, Any] = {}
        for source, target, net in (("A", "B", self.to_B), ("B", "A", self.to_A)):
            inputs, reals = (list(self.feed.held[domain])[:JUDGED] for domain in (source, target))
            fakes, half = self.translate(net, inputs), reals[0::2]
            found = {"translated": sliced_wasserstein(fakes[: len(half)], half), **self.floors[target]}
            metrics[f"swd_{source}to{target}"] = found
            if self.features is not None:
                measured = measure_pretrained(inputs, fakes, reals, self.features)
                metrics |= {f"{name}_{source}to{target}": measured[name] for name in DISTANCES}
        for name in (*(DISTANCES if self.features is not None else ()), "swd"):
            both = [metrics[f"{name}_{way}"] for way in ("AtoB", "BtoA")]
            metrics[name] = {key: sum(found[key] for found in both) / 2 for key in both[0]}
        for source, target, net in (("A", "B", self.to_B), ("B", "A", self.to_A)):
            steadiness = self.steadiness(net, self.feed.held[source])
            metrics[f"warping_{source}to{target}"] = steadiness["warping"]
        return metrics

    @cached_property
    def floors(self) -> dict[str, dict[str, float]]:
        """Return floor and ceiling of each domain's distance; nothing where there are too few images."""
        if min(len(self.feed.held[domain]) for domain in "AB") < 4:
            return {}
        found = {}
        for source, target in (("B", "A"), ("A", "B")):
            reals = list(self.feed.held[target])[:JUDGED]
            found[target] = {
                "floor": sliced_wasserstein(reals[1::2], reals[0::2]),
                "ceiling": sliced_wasserstein(self.feed.held[source][: len(reals[0::2])], reals[0::2]),
            }
        return found
