"""The bundled styles are whole, honest and do what they say."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pytest
import torch

from engines.onnx_model import opset
from engines.quality import compare
from rt.backends import open_backend
from rt.backends.onnxruntime import OnnxRuntimeBackend
from rt.backends.openvino import OpenVinoBackend
from rt.card import HIGHEST_OPSET
from rt.demo import CLIP, SCENE_FRAMES
from rt.fit import network_size, shrink
from rt.frame import Frame, Rgb
from rt.sources import open_source
from rt.styles import GALLERY, Style, find_style
from rt.translator import Translator
from rt.view import look_at
from tools.bench.result import ROOT
from tools.gallery.table import BEGIN, END, README, make_table
from train.data.folders import PHOTOS
from train.data.images import load_image

NAMES = sorted(folder.name for folder in GALLERY.iterdir() if folder.is_dir())
SHIPPED = [(name, precision) for name in NAMES for precision in find_style(name).card.models]
STYLE_LIMIT_BYTES = 7_000_000
GALLERY_LIMIT_BYTES = 40_000_000
CLIP_LIMIT_BYTES = 1_000_000
LEAST_CHANGE_LEVELS = 2.0
"""A style that changes what it sees by less, on average over the demo's first frame, does nothing."""
MOST_LEVELS = {"fp32": 1, "int8": 3}
MOST_LEVELS_OF_STROKES = 12
"""INT8 strokes make large steps of small ones: single pixels beside a stroke differ by 10."""
LEAST_DB = {"fp32": 58.0, "int8": 44.0}
"""How near the images of two backends must be. INT8 sums are rounded elsewhere, and OpenVINO's saturate
on CPUs without VNNI, where decibels alone count; the files themselves are held to 45 dB against FP32."""


def test_winter_ships_with_the_program() -> None:
    assert "winter" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_style_is_whole_small_and_says_where_it_comes_from(name: str) -> None:
    style = find_style(name)
    card = style.card
    for precision in card.models:
        style.model(precision)
    assert "fp32" in card.models
    assert "int8" in card.models or any(fault.startswith("No INT8 model: ") for fault in card.faults)
    assert size_bytes(style.folder) <= STYLE_LIMIT_BYTES
    assert card.faults
    assert all(len(fault) > 30 for fault in card.faults)
    assert {"name", "origin", "terms", "previews", "images"} <= card.data.keys()
    assert {"steps", "minutes", "machine", "commit", "command", "made_with"} <= card.training.keys()
    assert card.training["made_with"] == f"tools/gallery/{name}/make.sh"
    assert (ROOT / card.training["made_with"]).is_file()
    assert {"generator", "parameters"} <= card.network.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_style_was_measured_between_floor_and_ceiling(name: str) -> None:
    card = find_style(name).card
    metrics, domains = card.metrics, ("swd", "lab", "rkid", "classified_as_target")
    # A student of a filter has no teacher but the filter's images, as pix2pix has pairs.
    student = card.recipe == "distill" and "teacher" in card.training
    recipe = card.training["teacher"]["recipe"] if student else card.recipe
    # What learnt from pairs may be measured against a domain instead; what learnt from domains has no pairs.
    paired = recipe in ("pix2pix", "distill") and not metrics.keys() & set(domains)
    painted = recipe in ("paint", "projected")
    measured = ("psnr", "ssim") if paired else ("kid", "gram", "warping") if painted else domains
    for metric in measured:
        assert metrics[metric].keys() == {"translated", "floor", "ceiling"}
        if student:
            assert metrics["teacher_itself"][metric].keys() == {"translated", "floor", "ceiling"}
    if student:
        assert {"psnr", "ssim"} <= metrics["teacher"].keys()
        assert metrics["teacher_itself"]["warping"]["translated"] > 0
        assert {"steps", "minutes", "machine", "commit", "command"} <= card.training["teacher"].keys()
    if "int8" in card.models:
        assert metrics["int8"]["psnr_db"] >= 35
    assert metrics["onnx_largest_difference"] <= 1


def test_the_readme_has_the_table_of_the_cards() -> None:
    shown = README.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert shown == make_table(), "type: python -m tools.gallery.table --write"


def test_the_gallery_is_small() -> None:
    assert size_bytes(GALLERY) <= GALLERY_LIMIT_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_previews_of_a_bundled_style_open(name: str) -> None:
    folder = find_style(name).folder / "previews"
    for image in ("grid.jpg", "pair.jpg"):
        rgb = load_image(folder / image)
        assert rgb is not None
        assert rgb.shape[1] > rgb.shape[0]
        assert rgb.std() > 10
    assert (folder / "clip.mp4").stat().st_size <= CLIP_LIMIT_BYTES
    with av.open(str(folder / "clip.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 30


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), SHIPPED)
def test_a_bundled_style_changes_images_at_256_px_and_at_its_own_size(name: str, precision: str) -> None:
    style, frame = find_style(name), demo_frame()
    sizes = {size_of(style, frame), style.card.fixed_size or (256, 256)}
    for size in sizes:
        small = shrink(frame, size)
        backend = open_backend("onnxruntime", style, size, precision).backend
        found = backend.translate(small[None])[0]
        backend.close()
        assert found.shape == small.shape
        seen = look_at(small, style.card.view)
        assert np.abs(found.astype(np.int16) - seen).mean() >= LEAST_CHANGE_LEVELS


