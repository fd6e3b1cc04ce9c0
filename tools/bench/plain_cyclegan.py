"""CycleGAN's step as the authors' repository takes it.

The yardstick of `tools.bench.train`, never used in training. The order is that of `optimize_parameters` in
`models/cycle_gan_model.py`: both translations, both reconstructions, the identities, D for G, Adam of the
generators; then for each discriminator the pool, real and fake in passes of their own, and Adam.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from train.data.pool import Pool

CYCLE_WEIGHT = 10.0
IDENTITY_WEIGHT = 0.5
"""Of the cycle loss's weight."""


class PlainCycleGan:
    """Copies of four networks and the plain step over them."""

    def __init__(self, nets: Mapping[str, nn.Module], learning_rate: float) -> None:
        self.G_A, self.G_B, self.D_A, self.D_B = (
            copy.deepcopy(nets[name]).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            for name in ("G_A", "G_B", "D_A", "D_B")
        )
        self.pool_A, self.pool_B = Pool(), Pool()
        self.optimizer_G = self._adam((self.G_A, self.G_B), learning_rate)
        self.optimizer_D = self._adam((self.D_A, self.D_B), learning_rate)

    @staticmethod
    def _adam(nets: tuple[nn.Module, ...], learning_rate: float) -> torch.optim.Adam:
        parameters = itertools.chain.from_iterable(net.parameters() for net in nets)
        return torch.optim.Adam(parameters, lr=learning_rate, betas=(0.5, 0.999))

    def step(self, real_A: Tensor, real_B: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Update generators, then discriminators, once, from float32[N, 3, H, W] in [-1, 1]."""
        fake_B = self.G_A(real_A)
        rec_A = self.G_B(fake_B)
        fake_A = self.G_B(real_B)
        rec_B = self.G_A(fake_A)
        self._freeze_discriminators(True)
        self.optimizer_G.zero_grad()
        losses = {
            "idt_A": nn.functional.l1_loss(self.G_A(real_B), real_B),
            "idt_B": nn.functional.l1_loss(self.G_B(real_A), real_A),
            "G_A": _against(self.D_A(fake_B), 1.0),
            "G_B": _against(self.D_B(fake_A), 1.0),
            "cycle_A": nn.functional.l1_loss(rec_A, real_A),
            "cycle_B": nn.functional.l1_loss(rec_B, real_B),
        }
        cycle = losses["cycle_A"] + losses["cycle_B"]
        identity = losses["idt_A"] + losses["idt_B"]
        total = losses["G_A"] + losses["G_B"] + CYCLE_WEIGHT * (cycle + IDENTITY_WEIGHT * identity)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer_G.step()
        self._freeze_discriminators(False)
        self.optimizer_D.zero_grad()
        past_A, past_B = self.pool_A.exchange(fake_A, rng), self.pool_B.exchange(fake_B, rng)
        losses["D_A"] = self._judge(self.D_A, real_B, past_B)
        losses["D_B"] = self._judge(self.D_B, real_A, past_A)
        self.optimizer_D.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _freeze_discriminators(self, frozen: bool) -> None:
        for net in (self.D_A, self.D_B):
            net.requires_grad_(not frozen)

    @staticmethod
    def _judge(net: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        loss = 0.5 * (_against(net(real), 1.0) + _against(net(fake.detach()), 0.0))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


def _against(logits: Tensor, wanted: float) -> Tensor:
    return nn.functional.mse_loss(logits, torch.full_like(logits, wanted))
