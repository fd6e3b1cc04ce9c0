"""What a CycleGAN step costs, against the plain one: `python -m tools.bench.train`.

The plain step is the authors' (`tools/bench/plain_cyclegan.py`): fp32, NCHW, one pass after the other. Ours
starts with the same weights and is given the same images, first in fp32, whose losses must agree with the
plain ones over the first steps, then with `--amp` where this machine computes bfloat16 fast, and with
`--compile` the networks of the faster one compiled. All take turns within one process; compare the ratios of
one run, never times of different runs. Beside the time on the clock stands the processor's, which holds on a
busy machine too. Then the loader alone: how many images a second it cuts, against what the fastest step
needs. On CUDA the peak of memory is told. Prints a table, then one JSON object as the last line; `--save`
also writes it to tools/bench/results. Exit 1 where losses differ.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from rt.backends.cpu import cpu_threads
from tools.bench.backends import drawn
from tools.bench.plain_cyclegan import PlainCycleGan
from tools.bench.result import facts, finish, parser, table
from train.config import CycleGan
from train.data.feed import Batch, Batches, seeded
from train.data.images import save_image
from train.device import World, computes_bfloat16, open_world
from train.recipes.cyclegan import CycleGanRecipe

COMPARED_STEPS = 2
"""The second step's losses show whether the first one learnt the same. Later ones say nothing: Adam's first
steps go by the sign of the gradient, so the last digits of two orders of summing grow tenfold with each."""
TOLERANCE = 1e-4
"""Largest difference of two losses, as a share of the larger, over the compared steps in fp32."""
IMAGES = 32
TURN = 2
"""Steps of a contender before the next one's turn, beside one before them that does not count."""
LOADER_STEPS = 300
PLAIN = "plain fp32 NCHW"
COLUMNS = ("images_per_s", "ratio", "cpu_s", "ratio_cpu", "peak_mib")
Tensors = dict[str, Tensor]
Step = Callable[[Tensors], Tensors]


