"""What all recipes have in common: the protocol and parts of a step."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.config import Training
from train.data.augment import diff_augment
from train.data.feed import Batch, Feed
from train.data.images import to_rgb, to_tensor
from train.data.pool import Pool
from train.device import World, computes_bfloat16
from train.errors import RunError
from train.metrics.translation import measure_steadiness
from train.report.sheet import Sheet

Losses = dict[str, Tensor]
SHOWN = 6
"""Images of a kind on a sample sheet."""


@dataclass(frozen=True)
class Aim:
    """What makes a checkpoint the best: a metric of the validation, and which way is better."""

    metric: str
    better: Literal["lower", "higher"]

    def beats(self, found: float, before: float | None) -> bool:
        """Say whether a figure is better than the best before."""
        if before is None:
            return math.isfinite(found)
        return found < before if self.better == "lower" else found > before


class Recipe(Protocol):
    """Nets, optimisers and the training step of one way to train."""

    feed: Feed
    aim: Aim

    @property
    def nets(self) -> Mapping[str, nn.Module]:
        """Every network that learns or is averaged, by the name it has in a checkpoint."""
        ...

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Every optimiser by the name it has in a checkpoint."""
        ...

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Every pool by the name it has in a checkpoint."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a checkpoint must tell of the recipe for its networks to be built again."""
        ...

    def step(self, batch: Batch) -> Losses:
        """Learn from a batch once; return the losses, detached scalars."""
        ...

    def sheet(self) -> Sheet:
        """Return a sample sheet of the held images."""
        ...

    def validate(self) -> dict[str, Any] | None:
        """Measure the held images: figures, each with floor and ceiling; None where there are too few."""
        ...

    def changes(self) -> dict[str, float]:
        """Return by how many levels each translating network changes its images on average."""
        ...