@pytest.mark.parametrize(("name", "precision"), SHIPPED)
def test_no_network_is_newer_than_the_oldest_tensorrt_parses(name: str, precision: str) -> None:
    model = onnx.load(find_style(name).model(precision))
    assert opset(model) <= HIGHEST_OPSET == 20


@pytest.mark.parametrize(("name", "precision"), SHIPPED)
def test_no_network_tells_where_it_was_exported(name: str, precision: str) -> None:
    content = find_style(name).model(precision).read_bytes()
    assert not [word for word in (b"stack_trace", b'File "', b"/tmp/", b"/home/", b".py") if word in content]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), SHIPPED)
def test_both_backends_give_the_same_image(name: str, precision: str) -> None:
    style = find_style(name)
    frame = demo_frame()
    size = size_of(style, frame)
    small = shrink(frame, size)[None]
    images = [
        open_backend(backend, style, size, precision).backend.translate(small)
        for backend in ("openvino", "onnxruntime")
    ]
    assert compare([images[0][0]], [images[1][0]]).psnr_db > LEAST_DB[precision]
    if precision == "fp32" or torch.cpu._is_vnni_supported():
        paints = style.card.recipe == "paint" and precision == "int8"
        most = MOST_LEVELS_OF_STROKES if paints else MOST_LEVELS[precision]
        assert np.abs(images[0].astype(np.int16) - images[1]).max() <= most


@pytest.mark.parametrize("backend", [OpenVinoBackend, OnnxRuntimeBackend], ids=["openvino", "onnxruntime"])
def test_the_int8_model_of_winter_holds_its_gate_on_both_backends(backend: Any) -> None:
    style, frame = find_style("winter"), demo_frame()
    size = size_of(style, frame)
    small = shrink(frame, size)[None]
    fp32, int8 = (
        backend(style.model(precision), size, precision).translate(small) for precision in ("fp32", "int8")
    )
    assert compare(fp32, int8).psnr_db > 45
    assert style.card.metrics["int8"]["psnr_db"] >= 35


def test_winter_takes_the_warmth_out_of_the_ground_and_keeps_the_scene() -> None:
    before, after = demo_frame(), translated(find_style("winter"))
    ground_before, ground_after = before[220:], after[220:]
    assert warmth(ground_before) > 15
    assert -20 < warmth(ground_after) < 8  # white, or in the cold light of snow
    assert ground_after.mean() > ground_before.mean() + 60
    assert edges_in_common(before, after) > 0.95


def test_winter_leaves_a_face_and_a_room_as_they_are() -> None:
    style = find_style("winter")
    for name in ("face", "room"):
        rgb = load_image(PHOTOS / f"{name}.jpg")
        assert rgb is not None
        size = size_of(style, rgb)
        backend = open_backend("auto", style, size, "fp32").backend
        before = shrink(rgb, size)
        after = backend.translate(before[None])[0]
        backend.close()
        assert np.abs(after.astype(np.int16) - before).mean() < 14


def size_bytes(folder: Path) -> int:
    """Return how many bytes the files below a folder have."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def demo_frame() -> Rgb:
    """Return a frame of the bundled clip, an autumn meadow below mountains: uint8[360, 640, 3] RGB."""
    source = open_source(str(CLIP))
    try:
        return next(itertools.islice(source, SCENE_FRAMES, None)).rgb
    finally:
        source.close()


def translated(style: Style) -> Rgb:
    """Return that frame in a style."""
    rgb = demo_frame()
    size = size_of(style, rgb)
    translator = Translator(open_backend("auto", style, size).backend)
    return translator.translate(Frame(rgb, 0, Fraction(1, 30), 0)).rgb


def size_of(style: Style, rgb: Rgb) -> tuple[int, int]:
    """Return the (height, width) of the network's image by the style's own choice."""
    (height, width), card = rgb.shape[:2], style.card
    return network_size(height, width, card.size_px, card.multiple, card.minimum_px)


def warmth(rgb: Rgb) -> float:
    """Return how much more red than blue an image is on average, in levels."""
    return float(rgb[..., 0].mean() - rgb[..., 2].mean())


def edges_in_common(before: Rgb, after: Rgb) -> float:
    """Return the correlation of the brightness steps of two images, 1 for the same edges."""
    steps = [np.diff(rgb.mean(axis=2), axis=1).ravel() for rgb in (before, after)]
    return float(np.asarray(np.corrcoef(np.stack(steps)))[0, 1])
