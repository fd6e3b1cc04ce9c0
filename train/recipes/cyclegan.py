"""CycleGAN: two generators, two discriminators, unpaired pictures."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

from train.config import CycleGan
from train.discriminators import PatchDiscriminator
from train.losses import grid, l1, lsgan_discriminator, lsgan_generator
from train.nets import make_generator
from train.pool import Pool


class CycleGanRecipe:
    """Nets, optimisers and the step of CycleGAN.

    G_A translates A to B and D_A judges B, as in the authors' code. Source: Zhu et al. 2017.
    """

    def __init__(self, config: CycleGan) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        self.G_A, self.G_B = (make_generator(config.generator, config.norm) for _ in range(2))
        self.D_A, self.D_B = (
            PatchDiscriminator(config.discriminator_width, config.discriminator_norm) for _ in range(2)
        )
        for net in (self.G_A, self.G_B, self.D_A, self.D_B):
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_G_A = copy.deepcopy(self.G_A).eval().requires_grad_(False)
        self.ema_G_B = copy.deepcopy(self.G_B).eval().requires_grad_(False)
        self.optimizer_G = _adam(config, self.G_A, self.G_B)
        self.optimizer_D = _adam(config, self.D_A, self.D_B)
        self.pool_A = Pool(config.pool)
        self.pool_B = Pool(config.pool)

    @property
    def nets(self) -> dict[str, nn.Module]:
        """Every network by the name it has in a checkpoint."""
        names = ("G_A", "G_B", "D_A", "D_B", "ema_G_A", "ema_G_B")
        return {name: getattr(self, name) for name in names}

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Every optimiser by the name it has in a checkpoint."""
        return {"optimizer_G": self.optimizer_G, "optimizer_D": self.optimizer_D}

    @property
    def pools(self) -> dict[str, Pool]:
        """Every pool by the name it has in a checkpoint."""
        return {"pool_A": self.pool_A, "pool_B": self.pool_B}

    def step(
        self, real_A: Tensor, real_B: Tensor, number: int, progress: float, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Update generators, then discriminators, once.

        Args:
            real_A: float32[N, 3, H, W] in [-1, 1], pictures of domain A.
            real_B: the same of domain B.
            number: number of this step, from 0; a young average forgets faster.
            progress: how much of the run is done, in [0, 1]; sets step size and cycle weight.
            rng: randomness of the pools.

        Returns:
            The losses of this step, detached scalars.
        """
        self._follow_schedule(progress)
        real_A = real_A.to(memory_format=torch.channels_last)
        real_B = real_B.to(memory_format=torch.channels_last)
        losses, fake_A, fake_B = self._step_generators(real_A, real_B, progress)
        losses |= self._step_discriminators(
            real_A, real_B, self.pool_A.exchange(fake_A, rng), self.pool_B.exchange(fake_B, rng)
        )
        self._average(number)
        return {name: loss.detach() for name, loss in losses.items()}

    def cycle_weight(self, progress: float) -> float:
        """Weight of the cycle loss: constant for the first half of the run, then linear to its end."""
        start, end = self.config.cycle_weight, self.config.cycle_weight_end
        over = max(0.0, 2.0 * progress - 1.0)
        return start if end is None else start + (end - start) * over

    def learning_rate(self, progress: float) -> float:
        """Adam's step size: constant for the first half of the run, then linear to 0."""
        return self.config.learning_rate * min(1.0, 2.0 - 2.0 * progress)

    def _follow_schedule(self, progress: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(progress)

    def _step_generators(
        self, real_A: Tensor, real_B: Tensor, progress: float
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        config, count = self.config, len(real_A)
        _set_trainable((self.D_A, self.D_B), False)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.amp):
            # No layer mixes pictures of a batch, so translation and identity share one pass.
            fake_B, idt_A = self.G_A(torch.cat([real_A, real_B])).split(count)
            fake_A, idt_B = self.G_B(torch.cat([real_B, real_A])).split(count)
            rec_A, rec_B = self.G_B(fake_B), self.G_A(fake_A)
            judged_B, judged_A = self.D_A(fake_B), self.D_B(fake_A)
        losses = {
            "G_A": lsgan_generator(judged_B),
            "G_B": lsgan_generator(judged_A),
            "cycle_A": l1(rec_A, real_A, config.l1_beta),
            "cycle_B": l1(rec_B, real_B, config.l1_beta),
            "idt_A": l1(idt_A, real_B, config.l1_beta),
            "idt_B": l1(idt_B, real_A, config.l1_beta),
        }
        if config.grid_weight:
            losses["grid"] = grid(fake_B - real_A) + grid(fake_A - real_B)
        total = losses["G_A"] + losses["G_B"] + config.grid_weight * losses.get("grid", 0.0)
        total = total + self.cycle_weight(progress) * (losses["cycle_A"] + losses["cycle_B"])
        total = total + config.identity_weight * (losses["idt_A"] + losses["idt_B"])
        self.optimizer_G.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer_G.step()
        return losses, fake_A.detach().float(), fake_B.detach().float()

    def _step_discriminators(
        self, real_A: Tensor, real_B: Tensor, past_A: Tensor, past_B: Tensor
    ) -> dict[str, Tensor]:
        _set_trainable((self.D_A, self.D_B), True)
        count = len(real_A)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.amp):
            judged_real_B, judged_fake_B = self.D_A(torch.cat([real_B, past_B])).split(count)
            judged_real_A, judged_fake_A = self.D_B(torch.cat([real_A, past_A])).split(count)
        losses = {
            "D_A": lsgan_discriminator(judged_real_B, judged_fake_B),
            "D_B": lsgan_discriminator(judged_real_A, judged_fake_A),
        }
        self.optimizer_D.zero_grad(set_to_none=True)
        (losses["D_A"] + losses["D_B"]).backward()  # type: ignore[no-untyped-call]
        self.optimizer_D.step()
        return losses

    @torch.no_grad()
    def _average(self, number: int) -> None:
        """Move the averaged weights; the warm-up keeps the untrained weights out of a short run's average."""
        decay = min(self.config.ema, (1 + number) / (10 + number))
        for averaged, net in ((self.ema_G_A, self.G_A), (self.ema_G_B, self.G_B)):
            targets: list[Tensor] = list(averaged.parameters())
            sources: list[Tensor] = list(net.parameters())
            torch._foreach_lerp_(targets, sources, 1.0 - decay)


def _adam(config: CycleGan, *nets: nn.Module) -> torch.optim.Adam:
    parameters = itertools.chain.from_iterable(net.parameters() for net in nets)
    return torch.optim.Adam(parameters, lr=config.learning_rate, betas=(0.5, 0.999), fused=True)


def _set_trainable(nets: tuple[nn.Module, ...], trainable: bool) -> None:
    for net in nets:
        net.requires_grad_(trainable)
