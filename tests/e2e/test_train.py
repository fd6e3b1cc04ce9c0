"""The command `videobrush-train`, as a user meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rt.card import read_card
from rt.frame import Rgb
from tests.support.drawings import make_domains
from tests.support.media import Clip, drawn, write_clip
from tests.support.reference_weights import draw, resnet_shapes
from train.checkpoint import read_facts

TRAIN = (sys.executable, "-m", "train.cli")
SMALL = [
    *("--generator", "hg48", "--generator-width", "4", "--discriminator-width", "4", "--patch", "16"),
    *("--load-size", "36", "--crop-size", "32"),
]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""Threads that wait for each other on a busy machine cost a test more than they give it."""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*TRAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ONE_THREAD)


@pytest.mark.slow
def test_images_become_a_style_that_can_be_listed(tmp_path: Path) -> None:
    data = make_domains(tmp_path / "data")
    trained = run("cyclegan", "--data", data, "--run", tmp_path / "run", *SMALL, "--steps", 2)
    assert trained.returncode == 0, trained.stderr
    assert "images: 6 in trainA, 6 in trainB, short side 36 px" in trained.stderr
    assert f"next: videobrush-train export {tmp_path / 'run'} --name NAME" in trained.stdout
    style = tmp_path / "styles" / "drawn"
    style.parent.mkdir()
    exported = run("export", tmp_path / "run", "--name", "drawn", "--out", style, "--size", 64)
    assert exported.returncode == 0, exported.stderr
    assert "ONNX Runtime against PyTorch on 6 images: largest difference" in exported.stderr
    card = read_card(style)
    assert card.training["command"].startswith("cli.py cyclegan --data")
    assert f"next: videobrush run INPUT OUTPUT.mp4 --style {style}" in exported.stdout


@pytest.mark.slow
def test_a_video_becomes_a_data_folder_that_can_be_checked(tmp_path: Path) -> None:
    def image(index: int, height: int, width: int) -> Rgb:
        return np.roll(drawn(0, height, width), 11 * index, axis=1)

    clip = write_clip(tmp_path / "clip.mp4", Clip(frames=6, image=image))
    data = tmp_path / "data"
    taken = run("frames", clip, "--out", data / "trainA", "--every", 2)
    assert taken.returncode == 0, taken.stderr
    assert taken.stdout == f"3 image(s) in {data / 'trainA'} from 6 frames\n"
    checked = run("check", data)
    assert checked.returncode == 0, checked.stderr
    assert "trainA       3        0  48×64         3 rgb" in checked.stdout
    assert checked.stdout.endswith("no faults\n")
    (data / "trainA" / "half.jpg").write_bytes((data / "trainA" / "clip-000000.jpg").read_bytes()[:300])
    found = run("check", data)
    assert found.returncode == 1
    assert "fault: trainA: 1 damaged: half.jpg\n" in found.stdout
    assert found.stdout.endswith("\n1 fault(s)\n")


@pytest.mark.slow
def test_somebody_elses_generator_becomes_a_style(tmp_path: Path) -> None:
    data = make_domains(tmp_path / "data")
    weights = tmp_path / "latest_net_G_A.pth"
    torch.save(draw(resnet_shapes(blocks=6)), weights)
    imported = run("import", weights, "--out", tmp_path / "run")
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout == (
        "resnet6, norm instance, 4 channels; "
        f"next: videobrush-train export {tmp_path / 'run'} --name NAME --data DIR\n"
    )
    arguments = ("export", tmp_path / "run", "--name", "theirs", "--data", data / "testA", "--size", 64)
    exported = run(*arguments)
    assert exported.returncode == 0, exported.stderr
    style = tmp_path / "run" / "theirs"
    assert exported.stdout == f"style {style}; next: videobrush run INPUT OUTPUT.mp4 --style {style}\n"
    assert read_card(style).network["generator"] == "resnet6"


@pytest.mark.slow
def test_an_interrupted_run_leaves_a_checkpoint_and_says_how_to_continue(tmp_path: Path) -> None:
    data = make_domains(tmp_path / "data")
    command = ("cyclegan", "--data", data, "--run", tmp_path / "run", *SMALL, "--steps", 100_000)
    with subprocess.Popen(
        [*TRAIN, *map(str, command), "--threads", "1"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if "step 100 " in line:
                break
        started.send_signal(signal.SIGINT)
        _, said = started.communicate()
    assert started.returncode == 128 + signal.SIGINT
    assert "is written: to continue, repeat the command with --resume" in said
    # What is left of the budget is cut short: the continuation ends with its next step.
    last = read_facts(tmp_path / "run" / "checkpoint.safetensors").step + 1
    resumed = run(*command[:-1], last, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at step " in resumed.stderr
    made_by = read_facts(tmp_path / "run" / "checkpoint.safetensors").environment["command"]
    started_by, continued_by = made_by.split(" && ")
    assert started_by.endswith("--steps 100000 --threads 1")
    assert continued_by.endswith(f"--steps {last} --resume")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere", "--steps", "5"], "error: no folder nowhere/trainA: unpaired training needs"),
        (
            ["--data", "nowhere"],
            "error: how long to train is not clear: give one of --steps, --epochs and --minutes",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_1(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = run("cyclegan", *arguments, "--run", tmp_path / "run")
    assert result.returncode == 1
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
