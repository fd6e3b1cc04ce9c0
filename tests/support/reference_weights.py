"""Drawn weights under the CycleGAN and pix2pix authors' names."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def batch_norm(name: str, channels: int) -> Shapes:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{kind}": (channels,) for kind in kinds}, f"{name}.num_batches_tracked": ()}


def resnet_shapes(width: int = 4, blocks: int = 9, batch: bool = False, dropout: bool = False) -> Shapes:
    """Names and shapes of `latest_net_G_A.pth`, written down from the authors' networks.py."""
    shapes: Shapes = {}

    def add(name: str, shape: tuple[int, ...], norm: str | None) -> None:
        shapes[f"model.{name}.weight"] = shape
        if not batch or norm is None:
            shapes[f"model.{name}.bias"] = shape[:1]
        if batch and norm is not None:
            shapes.update(batch_norm(f"model.{norm}", shape[0]))

    add("1", (width, 3, 7, 7), "2")
    add("4", (2 * width, width, 3, 3), "5")
    add("7", (4 * width, 2 * width, 3, 3), "8")
    second = 6 if dropout else 5
    for block in range(10, 10 + blocks):
        add(f"{block}.conv_block.1", (4 * width, 4 * width, 3, 3), f"{block}.conv_block.2")
        add(f"{block}.conv_block.{second}", (4 * width, 4 * width, 3, 3), f"{block}.conv_block.{second + 1}")
    after = 10 + blocks
    # Transposed convolutions have their output channels second.
    for index, (channels_in, channels) in ((after, (4 * width, 2 * width)), (after + 3, (2 * width, width))):
        shapes[f"model.{index}.weight"] = (channels_in, channels, 3, 3)
        if batch:
            shapes.update(batch_norm(f"model.{index + 1}", channels))
        else:
            shapes[f"model.{index}.bias"] = (channels,)
    add(str(after + 7), (3, width, 7, 7), None)
    return shapes


def unet_shapes(halvings: int = 7, width: int = 2) -> Shapes:
    """The same of `latest_net_G.pth` of pix2pix, with its batch norms."""
    shapes: Shapes = {}
    shapes["model.model.0.weight"] = (width, 3, 4, 4)  # no bias: the authors tie it to the norm
    shapes["model.model.3.weight"], shapes["model.model.3.bias"] = (2 * width, 3, 4, 4), (3,)
    prefix, outer = "model.model.1", width
    for depth in range(1, halvings):
        inner = min(2 * outer, 8 * width)
        innermost = depth == halvings - 1
        shapes[f"{prefix}.model.1.weight"] = (inner, outer, 4, 4)
        if not innermost:
            shapes.update(batch_norm(f"{prefix}.model.2", inner))
        up = 3 if innermost else 5
        shapes[f"{prefix}.model.{up}.weight"] = (inner if innermost else 2 * inner, outer, 4, 4)
        shapes.update(batch_norm(f"{prefix}.model.{up + 1}", outer))
        prefix, outer = f"{prefix}.model.3", inner
    return shapes


def draw(shapes: Shapes) -> OrderedDict[str, Tensor]:
    """Draw weights that keep the size of what goes through them, and norms that change it."""
    rng = torch.Generator().manual_seed(0)
    weights: OrderedDict[str, Tensor] = OrderedDict()
    for name, shape in shapes.items():
        drawn = torch.randn(shape, generator=rng)
        if not shape:
            drawn = torch.tensor(7)  # num_batches_tracked
        elif len(shape) == 4:
            drawn *= (2 / drawn[0].numel()) ** 0.5
        elif name.endswith((".weight", ".running_var")):
            drawn = 0.5 + torch.rand(shape, generator=rng)
        else:
            drawn *= 0.3
        weights[name] = drawn
    return weights
