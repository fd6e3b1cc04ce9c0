"""Which convolutions can be INT8: each one's error alone, then together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from engines.precision import Layer, quantize
from engines.quality import Comparison, Network, compare
from rt.frame import Rgb

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Sensitivity:
    """What one layer costs and spares."""

    layer: Layer
    macs_share: float
    """Its part of the multiplications of all the network's convolutions, in [0, 1]."""
    alone_db: float
    """PSNR against FP32 where this layer alone is in INT8."""
    int8: bool = True
    """Whether it is quantised in the end."""


@dataclass(frozen=True)
class Quantized:
    """A quantised network and how it was found."""

    model: Any
    layers: tuple[Sensitivity, ...]
    comparison: Comparison
    """Against FP32, on the frames held out."""


def measure_layers(
    model: Any, layers: Sequence[Layer], ranges: dict[str, float], images: Sequence[Rgb]
) -> list[Sensitivity]:
    """Quantise each layer alone and compare with FP32."""
    wanted = translate_all(model, images)
    macs = convolution_macs(model, images[0])
    total = sum(macs.values())
    found = []
    for layer in shown(layers, "measuring layers"):
        alone = compare(wanted, translate_all(quantize(model, [layer], ranges), images))
        found.append(Sensitivity(layer, macs[layer.name] / total, alone.psnr_db))
    return found


def quantize_within_gate(
    model: Any,
    measured: Sequence[Sensitivity],
    ranges: dict[str, float],
    held_out: Sequence[Rgb],
    gate_db: float,
) -> Quantized:
    """Quantise every layer; while the gate fails, leave the next most sensitive one in float.

    The last try, with one layer left, is returned even where it is below the gate.
    """
    wanted = translate_all(model, held_out)
    layers = list(measured)
    while True:
        chosen = [entry for entry in layers if entry.int8]
        quantized = quantize(model, [entry.layer for entry in chosen], ranges)
        comparison = compare(wanted, translate_all(quantized, held_out))
        if comparison.psnr_db >= gate_db or len(chosen) == 1:
            return Quantized(quantized, tuple(layers), comparison)
        worst = min(chosen, key=lambda entry: entry.alone_db)
        layers[layers.index(worst)] = replace(worst, int8=False)


def convolution_macs(model: Any, image: Rgb) -> dict[str, int]:
    """Return the multiplications of every convolution, transposed ones too, on one image, by node name."""
    kernels = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    # A kernel is applied once for every place of what a Conv writes, of what a ConvTranspose reads.
    places = {
        node.name: (node.output if node.op_type == "Conv" else node.input)[0]
        for node in model.graph.node
        if node.op_type in ("Conv", "ConvTranspose") and node.input[1] in kernels
    }
    looked = Network(model, list(dict.fromkeys(places.values()))).look_inside(image)
    weights = {node.name: kernels.get(node.input[1], 0) for node in model.graph.node if node.name in places}
    return {
        name: weights[name] * int(np.prod(looked[tensor].shape[2:]))  # [1, C, H, W]
        for name, tensor in places.items()
    }


def translate_all(model: Any, images: Iterable[Rgb]) -> list[Rgb]:
    """Translate images with ONNX Runtime."""
    network = Network(model)
    return [network.translate(rgb) for rgb in images]


def shown(entries: Sequence[Entry], what: str) -> Iterator[Entry]:
    """Iterate while a bar on stderr shows how far it is, where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(entries, what, console=console, transient=True, disable=not console.is_terminal)
