"""Networks, and the table of all generators by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from rt.errors import nearest
from train.errors import RunError
from train.nets.layers import Generator
from train.nets.papers import ResnetGenerator, UnetGenerator
from train.nets.small import (
    DrawingHourglass,
    FlatHourglass,
    Hourglass,
    MobileResnet,
    PaintingHourglass,
    Quarter,
)
from train.nets.strokes import Strokes


def make_generator(
    name: str,
    norm: str = "instance",
    *,
    channels_in: int = 3,
    width: int | None = None,
    dropout: bool = False,
    down: str = "stride",
    up: str = "transposed",
    init: str = "identity",
) -> Generator:
    """Return an untrained generator.

    Args:
        name: one of `GENERATORS`.
        norm: normalisation: instance, batch or none.
        channels_in: channels of the input; more than the image's three are noise.
        width: channels of the first convolution; None: the network's own.
        dropout: noise as dropout; resnet and unet.
        down: halving, stride or blur; resnet.
        up: doubling, transposed or nearest; resnet.
        init: how the last convolution starts, identity (the untrained network adds nothing) or icnr;
            hg48, paint48, flat48, pu48 and pu32.

    Raises:
        RunError: there is no such generator, or it has no such option.
    """
    if name not in GENERATORS:
        raise RunError(f"no generator {name!r}: there are {', '.join(GENERATORS)}{nearest(name, GENERATORS)}")
    options: dict[str, Any] = {"dropout": dropout, "down": down, "up": up, "init": init}
    build, known = GENERATORS[name]
    for option, value in options.items():
        if option not in known and value != _DEFAULTS[option]:
            raise RunError(f"generator {name} has no option {option} {value}: leave it out")
    taken = {option: value for option, value in options.items() if option in known}
    if width is not None:
        taken["width"] = width
    return build(norm=norm, channels_in=channels_in, **taken)


def count_parameters(net: nn.Module) -> int:
    """Return the number of trainable numbers in a network."""
    return sum(parameter.numel() for parameter in net.parameters())


def _resnet(blocks: int) -> Callable[..., Generator]:
    return lambda **options: ResnetGenerator(blocks, **options)


def _unet(halvings: int) -> Callable[..., Generator]:
    return lambda **options: UnetGenerator(halvings, **options)


def _quarter(own_width: int) -> Callable[..., Generator]:
    return lambda width=own_width, **options: Quarter(width=width, **options)


_DEFAULTS = {"dropout": False, "down": "stride", "up": "transposed", "init": "identity"}
_RESNET = ("dropout", "down", "up")

GENERATORS: dict[str, tuple[Callable[..., Generator], tuple[str, ...]]] = {
    "hg48": (Hourglass, ("init",)),
    "draw48": (DrawingHourglass, ()),
    "paint48": (PaintingHourglass, ("init",)),
    "flat48": (FlatHourglass, ("init",)),
    "pu48": (_quarter(48), ("init",)),
    "pu32": (_quarter(32), ("init",)),
    "mobile16": (MobileResnet, ()),
    "strokes": (Strokes, ()),
    "resnet6": (_resnet(6), _RESNET),
    "resnet9": (_resnet(9), _RESNET),
    "unet128": (_unet(7), ("dropout",)),
    "unet256": (_unet(8), ("dropout",)),
}
"""Untrained generators by name: how to build one, and its options beside norm, width and channels."""
