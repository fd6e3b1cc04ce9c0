"""Quantising a style: a model that holds its gate, or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from engines.calibration import activation_ranges, hold_out, read_images
from engines.errors import CalibrationError, PrecisionError
from engines.onnx_model import read_onnx
from engines.precision import quantizable_layers
from engines.quality import EXACT_DB, Network, compare, psnr_db
from engines.quantize import Frames, make_fp16, make_int8
from engines.sensitivity import convolution_macs
from engines.store import write_engine
from engines.verify import verify
from rt.backends import open_backend
from rt.engine_file import EngineKey
from rt.errors import EngineError, SourceError
from rt.frame import Rgb
from rt.styles import Style, find_style
from tests.support.media import Clip, write_clip
from tests.support.networks import save_residual
from tests.support.onnx_styles import drawn_image, make_style


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("clips")
    return tuple(str(write_clip(folder / f"{name}.mp4", Clip(frames=9))) for name in "ab")  # type: ignore[return-value]


def style_of(tmp_path: Path, spiked: int | None = None) -> Style:
    model = save_residual(tmp_path / "residual.onnx", spiked=spiked)
    return find_style(make_style(tmp_path / "styles", model=model))


def test_int8_is_written_beside_fp32_and_onto_the_card_with_what_was_measured(
    tmp_path: Path, clips: tuple[str, str]
) -> None:
    style = style_of(tmp_path)
    found = make_int8(style, Frames(clips[:1], clips[1:], per_clip=4), 99.99, None)
    again = find_style(style.folder)
    assert again.model("int8") == style.folder / "model.int8.onnx"
    assert again.model("fp32").read_bytes() == style.model("fp32").read_bytes()
    assert found.comparison.psnr_db >= 35
    assert again.card.metrics["int8"] == {
        "psnr_db": found.comparison.psnr_db,
        "worst_frame_db": found.comparison.worst_db,
        "largest_difference": found.comparison.largest,
        "frames": 4,
        "int8_convolutions": 3,
        "int8_macs_share": pytest.approx(sum(entry.macs_share for entry in found.layers), abs=1e-3),
        "left_in_float": [],
        "percentile": 99.99,
        "calibration_frames": 4,
        "calibrated_on": ["a.mp4"],
        "held_out": ["b.mp4"],
    }
    assert replace(again.card, models=style.card.models, metrics={}) == style.card
    assert sorted(path.name for path in style.folder.iterdir()) == [
        "card.json", "model.int8.onnx", "model.onnx"
    ]  # fmt: skip


def test_every_backend_gives_the_int8_images_that_were_measured(
    tmp_path: Path, clips: tuple[str, str]
) -> None:
    style = style_of(tmp_path)
    make_int8(style, Frames(clips, per_clip=6), 99.99, None)
    int8 = make_style(tmp_path / "int8", model=style.folder / "model.int8.onnx")
    image = drawn_image(32, 48)
    wanted = Network(read_onnx(style.folder / "model.int8.onnx")).translate(image)
    for backend in ("onnxruntime", "openvino"):
        opened = open_backend(backend, find_style(int8), (32, 48)).backend
        found_db = compare([wanted], [opened.translate(image[None])[0]]).psnr_db
        # OpenVINO's sums saturate on CPUs without VNNI, which random weights show more than learnt ones.
        assert found_db > (40 if torch.cpu._is_vnni_supported() or backend == "onnxruntime" else 34)
        opened.close()


def test_openvino_computes_the_quantised_convolutions_in_int8_and_the_others_in_float(
    tmp_path: Path, clips: tuple[str, str]
) -> None:
    style = style_of(tmp_path)
    make_int8(style, Frames(clips, per_clip=6), 99.99, None)
    network = openvino.Core().read_model(style.folder / "model.int8.onnx")
    network.reshape([1, 32, 48, 3])
    compiled = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    notes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    found = [note["runtimePrecision"].value for note in notes if note["layerType"].value == "Convolution"]
    assert sorted(found) in (["f32"] * 2 + [kind] * 3 for kind in ("i8", "u8"))


def test_the_layer_that_int8_cannot_hold_is_left_in_float(tmp_path: Path, clips: tuple[str, str]) -> None:
    style = style_of(tmp_path, spiked=1)
    found = make_int8(style, Frames(clips, per_clip=6), 100, None)
    alone_db = {entry.layer.name: entry.alone_db for entry in found.layers}
    assert alone_db["make_conv1"] < 35 < min(alone_db["make_conv0"], alone_db["make_conv2"])
    assert [entry.layer.name for entry in found.layers if not entry.int8] == ["make_conv1"]
    assert find_style(style.folder).card.metrics["int8"]["left_in_float"] == ["make_conv1"]
    assert found.comparison.psnr_db >= 35


def test_a_network_is_not_compared_on_what_it_was_calibrated_with(
    tmp_path: Path, clips: tuple[str, str]
) -> None:
    style, folder = style_of(tmp_path), str(Path(clips[0]).parent)
    for used, held in ((clips, clips[1:]), ((folder,), clips[:1]), (clips[:1], (folder,))):
        with pytest.raises(CalibrationError, match="is among --frames and --held-out"):
            make_int8(style, Frames(tuple(used), tuple(held), per_clip=4), 99.99, None)
    assert list(find_style(style.folder).card.models) == ["fp32"]


def test_below_the_gate_nothing_is_written_and_that_is_said(tmp_path: Path, clips: tuple[str, str]) -> None:
    style = style_of(tmp_path)
    card = (style.folder / "card.json").read_bytes()
    for make, precision in (
        (lambda: make_int8(style, Frames(clips, per_clip=6), 99.99, 99.0), "int8"),
        (lambda: make_fp16(style, Frames(clips, per_clip=6), 99.0), "fp16"),
    ):
        with pytest.raises(PrecisionError) as error:
            make()
        assert f"in {precision}, below the gate of 99 dB: no {precision} model is written" in str(error.value)
    assert (style.folder / "card.json").read_bytes() == card
    assert sorted(path.name for path in style.folder.iterdir()) == ["card.json", "model.onnx"]


def test_fp16_is_written_where_it_holds_50_db(tmp_path: Path, clips: tuple[str, str]) -> None:
    style = style_of(tmp_path)
    found = make_fp16(style, Frames(clips, per_clip=3), None)
    assert found.psnr_db >= 50
    card = find_style(style.folder).card
    assert card.metrics["fp16"]["psnr_db"] == found.psnr_db
    assert card.models["fp16"].size_bytes < card.models["fp32"].size_bytes


def test_a_style_without_an_inner_convolution_is_refused(tmp_path: Path, clips: tuple[str, str]) -> None:
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "m.onnx", blocks=0)))
    with pytest.raises(PrecisionError, match="style drawn has no convolution that can be quantised"):
        make_int8(style, Frames(clips, per_clip=6), 99.99, None)


def test_verify_compares_the_model_of_the_card_and_the_network_of_the_engines(
    tmp_path: Path, clips: tuple[str, str]
) -> None:
    style = style_of(tmp_path)
    with pytest.raises(EngineError, match="style drawn has no int8 model for an engine; it has: fp32; "):
        list(verify(style, "int8", clips, 3, None))
    made = make_int8(style, Frames(clips[:1], clips[1:], per_clip=4), 99.99, None)
    card, typed = verify(find_style(style.folder), "int8", clips[1:], 4, None)
    assert (card.what, card.comparison, card.gate_db) == ("drawn int8 on ONNX Runtime", made.comparison, 35)
    assert typed.what == "drawn int8 as engines compute it, on ONNX Runtime"
    assert typed.comparison is not None
    assert typed.comparison != made.comparison
    assert typed.holds
    (cast,) = verify(style, "fp16", clips, 3, None)
    assert cast.comparison is not None
    assert cast.comparison.psnr_db >= cast.gate_db == 50
    (same,) = verify(style, "fp32", clips, 3, 60.0)
    assert same.comparison is not None
    assert same.comparison.psnr_db == EXACT_DB
    (below,) = verify(style, "fp16", clips, 3, 99.0)
    assert not below.holds
    assert str(below).endswith(": below the gate of 99 dB")


def test_verify_says_which_engines_this_machine_cannot_run_and_fails_on_damaged_ones(
    tmp_path: Path, clips: tuple[str, str]
) -> None:
    style = style_of(tmp_path)
    key = EngineKey(
        style="drawn",
        onnx_sha256=style.card.models["fp32"].sha256,
        precision="fp16",
        height=32,
        width=48,
        runtime="tensorrt",
        runtime_version="10.3.0",
        compute_capability="sm87",
        device="Orin",
    )
    path = write_engine(key, b"plan", "model.onnx", 1.0, {})
    write_engine(replace(key, precision="fp32"), b"plan", "model.onnx", 1.0, {})
    write_engine(replace(key, onnx_sha256="0" * 64), b"plan", "model.onnx", 1.0, {})
    _, engine = verify(style, "fp16", clips, 3, None)
    assert str(engine).startswith(f"{path.name}: not run: the GPU cannot be used: ")
    assert engine.holds
    path.write_bytes(b"pla")
    _, engine = verify(style, "fp16", clips, 3, None)
    assert "is damaged: 3 bytes found, its facts say 4" in str(engine)
    assert not engine.holds


def test_the_share_of_a_convolution_counts_where_its_kernel_is_applied(tmp_path: Path) -> None:
    macs = convolution_macs(read_onnx(save_residual(tmp_path / "m.onnx")), drawn_image(32, 48))
    assert macs["make_first"] == 8 * 3 * 9 * 16 * 24
    assert macs["make_conv1"] == 8 * 8 * 9 * 16 * 24
    assert macs["make_up"] == 8 * 8 * 4 * 16 * 24
    assert macs["make_last"] == 3 * 8 * 9 * 32 * 48


def test_a_range_is_the_percentile_of_the_image_that_needs_most(tmp_path: Path) -> None:
    model = read_onnx(save_residual(tmp_path / "m.onnx"))
    tensor = quantizable_layers(model)[0].tensor_in
    images = [drawn_image(32, 48, seed) for seed in range(3)]
    network = Network(model, [tensor])
    for percentile in (90.0, 100.0):
        wanted = max(np.percentile(np.abs(network.look_inside(rgb)[tensor]), percentile) for rgb in images)
        found = activation_ranges(model, [tensor], images, percentile)
        assert found == {tensor: pytest.approx(wanted)}


def test_frames_are_spread_over_a_clip_and_shrunk_to_the_network_s_size(
    tmp_path: Path, clips: tuple[str, str]
) -> None:
    card = style_of(tmp_path).card
    (all_nine,) = read_images(clips[:1], card, 100)
    (four,) = read_images(clips[:1], card, 4)
    assert len(all_nine) == 9
    assert all(rgb.shape == (32, 44, 3) and rgb.dtype == np.uint8 for rgb in four)
    assert np.array_equal(four[0], all_nine[0])
    assert len({rgb.tobytes() for rgb in four}) == 4


def test_a_folder_stands_for_its_clips_and_what_is_none_is_passed_over(
    tmp_path: Path, clips: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    card = style_of(tmp_path).card
    folder = Path(clips[0]).parent
    (folder / "notes.txt").write_text("no clip")
    with caplog.at_level("WARNING", logger="rt"):
        assert len(read_images([str(folder)], card, 3)) == 2
    assert "passed over: " in caplog.text
    assert "notes.txt" in caplog.text
    with pytest.raises(CalibrationError, match="holds no clip or image that can be read"):
        read_images([str(tmp_path / "styles")], card, 3)
    with pytest.raises(SourceError):
        read_images([str(folder / "notes.txt")], card, 3)


def test_a_live_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CalibrationError, match="^pattern://.* is live: it has no length to spread frames over"
    ):
        read_images(["pattern://?seed=7"], style_of(tmp_path).card, 3)


def images(count: int, first: int) -> list[Rgb]:
    return [np.full((2, 2, 3), first + number, np.uint8) for number in range(count)]


def firsts(found: list[Rgb]) -> list[int]:
    return [int(rgb[0, 0, 0]) for rgb in found]


def test_the_last_third_of_each_clip_is_held_out_and_every_third_single_image() -> None:
    use, held = hold_out([images(6, 0), images(3, 10), *([p] for p in images(3, 20))])
    assert firsts(use) == [0, 1, 2, 3, 10, 11, 20, 21]
    assert firsts(held) == [4, 5, 12, 22]


def test_too_few_frames_to_hold_any_back_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r"^2 frame\(s\) are too few to calibrate"):
        hold_out([images(2, 0)])


def test_comparisons_are_exact_figures() -> None:
    a = np.zeros((2, 4, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 12  # 144 / 24 = 6 levels² on average
    found = compare([a, a], [b, a])
    assert found.psnr_db == round(psnr_db(3), 2) == 43.36
    assert found.worst_db == round(psnr_db(6), 2) == 40.35
    assert (found.largest, found.frames) == (12, 2)
    assert compare([a], [a]).psnr_db == EXACT_DB
    assert str(found) == ("PSNR 43.4 dB on 2 frames (worst frame 40.4 dB, largest difference 12 levels)")
    json.dumps(found.__dict__)
