"""How a network takes and gives its image, and the nodes that convert."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.errors import AdoptError

Layout = Literal["nchw", "nhwc"]
Range = Literal["0..1", "-1..1", "0..255"]
Channels = Literal["rgb", "bgr"]
TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8)
"""What a network may take."""
FRAME, TRANSLATED = "frame", "translated"
_SCALES: dict[Range, tuple[float, float]] = {"0..1": (255, 0), "-1..1": (127.5, 127.5), "0..255": (1, 0)}
"""pixel = value * first + second."""
_LIMITS: dict[Range, tuple[float, float]] = {"0..1": (0, 1), "-1..1": (-1, 1), "0..255": (0, 255)}
_CHANNEL_AXIS = {"nchw": 1, "nhwc": 3}
_TO_PLANES, _TO_LINES = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True)
class Convention:
    """How a network takes or gives its images: that of one port."""

    layout: Layout
    range: Range
    channels: Channels


@dataclass(frozen=True)
class Conventions:
    """How a network takes its image, and how it gives it."""

    taken: Convention
    given: Convention


def image_ports(model: Any, file: Path) -> tuple[Any, Any]:
    """Return the only input and the only output of a network, of four dimensions as far as recorded.

    Raises:
        AdoptError: there are more, which are named, or one is no image.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    ports = {
        "input": [port for port in model.graph.input if port.name not in constants],
        "output": list(model.graph.output),
    }
    for kind, found in ports.items():
        if len(found) != 1:
            names = ", ".join(port.name for port in found) or "none"
            raise AdoptError(f"{file} has {len(found)} {kind}s ({names}), a style has one: one image")
        count = len(_lengths(found[0]))
        if count != 4 and (kind == "input" or count):  # an output's shape need not be recorded
            raise AdoptError(f"{file} has no image as {kind}: {found[0].name} has {count} dimensions, not 4")
    return ports["input"][0], ports["output"][0]


def guess_layout(port: Any) -> tuple[Layout | None, str]:
    """Return where the channels stand, None where it does not show; and the port's shape in words."""
    lengths = _lengths(port)
    shape = ", ".join(str(length or "?") for length in lengths)
    if len(lengths) != 4:
        return None, "not recorded"
    found: list[Layout] = [layout for layout in ("nchw", "nhwc") if lengths[_CHANNEL_AXIS[layout]] == 3]
    return (found[0] if len(found) == 1 else None), f"[{shape}]"


def check_channels(image: Any, layout: Layout, file: Path) -> None:
    """Refuse an image that has not three channels where the layout says.

    Raises:
        AdoptError: it says another number.
    """
    if (count := _lengths(image)[_CHANNEL_AXIS[layout]]) not in (0, 3):
        raise AdoptError(f"{file}: input {image.name} has {count} channels in layout {layout}, 3 needed")


def guess_range(model: Any) -> tuple[Range | None, str]:
    """Return the range of a network's values where its last operation shows it, and that operation."""
    makers: dict[str, Any] = {tensor: node for node in model.graph.node for tensor in node.output}
    tensor = model.graph.output[0].name
    while tensor in makers and makers[tensor].op_type in ("Cast", "Identity", "Transpose"):
        tensor = makers[tensor].input[0]
    if tensor not in makers:
        return None, "it computes nothing"
    node = makers[tensor]
    if node.op_type == "Tanh":
        return "-1..1", "the network ends in Tanh"
    if node.op_type == "Sigmoid":
        return "0..1", "the network ends in Sigmoid"
    limits = _limits(model, node) if node.op_type == "Clip" else None
    for name, wanted in _LIMITS.items():
        if limits == wanted:
            return name, f"the network ends in Clip to {name}"
    return None, f"the network ends in {node.op_type}"


