"""Every kind of generator as a style: its ONNX against PyTorch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from rt.card import HIGHEST_OPSET, Card, read_card, write_card
from rt.styles import find_style
from tests.support.backends import opened
from tests.support.drawings import draw_image, make_domains
from tests.support.reference_weights import Shapes, draw, resnet_shapes, unet_shapes
from tests.support.training import CPU, make_pairs, tiny, train_tiny
from train.checkpoint import BEST
from train.config import CycleGan, Distill, Pix2Pix
from train.data.images import load_image
from train.errors import ExportError, RunError
from train.export import Export, _make_card, _Work, export_style
from train.graph import fold_batch_norm, translate_images
from train.load import best_checkpoint, load_generator
from train.metrics import evaluate
from train.metrics.translation import train_domain_classifier
from train.nets import GENERATORS, make_generator
from train.recipes import make_recipe
from train.reference import Import, import_generator


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)
    monkeypatch.setattr(evaluate, "train_domain_classifier", partial(train_domain_classifier, steps=2))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs", count=3, side=136)


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_domains(tmp_path_factory.mktemp("data") / "domains", size=(40, 52))


@pytest.fixture(scope="module")
def unet(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny(Pix2Pix, pairs, tmp_path_factory.mktemp("runs") / "unet", **UNET)
    train_tiny(config)
    return config.run


UNET: dict[str, Any] = {
    "generator": "unet128",
    "norm": "batch",
    "load_size": 136,
    "crop_size": 128,
    "batch": 2,
    "learning_rate": 5e-3,
    "ema": 0.0,
}


def export_checked(config: Export) -> Card:
    """Export, compare ONNX Runtime and OpenVINO with PyTorch at two sizes, and return the card."""
    style = find_style(export_style(config, lambda text: None))
    model = onnx.load(style.model())
    assert [entry.version for entry in model.opset_import if not entry.domain] == [HIGHEST_OPSET]
    graph = model.graph
    assert {node.op_type for node in graph.node} & {"BatchNormalization", "Dropout", "RandomNormal"} == set()
    card = read_card(style.folder)
    net, _ = load_generator(best_checkpoint(config.run), config.direction or "AtoB")
    least = max(card.minimum_px, 2 * card.multiple)
    for size in ((least, least + card.multiple), (least + card.multiple, least)):
        image = draw_image(*size, seed=9, colour=(120, 90, 60))
        wanted = translate_images(net, [image])[0].astype(np.int16)
        # The network does something, and not the same to every pixel.
        assert (wanted - image).std() > 1.0
        for name in ("openvino", "onnxruntime"):
            backend = opened(name, style, size)
            found = backend.translate(image[None])[0]
            backend.close()
            assert np.abs(found - wanted).max() <= 1
    return card


@pytest.mark.slow
@pytest.mark.parametrize("z", [0, 4])
def test_a_u_net_of_pix2pix_becomes_a_style(unet: Path, pairs: Path, tmp_path: Path, z: int) -> None:
    run = unet
    if z:
        run = tmp_path / "run"
        train_tiny(tiny(Pix2Pix, pairs, run, **UNET, z=z))
    card = export_checked(Export(run, "drawn", out=tmp_path / "drawn", size=128))
    assert (card.multiple, card.minimum_px, card.size_px, card.recipe) == (128, 128, 128, "pix2pix")
    # Seven halvings: two norms in each block but the outermost, which has none, and the innermost, with one.
    assert card.network["batch_norms_folded"] == 11
    assert card.network.get("noise") == ("4 channels, at 0" if z else None)
    assert set(card.metrics["psnr"]) == {"translated", "floor", "ceiling"}
    assert card.metrics["measured_on"] == "held-out images"
    assert card.metrics["onnx_largest_difference"] <= 1


@pytest.mark.slow
def test_a_distilled_student_becomes_a_style(domains: Path, tmp_path: Path) -> None:
    train_tiny(tiny(CycleGan, domains, tmp_path / "teacher", learning_rate=5e-3, steps=2))
    config = tiny(
        Distill, domains, tmp_path / "run", teacher=tmp_path / "teacher", learning_rate=2e-2, steps=8
    )
    train_tiny(config)
    card = export_checked(Export(config.run, "drawn", out=tmp_path / "drawn", size=40))
    assert (card.multiple, card.minimum_px, card.recipe) == (4, 16, "distill")
    # One after the unfolding, two in each of six blocks.
    assert card.network["batch_norms_folded"] == 13
    assert card.network["generator"] == "pu32"
    for name in ("psnr", "ssim"):
        assert set(card.metrics["teacher"][name]) == {"translated", "floor", "ceiling"}
    assert card.metrics["teacher_itself"].keys() == {
        *("warping", "swd", "lab", "rkid", "classified_as_target", "compared")
    }
    itself, own = card.metrics["teacher_itself"], card.metrics
    assert itself["swd"]["floor"] == own["swd"]["floor"]
    assert itself["swd"]["translated"] != own["swd"]["translated"]
    taught = card.training["teacher"]
    assert (taught["recipe"], taught["generator"], taught["steps"]) == ("cyclegan", "hg48", 2)
    assert {"minutes", "machine", "commit", "command"} <= taught.keys()


@pytest.mark.slow
def test_a_card_does_not_describe_a_teacher_that_has_changed_since(domains: Path, tmp_path: Path) -> None:
    teacher = tiny(CycleGan, domains, tmp_path / "teacher", steps=2)
    train_tiny(teacher)
    config = tiny(Distill, domains, tmp_path / "run", teacher=teacher.run, steps=2)
    train_tiny(config)
    train_tiny(replace(teacher, steps=6, resume=True))
    (teacher.run / BEST).unlink(missing_ok=True)
    card = read_card(
        export_style(Export(config.run, "drawn", out=tmp_path / "drawn", size=40), lambda text: None)
    )
    assert card.metrics["measured_on"] == (
        "held-out images, not against the teacher, which was trained on since"
    )
    assert "teacher" not in card.training
    assert "teacher" not in card.metrics


@pytest.mark.slow
def test_a_student_of_pix2pix_learns_from_and_is_measured_on_the_inputs_of_the_pairs(
    unet: Path, pairs: Path, tmp_path: Path
) -> None:
    changes = {"teacher": unet, "load_size": 136, "crop_size": 128, "learning_rate": 2e-2, "steps": 2}
    config = tiny(Distill, pairs, tmp_path / "run", **changes)
    held = make_recipe(config, CPU).feed.held["A"]
    assert len(held) == 3
    image = load_image(pairs / "val" / "000.png")
    assert image is not None
    assert np.array_equal(held[0], image[4:132, 4:132])  # the middle of the left half
    train_tiny(config)
    card = export_checked(Export(config.run, "drawn", out=tmp_path / "drawn", size=128))
    for found in (card.metrics, card.metrics["teacher"], card.metrics["teacher_itself"]):
        assert set(found["psnr"]) == {"translated", "floor", "ceiling"}
    small = export_style(Export(config.run, "small", out=tmp_path / "small", size=64), lambda text: None)
    found = read_card(small).metrics
    assert "teacher" not in found
    assert found["measured_on"] == (
        "held-out images, not against the teacher, which takes none smaller than 128 px"
    )
    with pytest.raises(RunError, match="translates AtoB: give --direction AtoB"):
        make_recipe(tiny(Distill, pairs, tmp_path, **changes, direction="BtoA"), CPU)


@pytest.mark.slow
def test_a_student_of_a_colouriser_is_given_grey_images(tmp_path: Path) -> None:
    photos = make_domains(tmp_path / "data", size=(36, 40)) / "trainB"
    teacher = tiny(Pix2Pix, photos, tmp_path / "teacher", pair="gray", steps=1)
    train_tiny(teacher)
    config = tiny(Distill, photos, tmp_path / "run", teacher=teacher.run)
    held = make_recipe(config, CPU).feed.held["A"]
    assert len(held) == 6
    assert all(np.ptp(image, axis=2).max() == 0 for image in held)
    train_tiny(config)
    exported = Export(config.run, "drawn", out=tmp_path / "drawn", size=36, previews=photos)
    folder = export_style(exported, lambda text: None)
    assert read_card(folder).view == "gray"
    preview = load_image(sorted((folder / "previews").iterdir())[0])
    assert preview is not None
    assert np.ptp(preview[:, : preview.shape[1] // 2 - 8], axis=2).max() <= 2  # what the network looked at
    alone = {"feature_weight": 0.0, "adversarial_weight": 0.0}
    second = tiny(Distill, photos, tmp_path / "second", teacher=config.run, **alone)
    held = make_recipe(second, CPU).feed.held["A"]
    assert all(np.ptp(image, axis=2).max() == 0 for image in held)  # a student's student, too
    train_tiny(second)
    assert (
        read_card(export_style(Export(second.run, "twice", out=tmp_path / "twice", size=36), print)).view
        == "gray"
    )


@pytest.mark.slow
def test_a_style_learnt_from_drawings_looks_at_a_cameras_edges_where_that_is_said(
    unet: Path, tmp_path: Path
) -> None:
    folder = export_style(Export(unet, "drawn", out=tmp_path / "drawn", size=128), lambda text: None)
    assert (read_card(folder).view, read_card(folder).detail) == ("image", "keep")
    net, facts = load_generator(best_checkpoint(unet), "AtoB")
    for view, detail, found in (
        (None, None, ("image", "keep")),
        (None, "network", ("image", "network")),
        ("edges", None, ("edges", "network")),
        ("edges", "keep", ("edges", "keep")),
    ):
        config = Export(unet, "drawn", size=128, view=view, detail=detail)  # type: ignore[arg-type]
        write_card(_make_card(folder, _Work(config, net, facts, {}), {"mean_change_levels": 9.0}, 0), folder)
        card = read_card(folder)
        assert (card.view, card.detail) == found


def test_a_style_has_the_size_of_its_training_and_one_that_does_nothing_says_so(
    domains: Path, tmp_path: Path
) -> None:
    config = tiny(CycleGan, domains, tmp_path / "run", steps=1, learning_rate=0.0)
    train_tiny(config)
    said: list[str] = []
    card = read_card(export_style(Export(config.run, "same", out=tmp_path / "same"), said.append))
    assert card.size_px == 32  # --load-size 36, less what is over a multiple of 8
    assert card.metrics["mean_change_levels"] == 0.0
    told = (
        "It changes an image by 0 of 255 levels on average: it is the identity, trained too briefly or held "
    )
    assert card.faults[-1].startswith(told)
    assert any(text.startswith(f"warning: {told}") for text in said)


@pytest.mark.slow
def test_what_a_network_paints_is_shown_instead_of_the_frame(domains: Path, tmp_path: Path) -> None:
    config = tiny(CycleGan, domains, tmp_path / "run", generator="paint48", norm="none", steps=1)
    train_tiny(config)
    card = export_checked(Export(config.run, "painted", out=tmp_path / "painted", size=40))
    assert (card.network["generator"], card.view, card.detail) == ("paint48", "image", "network")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shapes", "multiple", "folded", "generator"),
    [
        (resnet_shapes(), 4, None, "resnet9"),
        (resnet_shapes(blocks=6, batch=True, dropout=True), 4, 17, "resnet6"),
        (unet_shapes(7), 128, 11, "unet128"),
        (unet_shapes(8), 256, 13, "unet256"),
    ],
    ids=["resnet9", "resnet6-batch", "unet128", "unet256"],
)
def test_an_imported_generator_becomes_a_style(
    domains: Path, tmp_path: Path, shapes: Shapes, multiple: int, folded: int | None, generator: str
) -> None:
    torch.save(draw(shapes), tmp_path / "latest_net_G.pth")
    import_generator(Import(tmp_path / "latest_net_G.pth", out=tmp_path / "run"))
    size = max(40, multiple)
    card = export_checked(
        Export(tmp_path / "run", "theirs", out=tmp_path / "theirs", size=size, data=domains / "testA")
    )
    minimum = 16 if multiple == 4 else multiple
    assert (card.multiple, card.minimum_px, card.recipe) == (multiple, minimum, "import")
    assert card.network["generator"] == generator
    assert card.network.get("batch_norms_folded") == folded
    assert card.training["imported"] == "latest_net_G.pth"
    assert card.metrics["measured_on"] == "images of --data"


@pytest.mark.parametrize("name", GENERATORS)
def test_folded_batch_norms_change_no_image(name: str) -> None:
    torch.manual_seed(0)
    start = {"init": "icnr"} if name in ("hg48", "paint48", "pu48", "pu32") else {}
    net = make_generator(name, "batch", width=4, **start).eval()  # type: ignore[arg-type]
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            for tensor, low, high in (
                (norm.weight, 0.5, 1.5),
                (norm.bias, -0.5, 0.5),
                (norm.running_mean, -0.5, 0.5),
                (norm.running_var, 0.2, 2.0),
            ):
                assert tensor is not None
                tensor.uniform_(low, high)
        image = torch.rand(2, 3, max(32, net.multiple), 2 * max(32, net.multiple)) * 2 - 1
        wanted = net(image)
        folded, count = fold_batch_norm(net)
        found = folded(image)
        assert torch.equal(net(image), wanted)  # the network itself is left as it was
    assert count == len(norms) > 0
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert (wanted - image).std() > 0.01
    assert (found - wanted).abs().max() <= 1e-4


def test_what_cannot_be_exported_is_refused_in_one_line(unet: Path, pairs: Path, tmp_path: Path) -> None:
    config = Export(unet, "drawn", out=tmp_path / "drawn")
    with pytest.raises(ExportError, match="--size 100: unet128 takes no image smaller than 128 px"):
        export_style(replace(config, size=100), lambda text: None)
    with pytest.raises(ExportError, match="--direction: a run of pix2pix has one generator alone"):
        export_style(replace(config, direction="BtoA"), lambda text: None)
    torch.save(draw(resnet_shapes()), tmp_path / "latest_net_G.pth")
    theirs = Import(tmp_path / "latest_net_G.pth", out=tmp_path / "run")
    import_generator(theirs)
    with pytest.raises(RunError, match="already holds a run: give another --out"):
        import_generator(theirs)
    with pytest.raises(Exception, match="an imported generator has no images of its own: give some with"):
        export_style(replace(config, run=tmp_path / "run"), lambda text: None)
    assert not (tmp_path / "drawn").exists()
