"""What holds for every recipe: exact resume, sheets, validation, accumulation, small checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.support.drawings import make_domains
from tests.support.training import CPU, differing, make_classes, make_pairs, tiny, train_tiny
from train.checkpoint import BEST, CHECKPOINT, read_facts
from train.config import Cgan, CycleGan, Dcgan, Distill, Gan, Pix2Pix, Projected, Training
from train.data.feed import Batch, Batches, seeded
from train.data.images import load_image
from train.device import World
from train.errors import RunError
from train.loop import train
from train.metrics.evaluate import gather_eval_set, measure_style
from train.recipes import Recipe, make_recipe
from train.recipes.cyclegan import CycleGanRecipe
from train.recipes.losses import grid
from train.recipes.pix2pix import Pix2PixRecipe
from train.report.history import read_history


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    return {
        "domains": make_domains(root / "domains", size=(36, 40)),
        "pairs": make_pairs(root / "pairs"),
        "classes": make_classes(root / "classes", 6, side=20),
        "disc": root / "classes" / "disc",
    }


@pytest.fixture(scope="module")
def teacher(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny(CycleGan, folders["domains"], tmp_path_factory.mktemp("runs") / "teacher", steps=2)
    train_tiny(config)
    return config.run


EVERYTHING: list[tuple[type[Training], str, dict[str, Any]]] = [
    (Gan, "disc", {}),
    (Cgan, "classes", {"augment": ("colour",)}),
    (Dcgan, "disc", {"accumulate": 2, "batch": 2, "loss": "hinge"}),
    (Pix2Pix, "pairs", {"generator": "resnet6", "dropout": True, "z": 2, "feature_weight": 10.0}),
    (Pix2Pix, "domains", {"pair": "edges", "norm": "batch", "ema": 0.0, "loss": "wgan-gp"}),
    (
        CycleGan,
        "domains",
        {
            "augment": ("translation", "cutout"),
            "loss": "wgan-gp",
            "equivariance_weight": 5.0,
            "identity_weight_end": 0.0,
            "identity_until": 0.5,
            "cycle_weight_end": 3.0,
            "accumulate": 2,
        },
    ),
    (Projected, "domains", {"low_weight": 1.0}),
    (Distill, "domains", {"amp": True}),
    (Distill, "pairs", {"student": "flat48", "norm": "none"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "folder", "changes"),
    EVERYTHING,
    ids=[f"{kind.recipe}-{folder}" for kind, folder, _ in EVERYTHING],
)
def test_a_resumed_run_of_every_recipe_equals_a_straight_one_bit_for_bit(
    folders: dict[str, Path],
    teacher: Path,
    tmp_path: Path,
    kind: type[Training],
    folder: str,
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # else emulated, but computed
    monkeypatch.setattr("train.recipes.projected.WARM_STEPS", 1)
    monkeypatch.setattr("train.recipes.projected.TEXTURE_VIEWS", 2)
    if kind is Distill:
        who = {"teacher": teacher} if folder == "domains" else {"teacher_images": folders[folder]}
        changes = {**changes, **who}
    straight = train_tiny(tiny(kind, folders[folder], tmp_path / "straight", **changes))
    train_tiny(tiny(kind, folders[folder], tmp_path / "resumed", **changes), stop_after=2)
    resumed = train_tiny(tiny(kind, folders[folder], tmp_path / "resumed", **changes, resume=True))
    assert differing(resumed, straight) == []
    # What the first steps left behind is not what the last ones did: the comparison compares something.
    halfway = train_tiny(tiny(kind, folders[folder], tmp_path / "halfway", **changes, steps=2))
    assert differing(halfway, straight) != []
    last = [entry for entry in read_history(tmp_path / "resumed") if "validation" in entry][-1]
    assert last["step"] == 4
    assert "translated" in next(iter(last["validation"].values()))
    assert (tmp_path / "resumed" / BEST).is_file()
    sheet = load_image(tmp_path / "resumed" / "sample-0000004.jpg")
    assert sheet is not None
    assert sheet.std() > 0.1


def losses_of(recipe: Recipe, config: Training, steps: int) -> list[dict[str, float]]:
    found, batches = [], Batches(recipe.feed, config, CPU)
    for step in range(steps):
        batch = Batch(batches.at(step), step, step / steps, seeded("rng", step))
        found.append({name: loss.item() for name, loss in recipe.step(batch).items()})
    batches.close()
    return found


@pytest.mark.parametrize(("kind", "folder"), [(CycleGan, "domains"), (Pix2Pix, "pairs")])
def test_accumulated_batches_learn_what_one_batch_of_their_size_learns(
    folders: dict[str, Path], tmp_path: Path, kind: type[Training], folder: str
) -> None:
    found = []
    for batch, accumulate in ((1, 2), (2, 1)):
        torch.manual_seed(0)
        config = tiny(kind, folders[folder], tmp_path, batch=batch, accumulate=accumulate)
        found.append(losses_of(make_recipe(config, CPU), config, 3))
    for parts, whole in zip(*found, strict=True):
        assert parts == pytest.approx(whole, rel=1e-3, abs=1e-5)


def test_single_images_give_the_gradients_of_a_batch_of_them(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    moments = []
    for batch, accumulate in ((1, 2), (2, 1)):
        changes = {"batch": batch, "accumulate": accumulate, "generator": "resnet6", "pool": 0}
        config = tiny(CycleGan, folders["domains"], tmp_path, **changes)
        recipe = make_recipe(config, CPU)
        losses_of(recipe, config, 1)
        # After one step Adam's first moment is half of the gradient.
        states = recipe.optimizers["optimizer_G"].state_dict()["state"].values()
        moments.append([state["exp_avg"] for state in states])
    for parts, whole in zip(*moments, strict=True):
        assert (parts - whole).norm() <= 1e-3 * whole.norm() + 1e-5


def test_layout_in_memory_changes_no_loss(folders: dict[str, Path], tmp_path: Path) -> None:
    found = []
    for channels_last in (True, False):
        config = tiny(CycleGan, folders["domains"], tmp_path, batch=2, channels_last=channels_last)
        recipe = make_recipe(config, CPU)
        weight = next(weight for weight in recipe.nets["D_A"].parameters() if weight.dim() == 4)
        assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last
        found.append(losses_of(recipe, config, 3))
    for last, first in zip(*found, strict=True):
        assert last == pytest.approx(first, rel=1e-3, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("student", ["hg48", "paint48", "flat48", "pu48", "pu32", "mobile16"])
def test_a_students_checkpoint_is_at_most_16_mib(
    folders: dict[str, Path], teacher: Path, tmp_path: Path, student: str
) -> None:
    config = tiny(Distill, folders["domains"], tmp_path / "run", teacher=teacher, student=student, steps=1)
    train_tiny(config)
    assert (config.run / CHECKPOINT).stat().st_size <= 16 * 2**20
    told = read_facts(config.run / CHECKPOINT).teacher
    assert told is not None
    assert told.checkpoint == "best.safetensors"
    assert len(told.sha256) == 64


def test_a_stopped_run_that_is_ended_where_it_is_gets_its_best(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    config = tiny(CycleGan, folders["domains"], tmp_path / "run", steps=4)
    train_tiny(config, stop_after=2)
    assert not (config.run / BEST).exists()  # a stopped run does not wait for a validation
    train_tiny(tiny(CycleGan, folders["domains"], config.run, steps=2, resume=True))
    assert read_history(config.run)[-1]["step"] == 2
    assert read_facts(config.run / BEST).step == 2


@pytest.mark.slow
def test_a_finished_run_that_is_resumed_keeps_its_bytes_and_its_students(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    domains, teaching = folders["domains"], {"steps": 1, "generator": "hg48", "generator_width": None}
    teacher = tiny(CycleGan, domains, tmp_path / "teacher", **teaching)
    train_tiny(teacher)
    config = tiny(Distill, domains, tmp_path / "student", teacher=teacher.run, steps=2)
    train_tiny(config, stop_after=1)
    before = (teacher.run / CHECKPOINT).read_bytes()
    budget = {**teaching, "steps": None, "minutes": 1e-6}
    train_tiny(tiny(CycleGan, domains, teacher.run, **budget, resume=True))
    assert (teacher.run / CHECKPOINT).read_bytes() == before
    again = tiny(Distill, domains, config.run, teacher=teacher.run, steps=2, resume=True)
    train_tiny(again)
    assert read_facts(config.run / CHECKPOINT).step == 2
    other = tiny(CycleGan, domains, tmp_path / "other", **teaching, seed=5)
    train_tiny(other)
    (teacher.run / BEST).write_bytes((other.run / BEST).read_bytes())
    with pytest.raises(
        RunError, match=r"student: its teacher is .*sha256.*, the run was started with .*--run"
    ):
        train_tiny(again)


def test_a_student_starts_as_a_copy_of_a_teacher_of_its_own_kind(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    domains = folders["domains"]
    nets = {"generator": "hg48", "generator_width": None, "norm": "none", "discriminator_norm": "spectral"}
    own = tiny(CycleGan, domains, tmp_path / "own", **nets)
    train_tiny(own)
    like = {"teacher": own.run, "student": "hg48", "copy_teacher": True}
    config = tiny(Distill, domains, tmp_path, norm="none", **like)
    recipe = make_recipe(config, CPU)
    averaged = load_file(own.run / BEST)
    for name, tensor in recipe.nets["G"].state_dict().items():
        assert torch.equal(tensor, averaged[f"ema_G_A/{name}"])
    (losses,) = losses_of(recipe, config, 1)
    assert losses["laplacian"] < 0.05
    for changes, found in (({"norm": "batch"}, "hg48 with --norm batch"), ({"student": "draw48"}, "draw48 ")):
        with pytest.raises(
            RunError, match=f"it is no {found}.*, but hg48 with --norm none; leave --copy-teach"
        ):
            make_recipe(tiny(Distill, domains, tmp_path, **{"norm": "none", **like, **changes}), CPU)


def test_the_settings_of_a_recipe_that_do_not_fit_are_refused_in_one_line(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for config, message in (
        (tiny(Pix2Pix, folders["pairs"], tmp_path, generator="unet128"), "unet128 needs a multiple of 128"),
        (tiny(CycleGan, folders["domains"], tmp_path, batch=7), r"trainA: 6 found, a step takes 7"),
        (tiny(Cgan, folders["disc"], tmp_path), r"0 class folder\(s\) in .*disc: cgan needs a folder"),
    ):
        with pytest.raises(Exception, match=message) as refused:
            make_recipe(config, CPU)
        assert "\n" not in str(refused.value)
    with pytest.raises(RunError, match="--crop-size is 24: needed is a power of two, at least 16"):
        tiny(Gan, folders["disc"], tmp_path, crop_size=24, load_size=24)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from train.device import open_world

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="--device cuda: PyTorch finds no CUDA device"):
        open_world("cuda")
    assert open_world("auto") == World(torch.device("cpu"))


@pytest.mark.parametrize("generator", ["hg48", "pu48", "pu32"])
def test_small_generators_start_as_the_identity_or_without_a_block_pattern(
    folders: dict[str, Path], tmp_path: Path, generator: str
) -> None:
    image = 2 * torch.rand(1, 3, 32, 32, generator=seeded("start")) - 1
    for start in ("identity", "icnr"):
        config = tiny(CycleGan, folders["domains"], tmp_path, generator=generator, init=start)
        change = make_recipe(config, CPU).nets["G_A"](image) - image
        assert (change.abs().max().item() == 0.0) is (start == "identity")
    # Before the blur every 4 x 4 block of the change has one value.
    head = make_recipe(config, CPU).nets["G_A"].head
    last = head[-2].weight.reshape(3, 16, -1)  # type: ignore[index,union-attr]
    assert torch.equal(last, last[:, :1].expand_as(last))


def test_a_start_a_network_does_not_have_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    config = tiny(CycleGan, folders["domains"], tmp_path, generator="resnet6", init="icnr")
    with pytest.raises(RunError, match="generator resnet6 has no option init icnr: leave it out"):
        make_recipe(config, CPU)


def test_validation_tells_how_steady_a_translation_is(
    folders: dict[str, Path], teacher: Path, tmp_path: Path
) -> None:
    config = tiny(CycleGan, folders["domains"], tmp_path)
    found = make_recipe(config, CPU).validate()
    assert found is not None
    # Fresh hg48 is the identity: it moves with its input, up to the noise.
    for way in ("AtoB", "BtoA"):
        measured = found[f"warping_{way}"]
        assert measured["translated"] == measured["floor"] < measured["ceiling"]
    student = make_recipe(tiny(Distill, folders["domains"], tmp_path, teacher=teacher), CPU).validate()
    assert student is not None
    assert student["warping"].keys() == {"translated", "floor", "ceiling"}


class Same(nn.Module):
    """A generator that changes nothing."""

    def forward(self, image: Tensor) -> Tensor:
        return image


def test_a_perfect_image_has_the_wanted_features_however_the_discriminator_is_shown_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    changes = {"feature_weight": 10.0, "augment": ("translation", "cutout", "colour"), "batch": 2}
    recipe = make_recipe(tiny(Pix2Pix, folders["pairs"], tmp_path, **changes), CPU)
    assert isinstance(recipe, Pix2PixRecipe)
    recipe.G = Same()
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    losses, _ = recipe._generator(Batch({}, 0, 0.0, seeded("same")), [], {"A": image, "B": image})
    assert losses["features"].item() == 0.0
    other, _ = recipe._generator(Batch({}, 0, 0.0, seeded("same")), [], {"A": image, "B": -image})
    assert other["features"].item() > 0.1


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_translation_does_not_depend_on_the_images_of_the_identity_loss(
    folders: dict[str, Path], tmp_path: Path, norm: str
) -> None:
    found = []
    for weight in (0.0, 1e-9):
        torch.manual_seed(0)
        changes = {"norm": norm, "identity_weight": weight, "generator": "resnet6", "batch": 2}
        recipe = make_recipe(tiny(CycleGan, folders["domains"], tmp_path, **changes), CPU)
        assert isinstance(recipe, CycleGanRecipe)
        real_A = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
        fakes: list[dict[str, Tensor]] = []
        recipe._generators(Batch({}, 0, 0.0, seeded("same")), fakes, {"A": real_A, "B": 0.2 * real_A + 0.6})
        found.append(fakes[0]["B"])
    assert (found[0] - found[1]).abs().max() < 1e-5


def test_images_are_counted_under_the_name_of_their_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    for kind, folder, counts in (
        (Gan, "disc", {"disc": 6}),
        (Pix2Pix, "pairs", {"train": 6}),
        (CycleGan, "domains", {"trainA": 6, "trainB": 6}),
    ):
        assert make_recipe(tiny(kind, folders[folder], tmp_path), CPU).feed.counts == counts


def test_the_grid_loss_drives_patterns_out_of_what_pix2pix_draws(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    def after(weight: float) -> tuple[float, set[str]]:
        torch.manual_seed(0)
        changes = {"learning_rate": 0.005, "grid_weight": weight, "l1_weight": 0.0}
        recipe = make_recipe(config := tiny(Pix2Pix, folders["pairs"], tmp_path, **changes), CPU)
        generator = recipe.nets["G"]
        torch.nn.init.normal_(generator.get_parameter("head.2.bias"), std=0.2, generator=seeded("pattern"))
        losses = losses_of(recipe, config, 30)
        drawn = generator(torch.zeros(1, 3, 32, 32))
        return grid(drawn.detach()).item(), set(losses[-1])

    (kept, plain), (driven_out, held) = after(0.0), after(1000.0)
    assert held - plain == {"grid"}
    assert driven_out < 0.5 * kept


@pytest.mark.parametrize("few", [1, 2, 3])
def test_a_handful_of_images_trains_shows_a_sheet_and_becomes_a_style_both_ways(
    folders: dict[str, Path], tmp_path: Path, few: int
) -> None:
    data = tmp_path / "data"
    shutil.copytree(folders["domains"] / "trainB", data / "trainB")
    (data / "trainA").mkdir()
    for path in sorted((folders["domains"] / "trainA").iterdir())[:few]:
        shutil.copy(path, data / "trainA")
    config = tiny(CycleGan, data, tmp_path / "run", steps=1)
    train_tiny(config)
    sheet = [entry for entry in read_history(config.run) if "sheet" in entry][-1]
    assert (len(sheet["rows"]), sheet["columns"]) == (6, few)
    written = load_image(config.run / "sample-0000001.jpg")
    assert written is not None
    assert written.shape[1] * 6 == written.shape[0] * few
    measured = gather_eval_set(read_facts(config.run / CHECKPOINT), "BtoA", None, 32, 8)
    assert (len(measured.inputs), list(measured.reals), measured.trained) == (6, [], None)
    assert f"; {few} of the target domain are too few to measure the distance" in measured.measured_on
    assert "swd" not in measure_style(Same(), measured)


@pytest.mark.parametrize(
    ("kind", "folder", "names"),
    [(CycleGan, "domains", {"A to B", "B to A"}), (Pix2Pix, "pairs", {"it"}), (Gan, "disc", set())],
)
def test_a_generator_that_changes_nothing_is_called_the_identity(
    folders: dict[str, Path], tmp_path: Path, kind: type[Training], folder: str, names: set[str]
) -> None:
    config = tiny(kind, folders[folder], tmp_path / "run", steps=1, learning_rate=0.0)
    assert make_recipe(config, CPU).changes() == dict.fromkeys(names, 0.0)
    said: list[str] = []
    train(config, lambda where: None, said.append)
    told = [text for text in said if text.endswith("of 255 levels: so far it is the identity")]
    assert len(told) == len(names)
    config = tiny(kind, folders[folder], tmp_path / "other", steps=1, learning_rate=0.1, ema=0.0)
    said.clear()
    train(config, lambda where: None, said.append)
    assert not any("identity" in text for text in said)
    assert said[-1].startswith("checkpoints: 1 of the newest")
    assert "checkpoint.safetensors is another name of checkpoint-0000001.safetensors" in said[-1]
