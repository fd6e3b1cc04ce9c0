"""Engines built for real by TensorRT for RTX, without a GPU."""

from __future__ import annotations

import json
import signal
from _thread import interrupt_main
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from engines.build import Report, build_plan
from engines.calibration import activation_ranges
from engines.compile import Made, Order, build_engines
from engines.inspection import convolution_precisions, describe, engine_rows
from engines.onnx_model import read_onnx, with_fixed_shape
from engines.precision import quantizable_layers, quantize, to_half
from engines.target import Target
from rt.card import describe_model, read_card, write_card
from rt.engine_file import build_command, facts_path, read_engine
from rt.errors import EngineError, StyleError
from rt.styles import GALLERY, Style, find_style
from tests.support.networks import save_residual
from tests.support.onnx_styles import drawn_image, make_style
from tests.support.rtx import load_rtx
from train.graph import write_onnx
from train.nets import make_generator

CAPABILITIES = ("sm86", "sm89", "sm120")
ALL = ",".join(CAPABILITIES)
SMALL = Order("fp16", (32, 48), target="sm89", runtime="tensorrt-rtx")


@pytest.fixture(scope="module")
def rtx() -> Any:
    return load_rtx()


def silent(what: str) -> AbstractContextManager[Report]:
    return nullcontext(lambda phase, done, total: None)


def build(style: Style, order: Order) -> list[Made]:
    return list(build_engines(style, order, silent))


@pytest.fixture
def style(tmp_path: Path) -> Style:
    """A small style with an FP32 and an INT8 model."""
    folder = make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx"))
    model = read_onnx(folder / "model.onnx")
    onnx.save(quantized(model), folder / "model.int8.onnx")
    card = read_card(folder)
    models = {**card.models, "int8": describe_model(folder / "model.int8.onnx")}
    write_card(replace(card, models=models), folder)
    return find_style(folder)


def quantized(model: Any) -> Any:
    layers = quantizable_layers(model)
    ranges = activation_ranges(model, [layer.tensor_in for layer in layers], [drawn_image(256, 256)], 99.99)
    return quantize(model, layers, ranges)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("name", sorted(folder.name for folder in GALLERY.iterdir() if folder.is_dir()))
def test_every_bundled_style_builds_for_three_generations_of_gpus(
    rtx: Any, name: str, precision: str
) -> None:
    made = build(find_style(name), Order(precision, (160, 288), target=ALL, runtime="tensorrt-rtx"))
    # The two convolutions of the filter before the network stay in float32.
    filtered = find_style(name).card.network["generator"] in ("paint48", "flat48")
    wanted = {"fp16", "fp32"} if filtered else {"fp16"}
    assert [engine.facts.key.compute_capability for engine in made] == list(CAPABILITIES)
    for engine in made:
        assert read_engine(engine.facts.key).plan == engine.path.read_bytes()
        found = engine.facts.precisions
        assert set(found) == (wanted if precision == "fp16" else {*wanted, "int8"})
        assert found.get("fp32", 0) == (2 if filtered else 0)
        if precision == "int8":
            assert found["int8"] == find_style(name).card.metrics["int8"]["int8_convolutions"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "fp16", "int8"),
    [("resnet9", {"fp16": 24}, {"fp16": 4, "int8": 20}), ("unet256", {"fp16": 16}, {"fp16": 9, "int8": 7})],
)
def test_the_papers_networks_build_for_three_generations_of_gpus(
    rtx: Any, tmp_path: Path, network: str, fp16: dict[str, int], int8: dict[str, int]
) -> None:
    torch.manual_seed(0)
    write_onnx(make_generator(network, width=16).eval(), tmp_path / "model.onnx")  # thinner than the papers
    model = read_onnx(tmp_path / "model.onnx")
    for typed, expected in ((to_half(model), fp16), (to_half(quantized(model)), int8)):
        fixed = with_fixed_shape(typed, 1, (256, 256)).SerializeToString()
        for capability in CAPABILITIES:
            target = Target("tensorrt-rtx", rtx.__version__, capability, "any")
            built = build_plan(rtx, fixed, target, b"", lambda phase, done, total: None)
            assert convolution_precisions(built.plan) == expected
            assert len(built.plan) > sum(array.nbytes for array in weights(typed)) * 0.9


