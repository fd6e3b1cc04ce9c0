"""The training loop: budgets, checkpoints, full disks, kills, several processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.cli import ROOT
from tests.support.training import make_classes, tiny, train_tiny
from train import checkpoint
from train.checkpoint import BEST, CHECKPOINT, Checkpoints, read_facts
from train.config import Cgan, CycleGan, Gan, check_same_settings, settings_json
from train.device import World
from train.errors import RunError
from train.facts import RunFacts
from train.load import load_noise_generator
from train.loop import train
from train.recipes import make_recipe
from train.recipes.base import Base
from train.recipes.noise import GanRecipe
from train.report import history
from train.report.history import HISTORY, History, read_history


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classes(tmp_path_factory.mktemp("data") / "classes", 8, side=20)


@pytest.mark.slow
def test_the_newest_checkpoints_and_the_best_are_kept(classes: Path, tmp_path: Path) -> None:
    config = tiny(Gan, classes / "disc", tmp_path / "run", steps=10, checkpoint_steps=2, keep=2)
    train_tiny(config)
    names = [path.name for path in sorted(config.run.glob("*.safetensors"))]
    assert names == [BEST, "checkpoint-0000008.safetensors", "checkpoint-0000010.safetensors", CHECKPOINT]
    assert read_facts(config.run / CHECKPOINT).step == 10
    best = read_facts(config.run / BEST)
    found = [entry for entry in read_history(config.run) if "validation" in entry]
    assert best.best == found[-1]["validation"]["swd"]["translated"]
    # One file under three names: the best costs no further room.
    assert (config.run / BEST).stat().st_nlink == 3


def test_a_worse_validation_leaves_the_best_checkpoint_alone(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, keep=1)
    for step, best in ((1, True), (2, False), (3, False)):
        kept.save(step, {"G/weight": torch.full((2,), float(step))}, RunFacts("gan", {}, step=step), best)
    assert read_facts(tmp_path / BEST).step == 1
    assert read_facts(tmp_path / CHECKPOINT).step == 3
    assert [path.name for path in kept.numbered()] == ["checkpoint-0000003.safetensors"]


def test_a_file_system_without_hard_links_keeps_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    Checkpoints(tmp_path, keep=1).save(1, {"G/weight": torch.ones(2)}, RunFacts("gan", {}, step=1), best=True)
    assert {load_file(tmp_path / name)["G/weight"].sum().item() for name in (BEST, CHECKPOINT)} == {2.0}


def test_epochs_are_counted_in_images(classes: Path, tmp_path: Path) -> None:
    # 8 images, 4 a step: 2.5 epochs are 5 steps
    train_tiny(tiny(Gan, classes / "disc", tmp_path / "run", epochs=2.5))
    assert read_facts(tmp_path / "run" / CHECKPOINT).step == 5


def test_a_run_leaves_its_settings_history_sheet_and_report(classes: Path, tmp_path: Path) -> None:
    said: list[str] = []
    config = tiny(Cgan, classes, tmp_path / "run", steps=20)
    assert train(config, lambda where: None, said.append)
    settings = json.loads((config.run / "settings.json").read_text())
    assert (settings["recipe"], settings["batch"], settings["data"]) == ("cgan", 4, str(classes))
    _, losses, validation, sheet = read_history(config.run)
    assert losses["step"] == 20
    assert losses["losses"].keys() == {"D", "G"}
    assert validation["validation"]["swd"].keys() == {"translated", "floor", "ceiling"}
    assert sheet["rows"] == ["cross", "disc", "square"]
    report = (config.run / "report.html").read_text(encoding="utf-8")
    for text in ("cgan, run", "finished", "cross", "swd", "learning_rate"):
        assert text in report
    assert said[0].startswith("device: cpu, ")
    assert said[1] == "images: 8 in cross, 8 in disc, 8 in square, short side 18 px"
    assert said[2].startswith("pace: ")
    assert said[3].startswith("validation at step 20: swd ")
    assert "(floor " in said[3]
    assert said[3].endswith(", the best so far")


def test_bfloat16_is_left_out_aloud_where_the_processor_would_emulate_it(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for native in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        said: list[str] = []
        config = tiny(Cgan, classes, tmp_path / str(native), steps=1, amp=True)
        assert train(config, lambda where: None, said.append)
        assert sum("float32, not --amp: no bfloat16 instructions" in line for line in said) == (
            0 if native else 1
        )
        told = read_facts(config.run / CHECKPOINT).environment
        assert told["precision"] == ("bfloat16" if native else "float32")
        recipe = make_recipe(config, World(torch.device("cpu")))
        assert isinstance(recipe, Base)
        with recipe.autocast():
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (torch.bfloat16 if native else torch.float32)
    longer = tiny(Cgan, classes, tmp_path / "False", steps=2, amp=True, resume=True)
    assert train(longer, lambda where: None, said.append)
    told = read_facts(longer.run / CHECKPOINT).environment
    assert told["precision"] == "float32, then bfloat16"


def test_a_history_goes_on_from_its_step_and_forgets_what_came_after(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    for step in (20, 40, 60):
        history.losses(step, step / 10, 5.0, {"G": step / 100})
    history.close()
    with (tmp_path / HISTORY).open("a") as lines:
        lines.write('{"step": 80, "elap')  # cut off by a kill
    History(tmp_path, 40).close()
    assert [entry["step"] for entry in read_history(tmp_path)] == [20, 40]


def test_a_disk_too_full_is_refused_before_the_first_step(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    config = tiny(Gan, classes / "disc", tmp_path / "run")
    with pytest.raises(RunError, match=r"disk too full: .*run needs \d MB for checkpoints, 0 MB are free"):
        train_tiny(config)
    assert not config.run.exists()


def test_a_disk_that_fills_up_later_leaves_the_last_good_checkpoint(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, times = save_file, [0]

    def fill_up(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        times[0] += 1
        if times[0] == 2:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", fill_up)
    config = tiny(Gan, classes / "disc", tmp_path / "run", checkpoint_steps=2)
    fault = r"cannot be written: .*No space left on device; the ones before are"
    with pytest.raises(RunError, match=fault):
        train_tiny(config)
    assert read_facts(config.run / CHECKPOINT).step == 2
    assert list(config.run.glob("*.part")) == []
    assert "stopped: checkpoint" in (config.run / "report.html").read_text(encoding="utf-8")

    def full(*_: object) -> None:
        raise RunError("report report.html cannot be written: No space left on device")

    times[0] = 0
    monkeypatch.setattr(history, "write_report", full)  # no room for that either
    with pytest.raises(RunError, match=fault):
        train_tiny(tiny(Gan, classes / "disc", tmp_path / "other", checkpoint_steps=2))


def test_a_look_that_takes_longer_than_the_time_between_two_leaves_room_for_training(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> None:
        time.sleep(0.3)

    monkeypatch.setattr(GanRecipe, "validate", slow)
    # Due 0.1 s after the one before, and three times as long.
    config = tiny(Gan, classes / "disc", tmp_path / "run", steps=100, sample_minutes=0.1 / 60)
    train_tiny(config)
    looks = [entry["step"] for entry in read_history(config.run) if "sheet" in entry]
    assert len(looks) >= 2
    assert min(later - earlier for earlier, later in pairwise(looks[:-1])) >= 3


def test_sheets_that_were_tidied_away_are_left_out_of_the_report(classes: Path, tmp_path: Path) -> None:
    config = tiny(Gan, classes / "disc", tmp_path / "run", steps=2)
    train_tiny(config)
    (config.run / "sample-0000002.jpg").unlink()
    train_tiny(replace(config, steps=4, resume=True))
    sheets = [entry["sheet"] for entry in read_history(config.run) if "sheet" in entry]
    assert sheets == ["sample-0000002.jpg", "sample-0000004.jpg"]
    assert (config.run / "report.html").read_text(encoding="utf-8").count("data:image/jpeg") >= 1


def test_settings_younger_than_a_run_count_as_their_defaults(tmp_path: Path) -> None:
    config = CycleGan(data=tmp_path, run=tmp_path, steps=1)
    recorded = settings_json(config)
    for name in ("device", "init", "equivariance_weight", "patch", "augment", "generator_width"):
        del recorded[name]
    check_same_settings(config, recorded)
    with pytest.raises(RunError, match=r"--patch is \"16\", the run was started with \"70\""):
        check_same_settings(CycleGan(data=tmp_path, run=tmp_path, steps=1, patch="16"), recorded)


def test_a_checkpoint_of_0_1_is_read_under_todays_names() -> None:
    old = {
        "step": 7,
        "elapsed_s": 90.0,
        "recipe": "distill",
        "settings": {"student": "pu32", "norm": "batch", "start": "icnr", "teacher": "runs/t", "data": "d"},
        "environment": {"command": "videobrush-train distill"},
        "pictures": {"trainA": 6},
        "teacher": {"checkpoint": "best.safetensors", "sha256": "00"},
        "backbone": "somebody's",
    }
    facts = RunFacts.from_json(old)
    assert (facts.networks.generator, facts.networks.init, facts.networks.norm) == ("pu32", "icnr", "batch")
    assert (facts.images, facts.minutes, facts.processes, facts.best) == ({"trainA": 6}, 1.5, 1, None)
    assert facts.teacher is not None
    assert facts.teacher.sha256 == "00"
    written = facts.to_json()
    assert written["settings"]["init"] == "icnr"
    assert written["backbone"] == "somebody's"
    assert RunFacts.from_json(json.loads(json.dumps(written))) == facts


def test_a_checkpoint_with_nan_is_refused_wherever_it_is_read(classes: Path, tmp_path: Path) -> None:
    config = tiny(Gan, classes / "disc", tmp_path / "run", steps=1)
    tensors = train_tiny(config)
    name = next(name for name in tensors if name.startswith("ema_G/") and name.endswith("weight"))
    tensors[name].view(-1)[0] = float("nan")
    facts = read_facts(config.run / CHECKPOINT)
    for path in (config.run / CHECKPOINT, config.run / BEST):
        checkpoint.write_checkpoint(path, tensors, facts)
    refusal = r"1 weight\(s\) that are no numbers \(NaN or infinite\), the first is "
    with pytest.raises(RunError, match=refusal):
        load_noise_generator(config.run / BEST)
    with pytest.raises(RunError, match=refusal):
        train_tiny(replace(config, steps=2, resume=True))
    with pytest.raises(RunError, match=refusal):
        train_tiny(replace(config, run=tmp_path / "next", start_from=config.run))


def test_validations_count_against_the_minutes(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> None:
        time.sleep(0.4)

    monkeypatch.setattr(GanRecipe, "validate", slow)
    config = tiny(Gan, classes / "disc", tmp_path / "run", minutes=3 / 60, sample_minutes=0.5 / 60)
    train_tiny(config)
    looks = [entry["elapsed_s"] for entry in read_history(config.run) if "sheet" in entry]
    assert len(looks) >= 3
    # The last one begins before the end of the three seconds, as what it takes is known by then.
    assert looks[-1] <= 3.0


def test_validations_without_a_better_one_are_counted_also_over_a_resume(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([1.0, 2.0, 3.0, 4.0, 0.5, 0.6])

    def validate(*_: object) -> dict[str, dict[str, float]]:
        return {"swd": {"translated": next(figures), "floor": 0.0, "ceiling": 9.0}}

    monkeypatch.setattr(GanRecipe, "validate", validate)
    said: list[str] = []
    for steps in range(1, 7):
        config = tiny(Gan, classes / "disc", tmp_path / "run", steps=steps, resume=steps > 1)
        train(config, lambda where: None, said.append)
    told = [text.partition("9)")[2] for text in said if text.startswith("validation")]
    assert told == [
        *(", the best so far", "", ", no better for 2 validations", ", no better for 3 validations"),
        *(", the best so far", ""),
    ]


def test_after_three_steps_a_run_says_what_its_budget_is_worth(classes: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(tiny(Gan, classes / "disc", tmp_path / "run", steps=5), lambda where: None, said.append)
    paces = [text for text in said if text.startswith("pace: ")]
    assert len(paces) == 1
    assert ", 5 steps in the budget" in paces[0]


def test_a_run_of_another_recipe_is_not_continued(classes: Path, tmp_path: Path) -> None:
    train_tiny(tiny(Gan, classes / "disc", tmp_path / "run", steps=1))
    with pytest.raises(RunError, match="cannot resume .*run: it is a run of gan"):
        train_tiny(tiny(Cgan, classes, tmp_path / "run", steps=2, resume=True))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2))
def test_a_run_killed_at_any_file_operation_continues_to_the_same_end(
    classes: Path, tmp_path: Path, first: int
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.killing", str(classes), str(tmp_path), str(first), "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["different"] == []
    assert found["places"] >= 26
