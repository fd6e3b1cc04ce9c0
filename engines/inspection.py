"""What is inside networks and engines, as lines to read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from engines.onnx_model import opset, read_onnx
from engines.store import plans_of
from rt.engine_file import find_plans, read_stored
from rt.errors import EngineError
from rt.styles import find_style

HEADINGS = ("style", "precision", "size", "runtime", "for", "MB", "built", "state")
_TEXT = re.compile(rb"[\x09\x20-\x7e]{8,}")
_TENSOR = re.compile(r'^tensor=\{.* name="(?P<name>[^"]+)".* type=(?P<type>\w+)')
_CONVOLUTION = re.compile(r"^(?:corrltn|deconvolution)=\{.*?\binput=\{(?P<inputs>[^}]*)\}")
_NAMES = {"half": "fp16", "float": "fp32"}


def engine_rows() -> Iterator[tuple[str, ...]]:
    """Yield the headings, then a row for every engine; nothing where there is none.

    Raises:
        EngineError: the folder of engines cannot be read.
    """
    for number, path in enumerate(find_plans()):
        if number == 0:
            yield HEADINGS
        yield _row(path)


def describe(name: str) -> Iterator[str]:
    """Yield what is known of a style's networks and engines, of an .onnx file or of an .engine file.

    Raises:
        EngineError, PrecisionError, StyleError: it is not there or cannot be read.
    """
    path = Path(name)
    if path.suffix == ".onnx":
        yield from _network_lines(path)
        return
    if path.suffix == ".engine":
        yield from _engine_lines(path)
        return
    style = find_style(name)
    for precision in style.card.models:
        yield from _network_lines(style.model(precision))
    for plan in plans_of(style.name):
        yield from _engine_lines(plan)


def engines_of(name: str) -> list[Path]:
    """Return the engines of a style, by its name or folder; none for an .onnx file."""
    return [] if Path(name).suffix == ".onnx" else plans_of(find_style(name).name)


def _row(path: Path) -> tuple[str, ...]:
    try:
        facts = read_stored(path).facts
    except EngineError as error:
        return (path.name, *("-" for _ in HEADINGS[2:]), str(error))
    key = facts.key
    return (
        key.style,
        key.precision,
        key.size_text,
        f"{key.runtime} {key.runtime_version}",
        f"{key.compute_capability} ({key.device})",
        f"{facts.plan_bytes / 1e6:.1f}",
        facts.built,
        "ok",
    )


def _engine_lines(path: Path) -> Iterator[str]:
    facts = read_stored(path).facts
    key = facts.key
    yield f"{path}"
    yield f"  {key}"
    yield f"  made of {facts.source}, SHA-256 {key.onnx_sha256}; flags: {', '.join(key.flags)}"
    yield f"  {facts.plan_bytes} bytes, SHA-256 {facts.plan_sha256}; built {facts.built} in {facts.build_s} s"
    if facts.precisions:
        found = ", ".join(f"{count} in {precision}" for precision, count in facts.precisions.items())
        yield f"  convolutions, as the plan reads: {found}"


def _network_lines(path: Path) -> Iterator[str]:
    model = read_onnx(path)
    yield f"{path}"
    for kind, ports in (("input", model.graph.input), ("output", model.graph.output)):
        for port in ports:
            yield f"  {kind} {port.name}: {_port(port)}"
    counts = Counter(node.op_type for node in model.graph.node)
    yield f"  opset {opset(model)}, {sum(counts.values())} nodes: " + ", ".join(
        f"{count} {kind}" for kind, count in counts.most_common()
    )
    stored: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        stored[_type_name(tensor.data_type)] += len(onnx.numpy_helper.to_array(tensor).ravel())
    yield "  weights: " + ", ".join(f"{count} {kind}" for kind, count in stored.most_common())
    yield f"  convolutions: {counts['Conv']}, of them quantised: {quantized_convolutions(model)}"


def _port(port: Any) -> str:
    tensor = port.type.tensor_type
    lengths = [entry.dim_param or str(entry.dim_value or "?") for entry in tensor.shape.dim]
    return f"{_type_name(tensor.elem_type)}[{', '.join(lengths)}]"


def _type_name(number: int) -> str:
    name: str = TensorProto.DataType.Name(number).lower()
    return {"float": "float32"}.get(name, name)


def plan_lines(plan: bytes) -> list[str]:
    """Return the text that a plan of TensorRT for RTX holds, line by line; of an undocumented format."""
    return [match.decode("ascii").strip() for match in _TEXT.findall(plan)]


def convolution_precisions(plan: bytes) -> dict[str, int]:
    """Return how many convolutions have kernels of which type: `{"fp16": 3, "int8": 17}`.

    A plan of TensorRT for RTX holds its kernels as text, in an undocumented format: what is found is shown,
    never relied upon. Empty where the plan is of another kind: of TensorRT, or of a later version.
    """
    lines = plan_lines(plan)
    types = {match["name"]: match["type"] for line in lines if (match := _TENSOR.search(line))}
    counted: Counter[str] = Counter()
    for line in lines:
        if match := _CONVOLUTION.search(line):
            # The first input is the image, the second the kernel.
            names = re.findall(r'"([^"]+)"', match["inputs"])
            kind = types.get(names[1]) if len(names) > 1 else None
            if kind is not None:
                counted[_NAMES.get(kind, kind)] += 1
    return dict(sorted(counted.items()))


def quantized_convolutions(model: Any) -> int:
    """Return how many convolutions read INT8 kernels."""
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return sum(node.op_type == "Conv" and node.input[1] in dequantized for node in model.graph.node)
