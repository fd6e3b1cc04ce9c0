"""Foreign networks become styles that show the same image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.adopt import Adoption, Sizes, adopt
from engines.errors import AdoptError
from engines.io_nodes import Channels, Layout, Range
from engines.onnx_model import opset, read_onnx
from engines.precision import to_half
from rt.backends import open_backend
from rt.card import HIGHEST_OPSET
from rt.errors import StyleError
from rt.fit import style_size
from rt.styles import find_style
from tests.support.networks import foreign
from tests.support.onnx_styles import drawn_image

SCALES = {"0..1": (255.0, 0.0), "-1..1": (127.5, 1.0), "0..255": (1.0, 0.0)}


def by_hand(file: Path, rgb: npt.NDArray[np.uint8], layout: Layout, range_: Range, channels: Channels) -> Any:
    """Return what a caller who knows the convention gets from the foreign network, as pixels."""
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    dtype = {"tensor(float)": np.float32, "tensor(float16)": np.float16}[session.get_inputs()[0].type]
    divisor, shift = SCALES[range_]
    image = (rgb[..., ::-1] if channels == "bgr" else rgb).astype(np.float32) / divisor - shift
    if layout == "nchw":
        image = image.transpose(2, 0, 1)
    found = session.run(None, {"image": image[None].astype(dtype)})[0][0].astype(np.float32)
    if layout == "nchw":
        found = found.transpose(1, 2, 0)
    pixels = np.clip(np.round((found + shift) * divisor), 0, 255).astype(np.uint8)
    return pixels[..., ::-1] if channels == "bgr" else pixels


def taken(tmp_path: Path, file: Path, **told: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    folder = adopt(Adoption(file, out=tmp_path / "styles" / "blur", name="blur", **told), said.append)
    return find_style(folder), said


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("layout", "range_", "end"),
    [
        ("nchw", "-1..1", "Tanh"),
        ("nchw", "0..1", "Sigmoid"),
        ("nhwc", "0..255", None),
        ("nhwc", "-1..1", "Tanh"),
    ],
)
def test_the_style_shows_what_the_network_shows_to_those_who_know_it(
    tmp_path: Path, layout: Layout, range_: Range, end: str | None, channels: Channels
) -> None:
    file = foreign(tmp_path / "blur.onnx", layout, end)
    style, _ = taken(tmp_path, file, layout=layout, range=range_, channels=channels)
    rgb = drawn_image(32, 48)
    wanted = by_hand(file, rgb, layout, range_, channels)
    assert np.ptp(wanted) > 40
    for backend in ("onnxruntime", "openvino"):
        opened = open_backend(backend, style, (32, 48)).backend
        assert np.abs(opened.translate(rgb[None])[0].astype(int) - wanted).max() <= 1
        opened.close()


def test_a_network_of_fp16_is_fed_fp16(tmp_path: Path) -> None:
    file = foreign(tmp_path / "half.onnx", dtype=TensorProto.FLOAT16)
    style, _ = taken(tmp_path, file)
    rgb = drawn_image(32, 48)
    opened = open_backend("onnxruntime", style, (32, 48)).backend
    wanted = by_hand(file, rgb, "nchw", "-1..1", "rgb")
    assert np.abs(opened.translate(rgb[None])[0].astype(int) - wanted).max() <= 1


def test_what_is_guessed_is_said(tmp_path: Path) -> None:
    style, said = taken(tmp_path, foreign(tmp_path / "blur.onnx", "nhwc", "Sigmoid"))
    assert said == [
        "layout: nhwc (guessed: the input is [?, ?, ?, 3])",
        "range: 0..1 (guessed: the network ends in Sigmoid)",
        "channels: rgb (assumed: nothing in a network tells; if colours are swapped, --channels bgr)",
        "sizes: multiples of 1 from 16 px on, as trying showed",
    ]
    assert style.card.title == "Adopted from blur.onnx"
    assert style.card.recipe == "adopted"
    assert style.card.network["parameters"] > 81
    assert [style.card.network[key] for key in ("layout", "range", "channels")] == ["nhwc", "0..1", "rgb"]
    assert style.card.fixed_size is None
    assert sorted(path.name for path in style.folder.iterdir()) == ["card.json", "model.onnx"]


def test_a_clip_at_the_end_shows_its_range(tmp_path: Path) -> None:
    model = onnx.load(foreign(tmp_path / "blur.onnx", end=None))
    model.graph.node[-1].output[0] = "open"
    model.graph.node.append(helper.make_node("Clip", ["open", "low", "high"], ["result"]))
    for name, value in (("low", 0), ("high", 255)):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    onnx.save(model, tmp_path / "clipped.onnx")
    _, said = taken(tmp_path, tmp_path / "clipped.onnx")
    guessed = "range: 0..255 (guessed: the network ends in Clip to 0..255; "
    assert f"{guessed}where the input's differs: --range and --range-out)" in said


def test_a_range_told_against_what_shows_is_taken_and_the_contradiction_said(tmp_path: Path) -> None:
    _, said = taken(tmp_path, foreign(tmp_path / "blur.onnx"), range="0..1", layout="nchw", channels="rgb")
    assert said[0] == "range: 0..1 as asked for, although the network ends in Tanh, which speaks for -1..1"


@pytest.mark.parametrize("halvings", [1, 3, 5])
def test_the_multiple_is_found_by_trying(tmp_path: Path, halvings: int) -> None:
    style, _ = taken(tmp_path, foreign(tmp_path / "blur.onnx", halvings=halvings))
    assert style.card.multiple == 2**halvings
    assert style.card.minimum_px == max(16, 2**halvings)
    height, width = style_size(style.card, 720, 1280)
    assert (height, width % 2**halvings) == (256, 0)


def test_operators_newer_than_every_runtime_has_are_made_older(tmp_path: Path) -> None:
    style, said = taken(tmp_path, foreign(tmp_path / "blur.onnx", opset=22))
    assert opset(onnx.load(style.model())) == HIGHEST_OPSET
    assert not [line for line in said if line.startswith("opset")]


def test_operators_that_have_no_older_form_stay_and_that_is_said(tmp_path: Path) -> None:
    style, said = taken(tmp_path, foreign(tmp_path / "new.onnx", end="Swish", opset=24), range="-1..1")
    assert opset(onnx.load(style.model())) == 24
    (line,) = [line for line in said if line.startswith("opset")]
    assert line.startswith("opset: 24 stays, which TensorRT 10.3 may refuse: the network is of opset 24 and ")


def test_a_fixed_size_is_kept_and_every_image_is_seen_at_it(tmp_path: Path) -> None:
    style, said = taken(tmp_path, foreign(tmp_path / "blur.onnx", shape=(1, 3, 64, 96)))
    assert said[-1] == "sizes: 64x96 (height x width) alone, as the file says"
    assert find_style(style.folder).card.fixed_size == (64, 96)
    assert style_size(style.card, 1080, 1920) == style_size(style.card, 1920, 1080) == (64, 96)
    with pytest.raises(StyleError) as error:
        style_size(style.card, 1080, 1920, 128)
    assert str(error.value) == (
        "style blur cannot work at --size 128: its network takes 64x96 alone; leave --size away"
    )
    opened = open_backend("onnxruntime", style, (64, 96)).backend
    assert opened.translate(drawn_image(64, 96)[None]).shape == (1, 64, 96, 3)


@pytest.mark.parametrize(
    ("written", "told", "said"),
    [
        (
            {"more_in": ("style_image", "strength")},
            {},
            "has 3 inputs (image, style_image, strength), a style",
        ),
        ({"more_out": ("mask",)}, {}, "has 2 outputs (result, mask), a style has one: one image"),
        (
            {"end": "Relu"},
            {},
            "cannot be guessed: the network ends in Relu; type --range 0..1, --range -1..1 or",
        ),
        (
            {"shape": ("N", "C", "H", "W")},
            {},
            "cannot be guessed: its input image is [?, ?, ?, ?]; type --layout",
        ),
        ({"shape": (1, 3, 64, "W")}, {}, "takes images of 64x?: both sides must be fixed, or none"),
        (
            {"shape": ("N", 4, "H", "W")},
            {"layout": "nchw"},
            "input image has 4 channels in layout nchw, 3 needed",
        ),
        (
            {"shape": (1, 3, 64, 96)},
            {"layout": "nhwc"},
            "input image has 96 channels in layout nhwc, 3 needed",
        ),
        ({"dtype": TensorProto.DOUBLE}, {}, "takes double, only float32, float16 and uint8 can be adopted"),
    ],
    ids=["inputs", "outputs", "range", "layout", "half fixed", "four channels", "wrong layout", "double"],
)
def test_what_cannot_be_adopted_is_refused_with_the_reason(
    tmp_path: Path, written: dict[str, Any], told: dict[str, Any], said: str
) -> None:
    file = foreign(tmp_path / "blur.onnx", **written)
    with pytest.raises(AdoptError) as error:
        taken(tmp_path, file, **told)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "styles").exists() or not list((tmp_path / "styles").iterdir())


def test_a_network_that_enlarges_is_refused(tmp_path: Path) -> None:
    model = onnx.load(foreign(tmp_path / "blur.onnx"))
    model.graph.node[-1].output[0] = "small"
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    model.graph.node.append(helper.make_node("Resize", ["small", "", "scales"], ["result"], mode="nearest"))
    onnx.save(model, tmp_path / "larger.onnx")
    with pytest.raises(AdoptError, match=r"the network gives uint8\[1, \d+, \d+, 3\] for uint8"):
        taken(tmp_path, tmp_path / "larger.onnx", range="0..1")


def test_names_come_from_the_file_and_nothing_is_overwritten(tmp_path: Path, own_styles: Path) -> None:
    file = foreign(tmp_path / "My Blur (v2).onnx")
    folder = adopt(Adoption(file), lambda text: None)
    assert folder == own_styles / "my-blur-v2"
    assert find_style("my-blur-v2").card.network["file"] == "My Blur (v2).onnx"
    with pytest.raises(AdoptError, match="exists: give another --name or --out$"):
        adopt(Adoption(file), lambda text: None)
    with pytest.raises(AdoptError, match="'Blur!' is no style name"):
        adopt(Adoption(file, name="Blur!"), lambda text: None)


def test_a_bundled_style_is_not_hidden_by_its_name(tmp_path: Path, own_styles: Path) -> None:
    file = foreign(tmp_path / "made.onnx")
    with pytest.raises(AdoptError, match="^--name winter is a bundled style, which this one"):
        adopt(Adoption(file, name="winter"), print)
    assert not (own_styles / "winter").exists()


def test_an_adopted_style_is_cast_to_fp16_with_its_pixels_left_alone(tmp_path: Path) -> None:
    style, _ = taken(tmp_path, foreign(tmp_path / "blur.onnx"), channels="bgr")
    half = to_half(read_onnx(style.model("fp32")))
    kinds = [node.op_type for node in half.graph.node]
    assert kinds == [
        *("Cast", "Gather", "Transpose", "Sub", "Div", "Cast", "Conv", "Tanh", "Cast"),
        *("Mul", "Add", "Round", "Clip", "Transpose", "Gather", "Cast"),
    ]


def test_sizes_in_words() -> None:
    assert str(Sizes(8, 16)) == "multiples of 8 from 16 px on, as trying showed"
