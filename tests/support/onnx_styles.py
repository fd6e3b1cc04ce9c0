"""Small ONNX networks and style folders for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from rt.card import Card, Expects, describe_model, write_card

FREE = ("N", "H", "W", 3)


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto] = (),
    shape_in: Sequence[str | int] = FREE,
    shape_out: Sequence[str | int] = FREE,
    type_in: int = TensorProto.UINT8,
    type_out: int = TensorProto.UINT8,
) -> Path:
    """Write a graph of one input, named as its first node's, and one output, named as its last node's."""
    frame, translated = nodes[0].input[0], nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info(frame, type_in, shape_in)],
        [helper.make_tensor_value_info(translated, type_out, shape_out)],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def save_generator(path: Path, seed: int = 0, frame: str = "frame", translated: str = "translated") -> Path:
    """Write a small generator: down, instance norm, residual conv, pixel shuffle up, added to its input.

    Takes multiples of 2; strong enough that its images saturate at both ends.
    """
    random = np.random.default_rng(seed)

    def conv(name: str, channels_out: int, channels_in: int, gain: float) -> onnx.TensorProto:
        scale = gain / np.sqrt(9 * channels_in)
        return _floats(name, random.normal(0, scale, (channels_out, channels_in, 3, 3)))

    weights = [
        conv("w1", 16, 3, 2.0),
        conv("w2", 16, 16, 1.4),
        conv("w3", 12, 16, 0.8),
        _floats("ones", np.ones(16)),
        _floats("zeros", np.zeros(16)),
        _floats("half", np.array(127.5)),
        _floats("one", np.array(1.0)),
        _floats("black", np.array(0.0)),
        _floats("white", np.array(255.0)),
    ]
    node = helper.make_node
    nodes = [
        node("Cast", [frame], ["pixels"], to=TensorProto.FLOAT),
        node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        node("Div", ["planes", "half"], ["scaled"]),
        node("Sub", ["scaled", "one"], ["x"]),
        node("Conv", ["x", "w1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("InstanceNormalization", ["c1", "ones", "zeros"], ["n1"]),
        node("Relu", ["n1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        node("Add", ["c2", "r1"], ["a2"]),
        node("Conv", ["a2", "w3"], ["c3"], pads=[1, 1, 1, 1]),
        node("DepthToSpace", ["c3"], ["up"], blocksize=2),
        node("Add", ["up", "x"], ["y"]),
        node("Add", ["y", "one"], ["shifted"]),
        node("Mul", ["shifted", "half"], ["levels"]),
        node("Round", ["levels"], ["rounded"]),
        node("Clip", ["rounded", "black", "white"], ["clipped"]),
        node("Transpose", ["clipped"], ["last"], perm=[0, 2, 3, 1]),
        node("Cast", ["last"], [translated], to=TensorProto.UINT8),
    ]
    return save_graph(path, nodes, weights)


def save_negative(path: Path) -> Path:
    """Write the network 255 - x: a change that is known for every pixel."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "pixels"], ["negative"]),
        helper.make_node("Cast", ["negative"], ["translated"], to=TensorProto.UINT8),
    ]
    return save_graph(path, nodes, [_floats("white", np.array(255.0))])


def make_style(
    base: Path,
    name: str = "drawn",
    model: Path | None = None,
    multiple: int = 4,
    minimum_px: int = 16,
    precisions: tuple[str, ...] = ("fp32",),
    expects: Expects = "photo",
) -> Path:
    """Make the style folder `base`/`name` around a small generator, or around the ONNX file given.

    The card calls that one file by every one of `precisions`.
    """
    folder = base / name
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    if model is None:
        save_generator(path)
    else:
        path.write_bytes(model.read_bytes())
    card = Card(
        name=name,
        title=f"A style for tests called {name}",
        multiple=multiple,
        minimum_px=minimum_px,
        size_px=32,
        models={precision: describe_model(path) for precision in precisions},
        recipe="cyclegan",
        faults=("Made of random numbers.",),
        expects=expects,
    )
    write_card(card, folder)
    return folder


def drawn_image(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return uint8[H, W, 3] RGB: ramps in every channel, a black and a white bar, some grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    ramps = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (height + width)], axis=-1)
    image = np.clip(ramps + random.normal(0, 12, ramps.shape), 0, 255)
    image[height // 4 : height // 3] = 0
    image[:, width // 2 : width // 2 + width // 8] = 255
    return image.astype(np.uint8)


def _floats(name: str, values: npt.NDArray[np.float64]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.astype(np.float32).ravel())