def weights(model: Any) -> list[Any]:
    return [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]


def test_an_engine_that_is_there_and_whole_is_not_built_again(rtx: Any, style: Style) -> None:
    (first,) = build(style, SMALL)
    (second,) = build(style, SMALL)
    assert (first.was_there, second.was_there) == (False, True)
    assert second.facts == first.facts
    (third,) = build(style, replace(SMALL, rebuild=True))
    assert not third.was_there


def test_a_damaged_engine_is_built_again_and_that_is_said(
    rtx: Any, style: Style, caplog: pytest.LogCaptureFixture
) -> None:
    (made,) = build(style, SMALL)
    made.path.write_bytes(made.path.read_bytes()[:-1])
    with caplog.at_level("WARNING", logger="rt"):
        (again,) = build(style, SMALL)
    assert "is damaged: " in caplog.text
    assert caplog.text.rstrip().endswith("; it is built again")
    assert not again.was_there
    assert read_engine(again.facts.key).facts == again.facts


def test_whatever_changes_the_engine_makes_another_file(rtx: Any, style: Style) -> None:
    orders = [
        SMALL,
        replace(SMALL, size=(32, 64)),
        replace(SMALL, precision="int8"),
        replace(SMALL, precision="fp32"),
        replace(SMALL, target="sm86"),
    ]
    made = [build(style, order)[0] for order in orders]
    assert len({engine.path for engine in made}) == len(orders)
    (style.folder / "model.onnx").write_bytes((style.folder / "model.int8.onnx").read_bytes())
    models = {**style.card.models, "fp32": describe_model(style.folder / "model.onnx")}
    changed = Style(style.folder, replace(style.card, models=models))
    assert build(changed, SMALL)[0].path not in {engine.path for engine in made}
    rows = list(engine_rows())
    assert len(rows) == 1 + len(orders) + 1
    assert {row[-1] for row in rows[1:]} == {"ok"}


def test_list_and_inspect_say_what_there_is_and_what_is_damaged(rtx: Any, style: Style) -> None:
    (made,) = build(style, replace(SMALL, precision="int8"))
    assert list(engine_rows())[1][:5] == (
        "drawn", "int8", "48x32", f"tensorrt-rtx {rtx.__version__}", "sm89 (any)"
    )  # fmt: skip
    said = "\n".join(describe(str(style.folder)))
    assert "input frame: uint8[N, H, W, 3]" in said
    assert "convolutions: 5, of them quantised: 3" in said
    assert f"made of model.int8.onnx, SHA-256 {style.card.models['int8'].sha256}" in said
    assert "convolutions, as the plan reads: 3 in fp16, 3 in int8" in said
    assert "\n".join(describe(str(made.path))) in said
    plan = made.path.read_bytes()
    made.path.write_bytes(plan[:-1])
    command = build_command(made.facts.key)
    assert list(engine_rows())[1][-1].endswith(f"its facts say {len(plan)}; type: {command}")
    with pytest.raises(EngineError, match=f"; type: {command}$"):
        list(describe(str(made.path)))
    facts_path(made.path).write_text("{}")
    assert "is damaged: no facts of version 2" in list(engine_rows())[1][-1]


def test_a_node_the_parser_refuses_is_named(rtx: Any) -> None:
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 8, 8, 3])
    translated = helper.make_tensor_value_info("translated", TensorProto.UINT8, [1, 8, 8, 3])
    # TensorRT takes uint8 at the borders of a network alone: the Cast must come first.
    nodes = [
        helper.make_node("Transpose", ["frame"], ["planes"], perm=[0, 3, 1, 2], name="turn_the_image"),
        helper.make_node("Cast", ["planes"], ["x"], to=TensorProto.FLOAT, name="to_float"),
        helper.make_node("Transpose", ["x"], ["lines"], perm=[0, 2, 3, 1], name="turn_back"),
        helper.make_node("Cast", ["lines"], ["translated"], to=TensorProto.UINT8, name="to_uint8"),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [frame], [translated]), opset_imports=[helper.make_opsetid("", 21)]
    )
    target = Target("tensorrt-rtx", rtx.__version__, "sm89", "any")
    with pytest.raises(EngineError) as error:
        build_plan(rtx, model.SerializeToString(), target, b"", lambda phase, done, total: None)
    assert str(error.value).startswith(f"TensorRT for RTX {rtx.__version__} cannot build the network: node ")
    assert "turn_the_image (Transpose): " in str(error.value)
    assert "\n" not in str(error.value)


