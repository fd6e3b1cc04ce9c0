"""The casts to FP16 and INT8 keep the rules and the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from engines.errors import PrecisionError
from engines.onnx_model import lowered, opset, read_onnx
from engines.precision import Layer, half_scale, quantizable_layers, quantize, to_half
from engines.quality import Network, compare
from tests.support.networks import foreign, save_residual
from tests.support.onnx_styles import drawn_image, save_generator, save_negative
from train.graph import write_onnx
from train.nets import make_generator


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return read_onnx(save_residual(tmp_path / "model.onnx"))


def ranges_of(layers: list[Layer]) -> dict[str, float]:
    return {layer.tensor_in: 4.0 for layer in layers}


def nodes(model: Any, kind: str) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == kind]


def constants(model: Any) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def makers(model: Any) -> dict[str, Any]:
    return {tensor: node for node in model.graph.node for tensor in node.output}


def test_inner_convolutions_are_quantizable_and_those_at_the_image_are_not(model: Any) -> None:
    assert [layer.name for layer in quantizable_layers(model)] == ["make_conv0", "make_conv1", "make_conv2"]


def test_grouped_convolutions_and_computed_kernels_stay_in_float(model: Any) -> None:
    by_name = {node.name: node for node in model.graph.node}
    by_name["make_conv0"].attribute.append(onnx.helper.make_attribute("group", 2))
    by_name["make_conv1"].input[1] = "block0"
    assert [layer.name for layer in quantizable_layers(model)] == ["make_conv2"]


def test_every_quantised_convolution_reads_symmetric_int8_with_one_scale_per_output_channel(
    model: Any,
) -> None:
    layers = quantizable_layers(model)
    quantized = quantize(model, layers, ranges_of(layers))
    made, values = makers(quantized), constants(quantized)
    for node in nodes(quantized, "Conv"):
        if not node.name.startswith("make_conv"):
            assert node.input[1] in values
            continue
        image, kernel = (made[node.input[position]] for position in (0, 1))
        assert image.op_type == kernel.op_type == "DequantizeLinear"
        assert made[image.input[0]].op_type == "QuantizeLinear"
        assert values[image.input[1]].shape == ()
        assert values[image.input[1]] == pytest.approx(4 / 127, rel=1e-3)
        stored, scale, zero = (values[name] for name in kernel.input)
        assert stored.dtype == zero.dtype == values[image.input[2]].dtype == np.int8
        assert not zero.any()
        assert not values[image.input[2]].any()
        assert scale.shape == (8,)
        assert next(entry.i for entry in kernel.attribute if entry.name == "axis") == 0
        assert np.abs(stored).max(axis=(1, 2, 3)).tolist() == [127] * 8
        assert node.input[2] in values, "a bias stays in float"
    assert not [name for name in values if values[name].dtype == np.int32]


def test_scales_survive_a_cast_to_fp16(model: Any) -> None:
    layers = quantizable_layers(model)
    values = constants(quantize(model, layers, ranges_of(layers)))
    scales = [array for name, array in values.items() if name.endswith("_scale")]
    assert len(scales) == 6
    assert all(np.array_equal(array, array.astype(np.float16).astype(np.float32)) for array in scales)


def test_a_scale_is_never_zero() -> None:
    assert half_scale(np.float32(0)) == np.float32(2.0**-14)


def test_layers_that_read_one_tensor_share_its_quantisation(model: Any) -> None:
    by_name = {node.name: node for node in model.graph.node}
    by_name["make_conv1"].input[0] = by_name["make_conv0"].input[0]
    layers = quantizable_layers(model)
    assert len(nodes(quantize(model, layers, ranges_of(layers)), "QuantizeLinear")) == 2


def test_a_kernel_shared_with_a_layer_left_in_float_stays_there(model: Any) -> None:
    by_name = {node.name: node for node in model.graph.node}
    by_name["make_conv1"].input[1] = "w0"
    layers = quantizable_layers(model)[:1]
    quantized = quantize(model, layers, ranges_of(layers))
    assert "w0" in constants(quantized)
    assert {node.name: node.input[1] for node in nodes(quantized, "Conv")}["make_conv1"] == "w0"


def test_a_network_of_an_old_opset_is_converted_before_it_is_quantised(tmp_path: Path) -> None:
    model = read_onnx(save_generator(tmp_path / "old.onnx"))
    layers = quantizable_layers(model)
    assert opset(model) == 18
    assert opset(quantize(model, layers, ranges_of(layers))) == 19


def test_a_network_of_a_newer_opset_is_converted_to_the_highest_and_gives_the_same_image(
    tmp_path: Path,
) -> None:
    newer = read_onnx(save_residual(tmp_path / "newer.onnx", opset=22))
    older = lowered(newer)
    assert (opset(newer), opset(older)) == (22, 20)
    assert lowered(older) is older
    image = drawn_image(48, 64)
    assert np.array_equal(Network(older).translate(image), Network(newer).translate(image))


def test_a_node_without_an_older_form_is_named(tmp_path: Path) -> None:
    model = onnx.load(foreign(tmp_path / "new.onnx", end="Swish", opset=24))
    with pytest.raises(
        PrecisionError, match="the network is of opset 24 and cannot be converted to 20: .*Swish"
    ):
        lowered(model)


def test_the_model_given_is_not_changed(model: Any) -> None:
    before, layers = model.SerializeToString(), quantizable_layers(model)
    quantize(model, layers, ranges_of(layers))
    to_half(model)
    assert model.SerializeToString() == before


def test_a_quantised_network_gives_nearly_the_same_image_and_half_of_it_the_same_again(
    model: Any,
) -> None:
    image, layers = drawn_image(32, 48), quantizable_layers(model)
    network = Network(model, [layer.tensor_in for layer in layers])
    ranges = {name: float(np.abs(values).max()) for name, values in network.look_inside(image).items()}
    quantized = quantize(model, layers, ranges)
    images = [Network(entry).translate(image) for entry in (model, quantized, to_half(quantized))]
    assert 35 < compare(images[:1], images[1:2]).psnr_db < 60
    assert compare(images[1:2], images[2:]).psnr_db > 50


def test_half_precision_keeps_pixels_and_scaling_and_casts_all_between(model: Any) -> None:
    half = to_half(model)
    types = {entry.name: entry.type.tensor_type.elem_type for entry in inferred(half).value_info}
    for name in ("pixels", "planes", "scaled", "x", "levels", "shifted", "rounded", "clipped", "lines"):
        assert types[name] == TensorProto.FLOAT, name
    for name in ("first", "conv0", "norm2", "block2", "up", "resized", "last", "sum", "tanh"):
        assert types[name] == TensorProto.FLOAT16, name
    assert {entry.name: entry.type.tensor_type.elem_type for entry in half.graph.input} == {"frame": 2}
    assert {entry.name: entry.type.tensor_type.elem_type for entry in half.graph.output} == {"translated": 2}
    values = constants(half)
    assert values["half"].dtype == values["scales"].dtype == np.float32
    assert values["w0_as_half"].dtype == np.float16
    assert "w0" not in values


def test_half_precision_gives_the_same_image_within_a_level(model: Any) -> None:
    image = drawn_image(32, 48)
    found = compare([Network(model).translate(image)], [Network(to_half(model)).translate(image)])
    assert found.psnr_db > 50
    assert found.largest <= 1


@pytest.mark.slow
def test_a_fixed_filter_before_the_network_stays_in_float32_and_out_of_int8(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = {}
    for name in ("hg48", "paint48"):
        net = make_generator(name, "none", width=8, init="icnr")
        write_onnx(net, tmp_path / f"{name}.onnx")
        models[name] = read_onnx(tmp_path / f"{name}.onnx")
    names = [[layer.name for layer in quantizable_layers(model)] for model in models.values()]
    assert len(names[0]) == len(names[1]) > 10
    half = to_half(models["paint48"])
    values, grouped = constants(half), []
    for node in nodes(half, "Conv"):
        if any(entry.name == "group" and entry.i == 16 for entry in node.attribute):
            grouped.append(values[node.input[1]].dtype)
    assert grouped == [np.float32]
    grain = np.random.default_rng(0).normal(0, 3, (64, 96, 3))
    bright = np.clip(np.linspace(215, 250, 96)[None, :, None] + grain, 0, 255).astype(np.uint8)
    found = compare([Network(models["paint48"]).translate(bright)], [Network(half).translate(bright)])
    assert found.psnr_db > 62
    assert found.largest <= 1


def test_a_network_that_is_all_scaling_stays_as_it_is(tmp_path: Path) -> None:
    model = read_onnx(save_negative(tmp_path / "negative.onnx"))
    assert [node.op_type for node in to_half(model).graph.node] == ["Cast", "Sub", "Cast"]


def test_nodes_without_names_and_constant_nodes_are_made_plain(tmp_path: Path) -> None:
    model = onnx.load(save_residual(tmp_path / "model.onnx"))
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w1"], value=kernel))
    model.graph.initializer.remove(kernel)
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, tmp_path / "bare.onnx")
    read = read_onnx(tmp_path / "bare.onnx")
    assert not nodes(read, "Constant")
    assert len({node.name for node in read.graph.node}) == len(read.graph.node)
    assert len(quantizable_layers(read)) == 3


def test_a_file_that_is_not_there_is_said_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(PrecisionError) as caught:
        read_onnx(tmp_path / "none.onnx")
    assert str(caught.value) == f"{tmp_path}/none.onnx cannot be read: no such file or directory"


def test_constants_in_every_spelling_compute_in_half_too(tmp_path: Path) -> None:
    model = onnx.load(save_residual(tmp_path / "model.onnx"))
    plain = read_onnx(tmp_path / "model.onnx")
    place = next(number for number, node in enumerate(model.graph.node) if "conv0" in node.output)
    for node in model.graph.node:
        for position, tensor in enumerate(node.input):
            if tensor == "conv0":
                node.input[position] = "times_b"
    made = [
        onnx.helper.make_node("Constant", [], ["a"], value_float=1.0),
        onnx.helper.make_node("Constant", [], ["b"], value_floats=[1.0]),
        onnx.helper.make_node("Mul", ["conv0", "a"], ["times_a"]),
        onnx.helper.make_node("Mul", ["times_a", "b"], ["times_b"]),
    ]
    for number, node in enumerate(made, place + 1):
        model.graph.node.insert(number, node)
    onnx.save(model, tmp_path / "spelt.onnx")
    half = to_half(read_onnx(tmp_path / "spelt.onnx"))
    assert not nodes(half, "Constant")
    image = drawn_image(32, 48)
    found, wanted = (Network(graph).translate(image) for graph in (half, to_half(plain)))
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x0a" * 40], ids=["empty", "text", "bytes"])
def test_a_file_that_is_no_onnx_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(PrecisionError) as error:
        read_onnx(path)
    assert str(error.value).startswith(f"{path} cannot be read as ONNX: ")
    assert "\n" not in str(error.value)


def inferred(model: Any) -> Any:
    return onnx.shape_inference.infer_shapes(model).graph