class Base:
    """The parts recipes are made of; see `Recipe` for what a subclass adds."""

    def __init__(self, config: Training, world: World) -> None:
        self.base, self.world, self.device = config, world, world.device
        torch.manual_seed(config.seed)
        self.nets: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.pools: dict[str, Pool] = {}
        self.facts: dict[str, Any] = {}
        self._averaged: list[tuple[nn.Module, nn.Module]] = []

    def add(self, name: str, net: nn.Module) -> nn.Module:
        """Take a network in: onto the device, laid out and compiled as asked."""
        net.to(self.device)
        if self.base.lays_channels_last:
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.base.compile:
            net.compile()
        self.nets[name] = net
        return net

    def add_average(self, name: str) -> nn.Module:
        """Return the averaged copy of a network, or with --ema 0 the network itself."""
        net = self.nets[name]
        if not self.base.ema:
            return net
        averaged = copy.deepcopy(net).eval().requires_grad_(False)
        self.nets[f"ema_{name}"] = averaged
        self._averaged.append((averaged, net))
        return averaged

    def add_adam(self, name: str, *nets: nn.Module, beta2: float = 0.999) -> torch.optim.Adam:
        """Return a new Adam over the networks' weights."""
        parameters = list(itertools.chain.from_iterable(net.parameters() for net in nets))
        betas = (self.base.beta1, beta2)
        optimizer = torch.optim.Adam(parameters, lr=self.base.learning_rate, betas=betas, fused=True)
        self.optimizers[name] = optimizer
        return optimizer

    def add_pool(self, name: str, capacity: int) -> Pool:
        """Return a new pool of past fakes."""
        self.pools[name] = Pool(capacity)
        return self.pools[name]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context networks are run in: bfloat16 where --amp asks for it and the device has it."""
        enabled = self.base.amp and computes_bfloat16(self.device)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def descend(
        self,
        optimizer: torch.optim.Optimizer,
        parts: Sequence[Mapping[str, Tensor]],
        losses: Callable[[Mapping[str, Tensor]], tuple[Losses, Tensor]],
        longest: float | None = None,
    ) -> Losses:
        """Take one optimiser step down the mean gradient of all parts in all processes.

        `losses` returns the named losses of a part and the weighted sum that is descended; a gradient whose
        norm is above `longest` is shortened to it.
        """
        optimizer.zero_grad(set_to_none=True)
        means: Losses = {}
        for part in parts:
            found, total = losses(part)
            (total / len(parts)).backward()  # type: ignore[no-untyped-call]
            for name, loss in found.items():
                means[name] = means.get(name, 0.0) + loss.detach() / len(parts)
        self.world.average_gradients(optimizer)
        if longest is not None:
            learning = [weight for group in optimizer.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(learning, longest)
        optimizer.step()
        return means

    def finish(self, batch: Batch, losses: Losses) -> Losses:
        """Move the averaged weights; return the losses as means over all processes."""
        self._average(batch.number)
        return self.world.average(losses)

    def follow_schedule(self, progress: float) -> None:
        """Set the step size of every optimiser."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(progress)

    def learning_rate(self, progress: float) -> float:
        """Adam's step size at a point of the run; see --schedule."""
        full = self.base.learning_rate
        if self.base.schedule == "linear":
            return full * min(1.0, 2.0 - 2.0 * progress)
        return full * (0.5 + 0.5 * math.cos(math.pi * progress)) if self.base.schedule == "cosine" else full

    @staticmethod
    def discriminator_share(loss: str) -> float:
        """Weight of a translator's discriminator loss: halved, as in the papers; LSGAN has its ½ within."""
        return 0.5 if loss in ("vanilla", "hinge") else 1.0

    def augmented(self, images: Tensor, batch: Batch) -> Tensor:
        """Return what a discriminator sees of images: themselves, or with --augment changed at random."""
        if not self.base.augment:
            return images
        assert batch.rng is not None
        return diff_augment(images, self.base.augment, batch.rng)

    def tensors(self, images: Sequence[Rgb]) -> Tensor:
        """Return images of one size as float32[N, 3, H, W] in [-1, 1] on the device."""
        return torch.stack([to_tensor(rgb) for rgb in images]).to(self.device)

    @torch.no_grad()
    def translate(self, net: nn.Module, images: Sequence[Rgb]) -> list[Rgb]:
        """Return images of one size translated by a network in its inference mode."""
        training = net.training
        net.eval()
        found = [to_rgb(net(self.tensors([rgb]))[0]) for rgb in images]
        net.train(training)
        return found

    def steadiness(self, net: nn.Module, images: Sequence[Rgb]) -> dict[str, Any]:
        """Return the warping error of a network in its inference mode, as `warping`, on a few images."""
        training = net.training
        net.eval()
        found = measure_steadiness(lambda x: net(x.to(self.device)).cpu(), images[:SHOWN])
        net.train(training)
        return found

    def translations(self) -> dict[str, tuple[nn.Module, Sequence[Rgb]]]:
        """Return the networks that translate, each with held images of its domain; of a noise recipe none."""
        return {}

    def changes(self) -> dict[str, float]:
        """Return by how many levels each network changes its images on average, on a few."""
        found = {}
        for name, (net, images) in self.translations().items():
            shown = list(images[:SHOWN])
            pairs = zip(self.translate(net, shown), shown, strict=True)
            found[name] = float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in pairs]))
        return found

    @torch.no_grad()
    def _average(self, number: int) -> None:
        """Move the averaged weights; the warm-up keeps the untrained weights out of a short run's average."""
        decay = min(self.base.ema, (1 + number) / (10 + number))
        for averaged, net in self._averaged:
            targets: list[Tensor] = list(averaged.parameters())
            sources: list[Tensor] = list(net.parameters())
            torch._foreach_lerp_(targets, sources, 1.0 - decay)
            for target, source in zip(averaged.buffers(), net.buffers(), strict=True):
                target.copy_(source)


def set_trainable(nets: Sequence[nn.Module], trainable: bool) -> None:
    """Let gradients flow into the networks' weights, or only through them."""
    for net in nets:
        net.requires_grad_(trainable)


def check_crop(net: nn.Module, config: Training, generator: str) -> None:
    """Refuse crops the generator cannot take.

    Raises:
        RunError: the crop size is no multiple of the generator's, or smaller than its minimum.
    """
    multiple, minimum = int(net.multiple), int(net.minimum_px)  # type: ignore[arg-type]
    if config.crop_size % multiple or config.crop_size < minimum:
        raise RunError(
            f"--crop-size is {config.crop_size}: {generator} needs a multiple of {multiple}, "
            f"at least {minimum}"
        )


def stack_rows(rows: Mapping[str, Sequence[Rgb]]) -> Sheet:
    """Return a sheet with a row of images of one size for each name, as many columns as all rows have."""
    columns = min(map(len, rows.values()))
    strips = [np.concatenate(list(images)[:columns], axis=1) for images in rows.values()]
    return Sheet(tuple(rows), columns, np.concatenate(strips, axis=0))
