"""ONNX models: read, brought to an opset and a shape, their nodes replaced."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter

from engines.errors import PrecisionError
from rt.card import HIGHEST_OPSET
from rt.text import one_line

_IR_OF_WEIGHTS_APART = 4


def read_onnx(path: Path) -> Any:
    """Read an ONNX file; every node has a name of its own, and constants are initialisers, no inputs.

    Raises:
        PrecisionError: it cannot be read or is no valid ONNX.
    """
    try:
        model = onnx.load(path)
        _record_output_shapes(model)
        onnx.checker.check_model(model)
    except OSError as error:
        raise PrecisionError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise PrecisionError(f"{path} cannot be read as ONNX: {one_line(error, 3)}") from None
    except Exception as error:
        # protobuf's DecodeError belongs to another package, of which onnx alone needs to know.
        if type(error).__name__ != "DecodeError":
            raise
        raise PrecisionError(f"{path} cannot be read as ONNX: {one_line(error, 3)}") from None
    _forget_weights_as_inputs(model)
    _hoist_constants(model.graph)
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)
    return model


def _record_output_shapes(model: Any) -> None:
    """Note the rank of outputs without a recorded shape: the checker asks for it, runtimes do not."""
    unknown = onnx.TensorShapeProto.Dimension
    for port in model.graph.output:
        kind = port.type.tensor_type
        if port.type.HasField("tensor_type") and not kind.HasField("shape"):
            kind.shape.CopyFrom(onnx.TensorShapeProto(dim=[unknown() for _ in range(4)]))


def _forget_weights_as_inputs(model: Any) -> None:
    """Make of IR version 3, where every weight is an input too, one that knows inputs from weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _IR_OF_WEIGHTS_APART)


def with_opset(model: Any, least: int) -> Any:
    """Return the model, converted to opset `least` where it is older.

    Raises:
        PrecisionError: a node cannot be converted.
    """
    if opset(model) >= least:
        return model
    try:
        newer = version_converter.convert_version(model, least)
    except RuntimeError as error:
        raise PrecisionError(
            f"the network is of opset {opset(model)} and cannot be converted to {least}: "
            f"{one_line(error, 3)}; export it with opset {least} or later"
        ) from None
    _hoist_constants(newer.graph)  # what were attributes, a Clip's limits say
    return newer


def lowered(model: Any) -> Any:
    """Return the model, converted to `HIGHEST_OPSET` where it is newer.

    Raises:
        PrecisionError: a node has no older form.
    """
    if opset(model) <= HIGHEST_OPSET:
        return model
    try:
        older = version_converter.convert_version(model, HIGHEST_OPSET)
        onnx.checker.check_model(older, full_check=True)
    except (RuntimeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise PrecisionError(
            f"the network is of opset {opset(model)} and cannot be converted to {HIGHEST_OPSET}: "
            f"{one_line(error, 3)}"
        ) from None
    return older


def opset(model: Any) -> int:
    """Return the version of the ONNX operators a model uses."""
    return int(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))


def with_fixed_shape(model: Any, batch: int, size: tuple[int, int]) -> Any:
    """Return the model for uint8[batch, height, width, 3] alone; `size` = (height, width).

    Raises:
        PrecisionError: the model's own shape is fixed to another, or does not fit one of its nodes.
    """
    fixed = copy.deepcopy(model)
    wanted = (batch, *size, 3)
    for port in (fixed.graph.input[0], fixed.graph.output[0]):
        dimensions = port.type.tensor_type.shape.dim
        found = [dimension.dim_value for dimension in dimensions]
        if len(found) != 4 or any(a and a != b for a, b in zip(found, wanted, strict=True)):
            raise PrecisionError(
                f"the network takes {[a or '?' for a in found]}, {list(wanted)} is asked for"
            )
        for dimension, length in zip(dimensions, wanted, strict=True):
            dimension.dim_value = length
    del fixed.graph.value_info[:]
    try:
        return onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise PrecisionError(f"the network cannot take {list(wanted)}: {one_line(error, 3)}") from None


def _hoist_constants(graph: Any) -> None:
    """Make initialisers of the Constant nodes that hold numbers."""
    kept = []
    for node in graph.node:
        value = _constant(node)
        if value is None:
            kept.append(node)
            continue
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    if len(kept) < len(graph.node):
        replace_nodes(graph, kept)


def _constant(node: Any) -> Any:
    """Return the numbers of a Constant node in any of its spellings; None for words and other nodes."""
    if node.op_type != "Constant":
        return None
    for entry in node.attribute:
        if entry.name == "value":
            return numpy_helper.to_array(entry.t)
        if entry.name in ("value_float", "value_floats"):
            return np.asarray(helper.get_attribute_value(entry), np.float32)
        if entry.name in ("value_int", "value_ints"):
            return np.asarray(helper.get_attribute_value(entry), np.int64)
    return None


def replace_nodes(graph: Any, nodes: list[Any]) -> None:
    """Put `nodes` in place of a graph's own; what was noted of its inner tensors no longer holds."""
    fresh = [copy.deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(fresh)
    del graph.value_info[:]


def drop_unused(graph: Any) -> None:
    """Remove the weights that no node reads."""
    used = {tensor for node in graph.node for tensor in node.input}
    kept = [copy.deepcopy(tensor) for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
