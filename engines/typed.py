"""The network an engine is built from: every tensor's type is in the file."""

from __future__ import annotations

from typing import Any

from engines.precision import read_onnx, to_half
from rt.engine_file import source_model
from rt.styles import Style


def typed_model(style: Style, precision: str) -> tuple[Any, str]:
    """Return a style's network in one precision, and the name of the ONNX file it is made of.

    `fp16` is the card's FP16 file, or its FP32 one cast. `int8` is the card's INT8 file with all that is not
    INT8 cast to FP16: what an engine computes fastest.

    Raises:
        EngineError, StyleError: the style has no such model, or it is damaged.
        PrecisionError: it cannot be read.
    """
    source = source_model(style.card, precision)
    path = style.model(next(key for key, model in style.card.models.items() if model == source))
    model = read_onnx(path)
    is_typed = precision == "fp32" or (precision == "fp16" and "fp16" in style.card.models)
    return (model if is_typed else to_half(model)), source.file


def quantized_convolutions(model: Any) -> int:
    """Return how many convolutions read INT8 kernels."""
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return sum(node.op_type == "Conv" and node.input[1] in dequantized for node in model.graph.node)
