"""ONNX networks for tests of precision, with every kind of node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.io_nodes import Layout

CHANNELS = 8
KERNEL = np.random.default_rng(0).normal(0, 0.15, (3, 3, 3, 3)) + 0.6 * np.eye(3)[:, :, None, None] / 9


class Drawing:
    """Collects nodes and constants of a graph."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any, dtype: type = np.float32) -> str:
        """Add a constant; return its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; return its output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes))
        return output

    def kernel(self, name: str, shape: tuple[int, int, int, int], gain: float = 1.0) -> str:
        """Add the kernel of a convolution."""
        return self.constant(name, self.random.normal(0, gain / np.sqrt(9 * shape[1]), shape))


def save_residual(path: Path, blocks: int = 3, spiked: int | None = None, opset: int = 20) -> Path:
    """Write a small ResNet: 3x3 convolution halving the image, blocks, doubling back, uint8 in and out.

    Block number `spiked` reads one channel magnified a thousandfold and weighs it a thousandth: harmless in
    float, beyond what INT8 with one scale for all channels can hold.
    """
    draw = Drawing(0)
    pads = draw.constant("around", [0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    half = draw.constant("half", 127.5)
    x = draw.node("Cast", ["frame"], "pixels", to=TensorProto.FLOAT)
    x = draw.node("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    x = draw.node("Div", [x, half], "scaled")
    x = image = draw.node("Sub", [x, draw.constant("one", 1.0)], "x")
    x = draw.node(
        "Conv", [x, draw.kernel("w_first", (CHANNELS, 3, 3, 3), 2)], "first", strides=[2, 2], pads=[1] * 4
    )
    x = draw.node("Relu", [x], "relu_first")
    for number in range(blocks):
        x = _block(draw, x, pads, number, spiked == number)
    x = draw.node("ConvTranspose", [x, draw.kernel("w_up", (CHANNELS, CHANNELS, 2, 2))], "up", strides=[2, 2])
    scales = draw.constant("scales", [1, 1, 1, 1])
    x = draw.node("Resize", [x, "", scales], "resized", mode="nearest")
    x = draw.node("Conv", [x, draw.kernel("w_last", (3, CHANNELS, 3, 3), 0.7)], "last", pads=[1] * 4)
    x = draw.node("Tanh", [draw.node("Add", [x, image], "sum")], "tanh")
    x = draw.node("Add", [draw.node("Mul", [x, half], "levels"), half], "shifted")
    x = draw.node("Round", [x], "rounded")
    x = draw.node("Clip", [x, draw.constant("black", 0), draw.constant("white", 255)], "clipped")
    x = draw.node("Transpose", [x], "lines", perm=[0, 2, 3, 1])
    draw.node("Cast", [x], "translated", to=TensorProto.UINT8)
    free = ["N", "H", "W", 3]
    graph = helper.make_graph(
        draw.nodes,
        "residual",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, free)],
        [helper.make_tensor_value_info("translated", TensorProto.UINT8, free)],
        draw.constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def _block(draw: Drawing, x: str, pads: str, number: int, spiked: bool) -> str:
    gains = np.ones((1, CHANNELS, 1, 1))
    gains[0, 0] = 1000 if spiked else 1
    weights = draw.random.normal(0, 1 / np.sqrt(9 * CHANNELS), (CHANNELS, CHANNELS, 3, 3)) / gains
    inner = draw.node("Pad", [x, pads], f"pad{number}", mode="reflect")
    inner = draw.node("Mul", [inner, draw.constant(f"gains{number}", gains)], f"gained{number}")
    bias = draw.constant(f"bias{number}", draw.random.normal(0, 0.1, CHANNELS))
    inner = draw.node("Conv", [inner, draw.constant(f"w{number}", weights), bias], f"conv{number}")
    ones, zeros = (draw.constant(f"{name}{number}", np.full(CHANNELS, v)) for name, v in (("g", 1), ("b", 0)))
    inner = draw.node("InstanceNormalization", [inner, ones, zeros], f"norm{number}")
    return draw.node("Add", [x, draw.node("Relu", [inner], f"relu{number}")], f"block{number}")


def foreign(
    path: Path,
    layout: Layout = "nchw",
    end: str | None = "Tanh",
    shape: tuple[str | int, ...] | None = None,
    halvings: int = 0,
    dtype: int = TensorProto.FLOAT,
    more_in: tuple[str, ...] = (),
    more_out: tuple[str, ...] = (),
    opset: int = 17,
) -> Path:
    """Write a blur of three channels; with `halvings` it folds and unfolds the image on its way."""
    numpy_type = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}.get(dtype, np.float32)
    node = helper.make_node
    nodes = [] if layout == "nchw" else [node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2])]
    x = "image" if layout == "nchw" else "planes"
    if halvings:
        blocks = 2**halvings
        nodes.append(node("SpaceToDepth", [x], ["folded"], blocksize=blocks))
        nodes.append(node("DepthToSpace", ["folded"], ["unfolded"], blocksize=blocks))
        x = "unfolded"
    nodes.append(node("Conv", [x, "kernel"], ["blurred"], pads=[1, 1, 1, 1]))
    x = "blurred"
    if end is not None:
        nodes.append(node(end, [x], ["ended"]))
        x = "ended"
    if layout == "nhwc":
        nodes.append(node("Transpose", [x], ["lines"], perm=[0, 2, 3, 1]))
        x = "lines"
    nodes[-1].output[0] = "result"
    lengths = shape or (("N", 3, "H", "W") if layout == "nchw" else ("N", "H", "W", 3))
    inputs = [helper.make_tensor_value_info(name, dtype, lengths) for name in ("image", *more_in)]
    nodes += [node("Identity", ["image"], [name]) for name in more_out]
    outputs = [helper.make_tensor_value_info(name, dtype, lengths) for name in ("result", *more_out)]
    kernel = numpy_helper.from_array(KERNEL.astype(numpy_type), "kernel")
    graph = helper.make_graph(nodes, "foreign", inputs, outputs, [kernel])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path
