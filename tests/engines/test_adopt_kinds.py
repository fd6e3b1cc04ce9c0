"""Foreign networks of every kind of file give the right image."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.adopt import Adoption, adopt
from engines.errors import AdoptError
from rt.backends import open_backend
from rt.styles import find_style
from tests.support.onnx_styles import drawn_image

PIXELS = {"0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0), "0..255": (1.0, 0.0)}
"""value = pixel * first + second."""
LAYOUTS = [*product(("nchw", "nhwc"), repeat=2)]
RANGES = [*product(PIXELS, repeat=2)]
KINDS = [
    *((layouts, ranges, "float", 8, True) for layouts in LAYOUTS for ranges in RANGES),
    *(
        (layouts, ("-1..1", "0..1"), "float", ir, recorded)
        for layouts in LAYOUTS
        for ir in (3, 8)
        for recorded in (True, False)
    ),
    *((layouts, ("0..1", given), "float16", 8, True) for layouts in LAYOUTS for given in PIXELS),
    *((layouts, ("0..255", given), "uint8", 8, True) for layouts in LAYOUTS for given in PIXELS),
]
"""Layouts and ranges of input and output, type taken, IR version, whether the output's shape is recorded."""


def write_network(
    path: Path, layouts: tuple[str, str], ranges: tuple[str, str], kind: str, ir: int, recorded: bool
) -> Path:
    """Write the network that darkens an image to 60 % and swaps red and green, between two conventions."""
    taken = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}[kind]
    weights = {
        "swap": 0.6 * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], np.float32)[..., None, None],
        "factor_in": np.float32(1 / PIXELS[ranges[0]][0]),
        "shift_in": np.float32(-PIXELS[ranges[0]][1] / PIXELS[ranges[0]][0]),
        "factor_out": np.float32(PIXELS[ranges[1]][0]),
        "shift_out": np.float32(PIXELS[ranges[1]][1]),
    }
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        *([("Transpose", [], {"perm": [0, 3, 1, 2]})] if layouts[0] == "nhwc" else []),
        ("Mul", ["factor_in"], {}),
        ("Add", ["shift_in"], {}),
        ("Conv", ["swap"], {}),
        ("Mul", ["factor_out"], {}),
        ("Add", ["shift_out"], {}),
        *([("Transpose", [], {"perm": [0, 2, 3, 1]})] if layouts[1] == "nhwc" else []),
    ]
    names = ["image", *(f"between_{number}" for number in range(len(steps) - 1)), "result"]
    nodes = [
        helper.make_node(name, [names[number], *more], [names[number + 1]], **attributes)
        for number, (name, more, attributes) in enumerate(steps)
    ]
    shapes = {"nchw": [1, 3, "h", "w"], "nhwc": [1, "h", "w", 3]}
    ports = [helper.make_tensor_value_info("image", taken, shapes[layouts[0]])]
    if ir < 4:
        ports += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, numpy_helper.from_array(value).dims)
            for name, value in weights.items()
        ]
    given = helper.make_tensor_value_info(
        "result", TensorProto.FLOAT, shapes[layouts[1]] if recorded else None
    )
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "foreign", ports, [given], tensors)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 9 if ir < 4 else 13)], ir_version=ir
    )
    onnx.save(model, path)
    return path


def by_hand(file: Path, rgb: Any, layouts: tuple[str, str], ranges: tuple[str, str], kind: str) -> Any:
    """Return what a caller who knows both conventions gets, as pixels."""
    factor, shift = PIXELS[ranges[0]]
    image = rgb[None] if kind == "uint8" else rgb[None] * np.float32(factor) + np.float32(shift)
    image = image.astype({"float": np.float32}.get(kind, kind))
    image = image.transpose(0, 3, 1, 2) if layouts[0] == "nchw" else image
    found = ort.InferenceSession(str(file)).run(None, {"image": image})[0]
    found = found.transpose(0, 2, 3, 1) if layouts[1] == "nchw" else found
    factor, shift = PIXELS[ranges[1]]
    return np.clip(np.rint((found[0] - shift) / factor), 0, 255)


@pytest.mark.parametrize(("layouts", "ranges", "kind", "ir", "recorded"), KINDS, ids=str)
def test_a_network_of_any_kind_shows_what_it_shows_by_hand(
    tmp_path: Path, layouts: tuple[Any, Any], ranges: tuple[Any, Any], kind: str, ir: int, recorded: bool
) -> None:
    file = write_network(tmp_path / "net.onnx", layouts, ranges, kind, ir, recorded)
    adoption = Adoption(
        file,
        range=ranges[0],
        range_out=ranges[1],
        layout_out=None if recorded else layouts[1],
        name="net",
        out=tmp_path / "net",
    )
    style = find_style(adopt(adoption, lambda text: None))
    rgb = drawn_image(34, 46)
    opened = open_backend("onnxruntime", style, (34, 46)).backend
    found = opened.translate(rgb[None])[0]
    opened.close()
    assert np.abs(found - by_hand(file, rgb, layouts, ranges, kind)).max() <= 1
    card = style.card.network
    assert (card["layout"], card.get("layout_out", card["layout"])) == layouts
    assert (card["range"], card.get("range_out", card["range"])) == ranges


def test_bytes_have_one_range(tmp_path: Path) -> None:
    file = write_network(tmp_path / "net.onnx", ("nhwc", "nhwc"), ("0..255", "0..255"), "uint8", 8, True)
    with pytest.raises(AdoptError) as error:
        adopt(Adoption(file, range="-1..1", out=tmp_path / "net"), print)
    assert str(error.value) == f"{file} takes uint8: its range is 0..255, not -1..1"


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_refused(tmp_path: Path, wrong: float) -> None:
    file = write_network(tmp_path / "net.onnx", ("nchw", "nchw"), ("0..1", "0..1"), "float", 8, True)
    model = onnx.load(file)
    (swap,) = [tensor for tensor in model.graph.initializer if tensor.name == "swap"]
    values = numpy_helper.to_array(swap).copy()
    values[0, 0] = values[1, 2] = wrong
    swap.CopyFrom(numpy_helper.from_array(values, "swap"))
    onnx.save(model, file)
    with pytest.raises(AdoptError) as error:
        adopt(Adoption(file, range="0..1", out=tmp_path / "net"), print)
    assert str(error.value) == (
        f"{file} is damaged: 2 of the 9 values of its weight swap are NaN or infinite"
    )
    assert not (tmp_path / "net").exists()


def test_an_input_range_that_cannot_be_seen_is_said_to_be_the_outputs(tmp_path: Path) -> None:
    file = write_network(tmp_path / "net.onnx", ("nchw", "nchw"), ("-1..1", "0..255"), "float", 8, True)
    model = onnx.load(file)
    model.graph.node[-1].output[0] = "open"
    model.graph.node.append(helper.make_node("Clip", ["open", "low", "high"], ["result"]))
    for name, value in (("low", 0), ("high", 255)):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    onnx.save(model, file)
    said: list[str] = []
    adopt(Adoption(file, name="net", out=tmp_path / "net"), said.append)
    assert said[1] == (
        "range: 0..255 (guessed: the network ends in Clip to 0..255; "
        "where the input's differs: --range and --range-out)"
    )