def spatial_size(model: Any, layout: Layout) -> tuple[int, int] | None:
    """Return the (height, width) a network is fixed to, None where both are free.

    Raises:
        AdoptError: only one of them is fixed.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    lengths = _lengths(next(port for port in model.graph.input if port.name not in constants))
    height, width = lengths[2:] if layout == "nchw" else lengths[1:3]
    if bool(height) != bool(width):
        raise AdoptError(
            f"the network takes images of {height or '?'}x{width or '?'}: both sides must be fixed, or none"
        )
    return (height, width) if height else None


def add_pixels(model: Any, conventions: Conventions) -> Any:
    """Return the model with uint8[N, H, W, 3] RGB in and out.

    The Cast stands at the pixels, as TensorRT needs it; Round and Clip before the last one, for its Cast to
    uint8 truncates and is undefined out of range.

    Raises:
        AdoptError: what comes of it is no valid ONNX.
    """
    framed = copy.deepcopy(model)
    graph = framed.graph
    constants = {tensor.name for tensor in graph.initializer}
    image_in = copy.deepcopy(next(port for port in graph.input if port.name not in constants))
    image_out = copy.deepcopy(graph.output[0])
    nodes = [copy.deepcopy(node) for node in graph.node]
    taken = constants | {name for node in nodes for name in (*node.input, *node.output)}
    draw = _Nodes(graph, taken)
    before = _to_network(draw, image_in, conventions.taken)
    after = _to_pixels(draw, image_out, conventions.given)
    size = spatial_size(model, conventions.taken.layout)
    batch = 1 if _lengths(image_in)[0] == 1 else "batch"  # of several, one will often do
    shape = [batch, *(size or ("height", "width")), 3]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend([*before, *nodes, *after])
    graph.input.append(helper.make_tensor_value_info(before[0].input[0], TensorProto.UINT8, shape))
    graph.output.append(helper.make_tensor_value_info(after[-1].output[0], TensorProto.UINT8, shape))
    try:
        onnx.checker.check_model(framed)
    except onnx.checker.ValidationError as error:
        raise AdoptError(f"pixels cannot be put around the network: {' '.join(str(error).split())}") from None
    return framed


class _Nodes:
    """Makes nodes with names that are free."""

    def __init__(self, graph: Any, taken: set[str]) -> None:
        self._graph = graph
        self._taken = taken

    def name(self, wanted: str) -> str:
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(
            kind, inputs, [output], name=self.name(f"pixels_{kind.lower()}"), **attributes
        )

    def constant(self, value: Any, dtype: type) -> str:
        name = self.name("pixels_constant")
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def _to_network(draw: _Nodes, image: Any, convention: Convention) -> list[Any]:
    """Return the nodes from uint8[N, H, W, 3] RGB to the network's input."""
    scale, shift = _SCALES[convention.range]
    steps: list[tuple[str, list[str], dict[str, Any]]] = [("Cast", [], {"to": TensorProto.FLOAT})]
    if convention.channels == "bgr":
        steps.append(("Gather", [draw.constant([2, 1, 0], np.int64)], {"axis": 3}))
    if convention.layout == "nchw":
        steps.append(("Transpose", [], {"perm": _TO_PLANES}))
    if shift:
        steps.append(("Sub", [draw.constant(shift, np.float32)], {}))
    if scale != 1:
        steps.append(("Div", [draw.constant(scale, np.float32)], {}))
    if (kind := image.type.tensor_type.elem_type) != TensorProto.FLOAT:
        steps.append(("Cast", [], {"to": kind}))
    return _chain(draw, steps, draw.name(FRAME), image.name)


def _to_pixels(draw: _Nodes, image: Any, convention: Convention) -> list[Any]:
    """Return the nodes from the network's output to uint8[N, H, W, 3] RGB."""
    scale, shift = _SCALES[convention.range]
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if image.type.tensor_type.elem_type != TensorProto.FLOAT:
        steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
    if scale != 1:
        steps.append(("Mul", [draw.constant(scale, np.float32)], {}))
    if shift:
        steps.append(("Add", [draw.constant(shift, np.float32)], {}))
    steps.append(("Round", [], {}))
    steps.append(("Clip", [draw.constant(0, np.float32), draw.constant(255, np.float32)], {}))
    if convention.layout == "nchw":
        steps.append(("Transpose", [], {"perm": _TO_LINES}))
    if convention.channels == "bgr":
        steps.append(("Gather", [draw.constant([2, 1, 0], np.int64)], {"axis": 3}))
    steps.append(("Cast", [], {"to": TensorProto.UINT8}))
    return _chain(draw, steps, image.name, draw.name(TRANSLATED))


def _chain(
    draw: _Nodes, steps: list[tuple[str, list[str], dict[str, Any]]], first: str, last: str
) -> list[Any]:
    """Return nodes one after the other, from tensor `first` to tensor `last`."""
    names = [first, *(draw.name("pixels_between") for _ in steps[1:]), last]
    return [
        draw.node(kind, [names[number], *inputs], names[number + 1], **attributes)
        for number, (kind, inputs, attributes) in enumerate(steps)
    ]


def _lengths(port: Any) -> list[int]:
    """Return an image's four dimensions, 0 for a free one."""
    return [max(0, entry.dim_value) for entry in port.type.tensor_type.shape.dim]


def _limits(model: Any, clip: Any) -> tuple[float, float] | None:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    if len(clip.input) != 3 or any(name not in constants for name in clip.input[1:]):
        return None
    low, high = (float(numpy_helper.to_array(constants[name])) for name in clip.input[1:])
    return low, high