def main() -> int:
    """Measure, print, and save where asked."""
    made = parser(__doc__)
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    made.add_argument("--size", type=int, help="side of the crops in pixels; default 128, on CUDA 256")
    made.add_argument("--generator", help="default resnet6, from 256 px on resnet9")
    made.add_argument("--batch", type=int, default=1)
    made.add_argument("--threads", type=int, default=0, help="0: all cores")
    made.add_argument("--seconds", type=float, default=60.0, help="seconds of measuring for all contenders")
    made.add_argument("--compile", action="store_true", help="a contender with compiled networks, too")
    given = made.parse_args()
    torch.set_num_threads(given.threads or cpu_threads())
    world = open_world(given.device)
    size = given.size or (256 if world.device.type == "cuda" else 128)
    with tempfile.TemporaryDirectory() as folder:
        config = CycleGan(
            data=write_domains(Path(folder), size * 286 // 256),
            steps=10**6,
            batch=given.batch,
            crop_size=size,
            load_size=size * 286 // 256,
            generator=given.generator or ("resnet9" if size >= 256 else "resnet6"),
        )
        result = measure(config, world, given.seconds, given.compile)
    finish(result, shown(result), given.save, f"{world.device.type}-{size}")
    if result["largest_loss_difference"] > TOLERANCE:
        print(f"train: losses differ by more than {TOLERANCE:.0e} of themselves", file=sys.stderr)
        return 1
    return 0


def write_domains(folder: Path, side: int) -> Path:
    """Write drawn trainA and trainB, the colours of one exchanged, and return the folder."""
    for domain, channels in (("A", (0, 1, 2)), ("B", (2, 0, 1))):
        target = folder / f"train{domain}"
        target.mkdir()
        for number in range(IMAGES):
            rgb = np.roll(drawn((side, side))[0][:, :, channels], 17 * number, axis=1)
            save_image(target / f"{number:02d}.png", rgb)
    return folder


def measure(config: CycleGan, world: World, seconds: float, compiled: bool = False) -> dict[str, Any]:
    """Return all there is to say of the step's contenders and of the loader."""
    settings = {"ours fp32": config}
    if computes_bfloat16(world.device):
        settings["ours --amp"] = replace(config, amp=True)
    if compiled:
        name, fastest = list(settings.items())[-1]
        settings[f"{name.removesuffix(' fp32')} --compile"] = replace(fastest, compile=True)
    recipes = {name: CycleGanRecipe(changed, world) for name, changed in settings.items()}
    feed = next(iter(recipes.values())).feed
    batches = Batches(feed, config, world)
    tensors = [batches.at(step) for step in range(COMPARED_STEPS)]
    batches.close()
    rng = seeded("bench")
    simple = PlainCycleGan(recipes["ours fp32"].nets, config.learning_rate)
    steps: dict[str, Step] = {PLAIN: lambda given: simple.step(given["A"], given["B"], rng)}
    for name, recipe in recipes.items():
        steps[name] = ours(recipe)
    difference = compare_losses(steps[PLAIN], steps["ours fp32"], tensors)
    rows = take_turns(steps, tensors, world, seconds, config.batch)
    loaded = load(Batches(feed, config, world), config.batch)
    return {
        **facts("train"),
        "device": world.device.type,
        "generator": config.generator,
        "size": config.crop_size,
        "batch": config.batch,
        "threads_used": torch.get_num_threads(),
        "largest_loss_difference": float(f"{difference:.2g}"),
        "tolerance": TOLERANCE,
        "rows": rows,
        "loader_images_per_s": round(loaded, 1),
        "loader_ratio": round(loaded / max(row["images_per_s"] for row in rows), 1),
    }


def ours(recipe: CycleGanRecipe) -> Step:
    """Return the recipe's step, as the loop calls it."""
    numbers = iter(range(10**9))

    def step(tensors: Tensors) -> Tensors:
        number = next(numbers)
        return recipe.step(Batch(tensors, number, 0.0, seeded("bench", number)))

    return step


def compare_losses(plain: Step, step: Step, tensors: list[Tensors]) -> float:
    """Return the largest difference of a loss over the given batches, as a share of the larger."""
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    largest = 0.0
    for given in tensors:
        wanted, found = plain(given), step(given)
        for name, loss in wanted.items():
            one, other = loss.item(), found[name].item()
            largest = max(largest, abs(one - other) / max(abs(one), abs(other)))
    torch.backends.cudnn.allow_tf32 = tf32
    return largest


def take_turns(
    steps: dict[str, Step], tensors: list[Tensors], world: World, seconds: float, batch: int
) -> list[dict[str, Any]]:
    """Return a row for each contender: images/s, its processor's seconds a step, ratios to the plain one."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    peaks = dict.fromkeys(steps, 0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not all(times.values()):
        for name, step in steps.items():
            _reset_peak(world)
            for turn in range(TURN + 1):
                _wait(world)
                begin, begin_cpu = time.perf_counter(), time.process_time()
                step(tensors[turn % len(tensors)])
                _wait(world)
                if turn:
                    times[name].append((time.perf_counter() - begin, time.process_time() - begin_cpu))
            peaks[name] = max(peaks[name], _peak_bytes(world))
    medians = {name: torch.tensor(found).median(dim=0).values.tolist() for name, found in times.items()}
    return [
        {
            "step": name,
            "images_per_s": round(batch / clock_s, 3),
            "ratio": round(medians[PLAIN][0] / clock_s, 3),
            "cpu_s": round(cpu_s, 3),
            "ratio_cpu": round(medians[PLAIN][1] / cpu_s, 3),
            "peak_mib": round(peaks[name] / 2**20) or None,
            "steps": len(times[name]),
        }
        for name, (clock_s, cpu_s) in medians.items()
    ]


def _wait(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.synchronize()


def _reset_peak(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _peak_bytes(world: World) -> int:
    """Return the most memory one contender's turn held beyond what all hold all the time."""
    if world.device.type != "cuda":
        return 0
    return torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()


def load(batches: Batches, batch: int) -> float:
    """Return the images a second that the loader cuts when nothing else is done."""
    batches.at(0)
    begin = time.perf_counter()
    for step in range(1, LOADER_STEPS + 1):
        batches.at(step)
    seconds = time.perf_counter() - begin
    batches.close()
    return LOADER_STEPS * batch / seconds


def shown(result: dict[str, Any]) -> Table:
    """Return the table of a result."""
    rows = [
        [row["step"], *("-" if row[key] is None else row[key] for key in COLUMNS)] for row in result["rows"]
    ]
    rows.append(["loader alone", result["loader_images_per_s"], "", "", "", ""])
    title = (
        f"CycleGAN step, {result['generator']}, {result['size']} px, batch {result['batch']}, "
        f"{result['device']}; losses differ by at most {result['largest_loss_difference']:.1e}; "
        f"the loader gives {result['loader_ratio']} times what the fastest step takes"
    )
    return table(title, ("step", *COLUMNS), rows)


if __name__ == "__main__":
    sys.exit(main())