def test_the_progress_of_a_build_is_reported(rtx: Any, style: Style) -> None:
    phases: set[str] = set()
    fixed = with_fixed_shape(to_half(read_onnx(style.model("fp32"))), 1, (32, 48))
    target = Target("tensorrt-rtx", rtx.__version__, "sm86", "any")
    built = build_plan(
        rtx, fixed.SerializeToString(), target, b"", lambda phase, done, total: phases.add(phase)
    )
    assert phases
    assert built.layers > 20
    assert built.timing_cache == b""


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (replace(SMALL, size=(30, 48)), "style drawn takes no images of 48x30: width and height must be"),
        (replace(SMALL, size=(8, 48)), "multiples of 4 and at least 16; type: --network 48x16"),
    ],
)
def test_a_size_the_network_cannot_take_is_refused_before_anything_is_loaded(
    style: Style, order: Order, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.compile.choose_runtime", lambda asked: pytest.fail("loaded a runtime"))
    with pytest.raises(EngineError, match=said):
        build(style, order)


def test_a_precision_the_style_lacks_is_refused_with_the_command(tmp_path: Path) -> None:
    style = find_style(make_style(tmp_path))
    with pytest.raises(EngineError, match="type: videobrush-engines quantize drawn --frames CLIP$"):
        build(style, replace(SMALL, precision="int8"))


def test_a_model_that_differs_from_its_card_is_refused(rtx: Any, style: Style) -> None:
    path = style.folder / "model.int8.onnx"
    path.write_bytes(path.read_bytes() + b"?")
    with pytest.raises(StyleError, match="is damaged: "):
        build(style, replace(SMALL, precision="int8"))


def test_plans_that_are_not_text_tell_nothing() -> None:
    assert convolution_precisions(b"\x00" * 100) == {}
    assert convolution_precisions(b"") == {}
    assert json.dumps(convolution_precisions(bytes(np.arange(256, dtype=np.uint8)))) == "{}"


def test_int8_on_turing_is_refused_before_anything_is_built(rtx: Any, style: Style) -> None:
    order = replace(SMALL, precision="int8", target="sm89,sm75")
    with pytest.raises(EngineError, match=r"does not compute INT8 on Turing \(sm75\); type --precision fp16"):
        build(style, order)
    assert list(engine_rows()) == []
    assert len(build(style, replace(order, precision="fp16"))) == 2


def test_ctrl_c_within_a_real_build_leaves_no_engine_and_begins_no_other(rtx: Any, style: Style) -> None:
    begun: list[str] = []

    def pressed_at_once(what: str) -> AbstractContextManager[Report]:
        begun.append(what)
        return nullcontext(lambda phase, done, total: interrupt_main() if total and not done else None)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(build_engines(style, replace(SMALL, target=ALL), pressed_at_once))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(begun) == 1
    assert list(engine_rows()) == []


def test_engines_of_rtx_are_built_to_be_recorded_and_their_key_says_so(rtx: Any, style: Style) -> None:
    (made,) = build(style, SMALL)
    assert made.facts.key.flags == ("strongly-typed", "user-allocation")
    hidden = MagicMock(wraps=rtx, BuilderFlag=SimpleNamespace())
    hidden.ILogger, hidden.IProgressMonitor = rtx.ILogger, rtx.IProgressMonitor
    hidden.ComputeCapability, hidden.__version__ = rtx.ComputeCapability, rtx.__version__
    hidden.NetworkDefinitionCreationFlag = rtx.NetworkDefinitionCreationFlag
    hidden.ProfilingVerbosity = rtx.ProfilingVerbosity
    fixed = with_fixed_shape(to_half(read_onnx(style.model("fp32"))), 1, (32, 48)).SerializeToString()
    target = Target("tensorrt-rtx", rtx.__version__, "sm89", "any")
    without = build_plan(hidden, fixed, target, b"", lambda phase, done, total: None).plan
    assert len(without) == len(made.path.read_bytes())
    assert without != made.path.read_bytes()
