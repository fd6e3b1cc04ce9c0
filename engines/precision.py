"""ONNX → ONNX: the cast to FP16 and the INT8 quantisation of convolutions.

Precision is a property of the file, so one file computes the same on OpenVINO, ONNX Runtime and TensorRT. The
rules are those that all of them take: symmetric INT8 with zero point 0, weights per output channel (axis 0),
QuantizeLinear and DequantizeLinear right before each convolution, biases left in float.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.errors import PrecisionError
from engines.onnx_model import drop_unused, replace_nodes, with_opset
from rt.text import one_line

QUANTIZED_OPSET = 19
"""The first opset whose QuantizeLinear takes FP16 scales."""
LEVELS = 127
"""Symmetric INT8 uses -127..127."""
_ARITHMETIC = frozenset(
    {"Add", "Cast", "Clip", "Div", "Gather", "Identity", "Mul", "Round", "Sub", "Transpose"}
)
"""What scaling, layout, clip and round are made of; before and after the network proper they stay in FP32."""
_ALWAYS_FLOAT32 = {"Resize": (1, 2)}
"""Inputs that ONNX wants in float32 whatever the image is: the region and the scales of a Resize."""


@dataclass(frozen=True)
class Layer:
    """A convolution that can be quantised."""

    name: str
    """The node's name."""
    tensor_in: str
    """The tensor it reads, whose range is calibrated."""


