"""Sections of `tools.bench.gpu_day` on training: `python -m tools.bench.gpu_day_training NAME`.

resume      a run that is stopped and resumed against one that is not: equal weights
processes   NCCL in one process, then two processes that share the device over gloo: equal weights in both

Every line printed is one row of the report, as JSON.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from tools.bench.gpu_day_parts import row
from tools.bench.train import write_domains
from train.checkpoint import CHECKPOINT
from train.config import CycleGan
from train.data.feed import Batch, Batches, seeded
from train.device import World
from train.loop import train
from train.recipes.cyclegan import CycleGanRecipe

STEPS = 6
"""Steps of each run; its budget is larger, so that none ends with the validation of a finished one."""
TOLERANCE = 1e-3
"""Largest difference of a weight between a resumed run and one that was not stopped; on a CPU it is 0."""


def main() -> int:
    """Do one part and print its rows."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("part", choices=("resume", "processes", "worker"))
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    made.add_argument("--data", type=Path, help="of worker: the images")
    arguments = made.parse_args()
    if arguments.part == "worker":
        return worker(arguments.device, arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        part = resume if arguments.part == "resume" else processes
        return part(arguments.device, Path(folder))


def settings(data: Path, run: Path, device: Any) -> CycleGan:
    """Return a run of a few steps."""
    return CycleGan(
        data=data,
        run=run,
        steps=10 * STEPS,
        device=device,
        generator="resnet6",
        generator_width=16,
        discriminator_width=16,
        load_size=72,
        crop_size=64,
        check=False,
    )


def resume(device: str, folder: Path) -> int:
    """Train at one go, and stopped and resumed half way: the weights must agree."""
    data = write_domains(folder, 72)
    whole, halves = (settings(data, folder / name, device) for name in ("whole", "halves"))
    go_on(whole, STEPS)
    go_on(halves, STEPS // 2)
    go_on(replace(halves, resume=True), STEPS - STEPS // 2)
    one, other = (load_file(config.run / CHECKPOINT) for config in (whole, halves))
    largest = max(
        float((one[name].float() - other[name].float()).abs().max()) for name in one if one[name].numel()
    )
    row(
        steps=STEPS,
        stopped_after=STEPS // 2,
        tensors=len(one),
        bit_for_bit=all(torch.equal(one[name], other[name]) for name in one),
        largest_difference=largest,
    )
    return 0 if one.keys() == other.keys() and largest <= TOLERANCE else 1


def go_on(config: CycleGan, steps: int) -> None:
    """Train for so many steps."""
    # Asked before each step, and once more when they are done.
    asked = iter([False] * steps)
    train(config, lambda where: None, lambda text: None, lambda: next(asked, True))


def processes(device: str, folder: Path) -> int:
    """Try NCCL alone, then let two processes train on one device."""
    if device == "cuda":
        _try_nccl()
    data = write_domains(folder, 72)
    command = [sys.executable, "-m", "tools.bench.gpu_day_training", "worker"]
    command += ["--device", device, "--data", str(data)]
    together = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    started = [
        subprocess.Popen(command, env={**together, "RANK": str(rank), "LOCAL_RANK": "0"}) for rank in range(2)
    ]
    return max(abs(process.wait()) for process in started)


def _try_nccl() -> None:
    """Average over one process with NCCL: two on one GPU it refuses."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "RANK": "0",
        "WORLD_SIZE": "1",
    }
    dist.init_process_group("nccl")
    given = torch.arange(8.0, device="cuda")
    dist.all_reduce(given)
    version = torch.cuda.nccl.version()  # type: ignore[no-untyped-call]
    row(nccl=".".join(map(str, version)), right=given.tolist() == list(range(8)))
    dist.destroy_process_group()


def worker(device: str, data: Path) -> int:
    """Train a few steps as one of two processes; both must end with the same weights."""
    dist.init_process_group("gloo")
    world = World(torch.device(device), dist.get_rank(), dist.get_world_size())
    if device == "cpu":
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as run:
        config = settings(data, Path(run), device)
        recipe = CycleGanRecipe(config, world)
        batches = Batches(recipe.feed, config, world)
        losses: list[float] = []
        for step in range(STEPS):
            batch = Batch(batches.at(step), step, 0.0, seeded("gpu_day", step, world.rank))
            losses.append(float(world.average(recipe.step(batch))["cycle_A"]))
        batches.close()
    sums = [float(net.state_dict()[key].double().sum()) for net in recipe.nets.values() for key in _keys(net)]
    everywhere = world.gather(sums)
    equal = all(found == sums for found in everywhere)
    if world.first:
        row(processes=world.size, device=device, steps=STEPS, equal_weights=equal, cycle_A=losses)
    world.close()
    return 0 if equal and all(loss == loss for loss in losses) else 1


def _keys(net: torch.nn.Module) -> list[str]:
    return [name for name, _ in net.named_parameters()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
