"""What `--preset`, `--generator` and `--resume` stand for, and what is told of a budget."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, get_args

import pytest
import tyro
from rich.console import Console

from tests.support.drawings import make_domains
from tests.support.training import tiny, train_tiny
from train.checkpoint import CHECKPOINT, read_facts
from train.cli import training_bar
from train.config import RECIPES, CycleGan, Pix2Pix, Training, settings_json
from train.pace import describe_pace
from train.presets import NETWORKS, PRESETS, Preset, with_presets
from train.resume import full_command

KINDS = {kind.recipe: kind for kind in RECIPES}


def parsed(words: list[str]) -> Training:
    kind: Any = KINDS[words[0]]
    config: Training = tyro.cli(kind, args=full_command(words)[1:])
    return config


@pytest.mark.parametrize("recipe", PRESETS)
@pytest.mark.parametrize("preset", get_args(Preset))
def test_every_preset_of_every_recipe_is_a_command_that_says_how_long(recipe: str, preset: str) -> None:
    teacher = ["--teacher", "runs/t"] if recipe == "distill" else []
    config = parsed([recipe, "--data", "d", *teacher, "--preset", preset])
    assert config.preset == preset
    assert [config.steps, config.epochs, config.minutes].count(None) == 2
    own = parsed([recipe, "--data", "d", *teacher, "--preset", preset, "--steps", "7", "--seed", "3"])
    assert (own.steps, own.epochs, own.minutes, own.seed) == (7, None, None, 3)


@pytest.mark.parametrize(
    ("recipe", "generator"), [(recipe, name) for recipe, names in NETWORKS.items() for name in names]
)
def test_a_small_generator_brings_the_gallerys_settings_and_ones_own_win(recipe: str, generator: str) -> None:
    words = [recipe, "--data", "d", "--generator", generator, "--steps", "5"]
    config = parsed(words)
    papers = KINDS[recipe](data=Path("d"), steps=5)
    assert settings_json(config) != {**settings_json(papers), "generator": generator}
    assert isinstance(config, CycleGan | Pix2Pix)
    assert (config.norm, config.loss) == ("none", "lsgan")
    own = parsed([*words, "--norm", "instance", "--load-size", "100", "--crop-size", "64"])
    assert isinstance(own, CycleGan | Pix2Pix)
    assert (own.norm, own.load_size, own.crop_size) == ("instance", 100, 64)
    assert own.discriminator_norm == config.discriminator_norm


def test_the_papers_networks_keep_the_papers_settings() -> None:
    for recipe in ("cyclegan", "pix2pix"):
        config = parsed([recipe, "--data", "d", "--steps", "5"])
        assert settings_json(config) == settings_json(KINDS[recipe](data=Path("d"), steps=5))
    words = ["cyclegan", "--data", "d", "--generator=resnet6", "--steps", "5"]
    assert with_presets(words) == words
    assert with_presets(["export", "run", "--name", "n"]) == ["export", "run", "--name", "n"]


def test_resume_alone_takes_the_settings_of_the_run(tmp_path: Path) -> None:
    data = make_domains(tmp_path / "data", size=(36, 40))
    run = tmp_path / "run"
    told = {"augment": ("translation", "cutout"), "norm": "instance", "flip": False, "pool": 7}
    train_tiny(tiny(CycleGan, data, run, steps=2, **told))
    again = parsed(["cyclegan", "--run", str(run), "--resume", "--steps", "3"])
    assert (again.steps, again.data, again.resume) == (3, data, True)
    assert isinstance(again, CycleGan)
    assert (again.augment, again.norm, again.flip, again.pool) == (
        ("translation", "cutout"), "instance", False, 7,
    )  # fmt: skip
    assert parsed(["cyclegan", "--run", str(run), "--resume"]).steps == 2
    train_tiny(again)
    assert read_facts(run / CHECKPOINT).step == 3


def test_the_pace_says_what_papers_and_gallery_took_and_what_helps(tmp_path: Path) -> None:
    slow = describe_pace(CycleGan(data=tmp_path, minutes=60), 14.4, 250, 1, 1000)
    assert slow.startswith("pace: 14 s a step, 250 steps in the budget (60 min); 200 epochs as in the paper")
    assert "(Zhu 2017) would be 200000, 33.3 days" in slow
    assert "the gallery's winter of 0.1 saw as many images as 10706 steps do, 42.8 h" in slow
    assert slow.endswith("A small generator is many times as quick: --generator hg48, or --preset draft")
    quick = describe_pace(CycleGan(data=tmp_path, generator="hg48", minutes=60), 0.3, 12000, 2, 1000)
    assert "expect little" not in quick


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bar_percent_and_time_left_stay_whatever_the_losses_need(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    losses = " ".join(
        f"{name} 0.123" for name in ("G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A")
    )
    with training_bar(console) as bar:
        task = bar.add_task("", total=1.0)
        bar.update(task, completed=0.3334, description=f"step 12345  12.3 images/s  {losses}")
        bar.refresh()
    line = next(line for line in out.getvalue().splitlines() if "33.3%" in line)
    assert " 33.3%" in line
    assert "-:--:--" in line or "0:0" in line
    assert "━" in line
    assert "step 12" in line
