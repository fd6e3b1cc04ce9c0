"""Two processes of one run, as torchrun starts them, against one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.cli import ROOT
from tests.support.drawings import make_domains
from tests.support.receivers import closed_port
from train.checkpoint import CHECKPOINT, read_facts
from train.report.history import read_history

TINY = [
    *("--generator", "hg48", "--generator-width", "4", "--discriminator-width", "4", "--patch", "16"),
    *("--load-size", "36", "--crop-size", "32", "--threads", "1", "--device", "cpu", "--steps", "1"),
]
LIMIT_S = 60
"""Seconds after which processes that wait for each other are given up."""


def train(processes: int, batch: int, data: Path, run: Path) -> None:
    """Run `videobrush-train cyclegan` in so many processes on this machine, to the end."""
    command = [sys.executable, "-m", "train.cli", "cyclegan", *TINY, "--batch", str(batch)]
    command += ["--data", str(data), "--run", str(run)]
    together = {
        **os.environ,
        **{"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(closed_port())},
        **{"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    }
    outputs = [run.with_name(f"{run.name}-{rank}.txt") for rank in range(processes)]
    started = []
    try:
        for rank, output in enumerate(outputs):
            environment = {**together, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            with output.open("wb") as file:
                started.append(
                    subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
                )
        for process, output in zip(started, outputs, strict=True):
            assert process.wait(LIMIT_S) == 0, output.read_text()
    finally:
        for process in started:
            process.kill()
            process.wait()


def first_gradients(run: Path) -> dict[str, Tensor]:
    """Return Adam's first moments after one step: multiples of the gradients."""
    return {name: tensor for name, tensor in load_file(run / CHECKPOINT).items() if name.endswith("/exp_avg")}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface has another name")
def test_two_processes_take_the_step_of_one_with_the_doubled_batch(tmp_path: Path) -> None:
    data = make_domains(tmp_path / "data", size=(36, 40))
    train(2, 1, data, tmp_path / "two")
    train(1, 2, data, tmp_path / "one")
    assert [read_facts(tmp_path / name / CHECKPOINT).processes for name in ("two", "one")] == [2, 1]
    two, one = (read_history(tmp_path / name)[0] for name in ("two", "one"))
    assert two["step"] == one["step"] == 1
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-3, abs=1e-5)
    gradients, wanted = (first_gradients(tmp_path / name) for name in ("two", "one"))
    assert gradients.keys() == wanted.keys()
    moved = [name for name, gradient in wanted.items() if gradient.norm() > 1e-4]
    assert {name.split("/")[0] for name in moved} == {"optimizer_G", "optimizer_D"}
    for name in moved:
        assert torch.linalg.vector_norm(gradients[name] - wanted[name]) <= 1e-3 * wanted[name].norm() + 1e-6