def quantizable_layers(model: Any) -> list[Layer]:
    """Return the convolutions that may be quantised, in the order of the graph.

    Left out: the first and the last (no other convolution before or after it, transposed ones counted), which
    see and make the image itself; grouped ones, which gain nothing; kernels that are not constant;
    ConvTranspose, which no runtime computes faster in INT8.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if _is_dense_convolution(node, constants)]
    made = {node.output[0] for node in nodes}
    before, after = _reaches(model.graph.node, made), _reached_by(model.graph.node, made)
    return [
        Layer(node.name, node.input[0])
        for node in nodes
        if node.op_type == "Conv" and node.input[0] in before and node.output[0] in after
    ]


def quantize(model: Any, layers: Collection[Layer], ranges: Mapping[str, float]) -> Any:
    """Return the model with INT8 convolutions where `layers` says; the rest is computed as before.

    `ranges` holds the largest magnitude that counts of every tensor the layers read. Scales are rounded to
    what FP16 can hold, so that a cast of the result to FP16 leaves the integers right.

    Raises:
        PrecisionError: a node cannot be converted to the opset that is needed.
    """
    quantized = copy.deepcopy(with_opset(model, QUANTIZED_OPSET))
    graph = quantized.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    chosen = {layer.name for layer in layers}
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.int8), "zero_int8"))
    nodes: list[Any] = []
    read_as: dict[str, str] = {}
    for node in graph.node:
        if node.name in chosen:
            tensor = node.input[0]
            if tensor not in read_as:
                scale = half_scale(np.float32(ranges[tensor] / LEVELS))
                nodes += _quantize_tensor(graph, tensor, scale)
                read_as[tensor] = f"{tensor}_dequantized"
            nodes.append(_quantize_kernel(graph, node, constants))
            node.input[0] = read_as[tensor]
        nodes.append(node)
    replace_nodes(graph, nodes)
    drop_unused(graph)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def half_scale(scale: npt.NDArray[np.float32] | np.float32) -> npt.NDArray[np.float32]:
    """Return scales rounded to FP16 values, never 0: float32 of the same shape."""
    smallest = np.finfo(np.float16).smallest_normal  # below it the rounding of FP16 is coarse
    rounded = np.asarray(scale, np.float32).astype(np.float16).astype(np.float32)
    return np.asarray(np.maximum(rounded, smallest), np.float32)


def to_half(model: Any) -> Any:
    """Return the model computing in FP16; pixels in and out and their scaling stay as they are.

    So does a fixed filter before the first convolution: its deviations are small differences of large sums.
    Works on a quantised model too: its integers are the same, its scales FP16.

    Raises:
        PrecisionError: one of its operators cannot compute so.
    """
    half = copy.deepcopy(model)
    graph = half.graph
    kept = _scaling_nodes(graph) | _filter_nodes(graph)
    types = _float_tensors(half)
    _cast_constants(graph, kept)
    made_half = {tensor for node in graph.node if node.name not in kept for tensor in node.output}
    nodes: list[Any] = []
    casts: set[str] = set()
    for node in graph.node:
        wants_half = node.name not in kept
        for position, tensor in enumerate(node.input):
            if tensor not in types or (tensor in made_half) == wants_half:
                continue
            if wants_half and position in _ALWAYS_FLOAT32.get(node.op_type, ()):
                continue
            cast = f"{tensor}_{'half' if wants_half else 'float'}"
            if cast not in casts:
                casts.add(cast)
                to = TensorProto.FLOAT16 if wants_half else TensorProto.FLOAT
                nodes.append(helper.make_node("Cast", [tensor], [cast], name=f"cast_{cast}", to=to))
            node.input[position] = cast
        nodes.append(node)
    replace_nodes(graph, nodes)
    try:
        onnx.checker.check_model(half, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PrecisionError(f"the network cannot compute in FP16: {one_line(error, 3)}") from None
    return half


def _is_dense_convolution(node: Any, constants: Mapping[str, Any]) -> bool:
    if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in constants:
        return False
    return not _is_grouped(node)


def _is_grouped(node: Any) -> bool:
    return bool(next((entry.i for entry in node.attribute if entry.name == "group"), 1) != 1)


def _reaches(nodes: Iterable[Any], tensors: Collection[str]) -> set[str]:
    """Return `tensors` and every tensor that is computed from one of them."""
    found = set(tensors)
    for node in nodes:
        if any(tensor in found for tensor in node.input):
            found.update(node.output)
    return found


def _reached_by(nodes: Any, makers: Collection[str]) -> set[str]:
    """Return every tensor from which a node that writes one of `makers` is computed."""
    found: set[str] = set()
    for node in reversed(nodes):
        if any(tensor in found or tensor in makers for tensor in node.output):
            found.update(node.input)
    return found


def _quantize_tensor(graph: Any, tensor: str, scale: npt.NDArray[np.float32]) -> list[Any]:
    name = f"{tensor}_scale"
    graph.initializer.append(numpy_helper.from_array(scale, name))
    small, back = f"{tensor}_quantized", f"{tensor}_dequantized"
    return [
        helper.make_node("QuantizeLinear", [tensor, name, "zero_int8"], [small], name=f"quantize_{tensor}"),
        helper.make_node("DequantizeLinear", [small, name, "zero_int8"], [back], name=f"dequantize_{tensor}"),
    ]


def _quantize_kernel(graph: Any, node: Any, constants: Mapping[str, Any]) -> Any:
    """Store a kernel as INT8 and return the node that makes it float again, one scale per output channel."""
    name = node.input[1]
    kernel = numpy_helper.to_array(constants[name]).astype(np.float32)  # [C_out, C_in, h, w]
    scale = half_scale(np.abs(kernel).max(axis=(1, 2, 3)) / np.float32(LEVELS))
    levels = np.clip(np.rint(kernel / scale[:, None, None, None]), -LEVELS, LEVELS).astype(np.int8)
    own = f"{node.name}_{name}"  # a kernel may be shared with a convolution that stays in float
    for suffix, values in (("int8", levels), ("scale", scale), ("zero", np.zeros(len(scale), np.int8))):
        graph.initializer.append(numpy_helper.from_array(values, f"{own}_{suffix}"))
    inputs = [f"{own}_int8", f"{own}_scale", f"{own}_zero"]
    node.input[1] = f"{own}_dequantized"
    return helper.make_node("DequantizeLinear", inputs, [node.input[1]], name=f"dequantize_{own}", axis=0)


def _scaling_nodes(graph: Any) -> set[str]:
    """Return the names of the nodes between the pixels and the network proper, at both ends."""
    constants = {tensor.name for tensor in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for tensor in node.input:
            readers.setdefault(tensor, []).append(node)
    makers = {tensor: node for node in graph.node for tensor in node.output}

    def is_scaling(node: Any) -> bool:
        variable = [tensor for tensor in node.input if tensor and tensor not in constants]
        return node.op_type in _ARITHMETIC and len(variable) == 1

    kept: set[str] = set()
    tensor = graph.input[0].name
    while len(readers.get(tensor, [])) == 1 and is_scaling(readers[tensor][0]):
        kept.add(readers[tensor][0].name)
        tensor = readers[tensor][0].output[0]
    tensor = graph.output[0].name
    while tensor in makers and is_scaling(makers[tensor]) and makers[tensor].name not in kept:
        node = makers[tensor]
        kept.add(node.name)
        tensor = next(entry for entry in node.input if entry not in constants)
    return kept


def _filter_nodes(graph: Any) -> set[str]:
    """Return the names of the nodes before the first dense convolution where grouped ones are among them."""
    made = {
        node.output[0]
        for node in graph.node
        if node.op_type in ("Conv", "ConvTranspose") and not _is_grouped(node)
    }
    behind, before = _reaches(graph.node, made), _reached_by(graph.node, made)
    found = [
        node
        for node in graph.node
        if not any(tensor in behind for tensor in node.output)
        and any(tensor in before for tensor in node.output)
    ]
    return {node.name for node in found} if any(_is_grouped(node) for node in found) else set()


def _float_tensors(model: Any) -> set[str]:
    """Return the names of the computed float32 tensors; constants are not among them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = [*graph.value_info, *graph.input, *graph.output]
    constants = {tensor.name for tensor in graph.initializer}
    return {
        entry.name
        for entry in known
        if entry.type.tensor_type.elem_type == TensorProto.FLOAT and entry.name not in constants
    }


def _cast_constants(graph: Any, kept: Collection[str]) -> None:
    """Make FP16 of every float constant the network proper reads, a copy where the scaling reads it too."""
    floats = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    cast: dict[str, str] = {}
    for node in graph.node:
        if node.name in kept:
            continue
        for entry in node.attribute:
            if entry.name == "value" and entry.t.data_type == TensorProto.FLOAT:  # ConstantOfShape
                entry.t.CopyFrom(_half_tensor(entry.t, entry.t.name))
            if node.op_type == "Cast" and entry.name == "to" and entry.i == TensorProto.FLOAT:
                entry.i = TensorProto.FLOAT16
        for position, tensor in enumerate(node.input):
            if tensor not in floats or position in _ALWAYS_FLOAT32.get(node.op_type, ()):
                continue
            if tensor not in cast:
                cast[tensor] = f"{tensor}_as_half"
                graph.initializer.append(_half_tensor(floats[tensor], cast[tensor]))
            node.input[position] = cast[tensor]
    drop_unused(graph)


def _half_tensor(tensor: Any, name: str) -> Any:
    with np.errstate(over="ignore"):  # beyond 65504 becomes infinite; the gate finds such a network
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name)
