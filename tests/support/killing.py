"""Kill a training run at each of its file operations; continue; compare.

`python -m tests.support.killing DATA FOLDER FIRST STEP` kills at operations FIRST, FIRST + STEP, ... and
prints one JSON object: the first operation the run did not reach, and where the continued run differed.
A process of its own: its children are forked before PyTorch has threads.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  two seconds, which every child's first optimiser would take
from safetensors.torch import load_file, save_file

from tests.support.training import differing, tiny, train_tiny
from train import checkpoint
from train.checkpoint import CHECKPOINT
from train.config import Cgan, Training

WATCHED = (
    (Path, ("replace", "hardlink_to", "unlink", "write_text", "write_bytes", "mkdir")),
    (os, ("fsync",)),
)


def main() -> None:
    """Kill, continue and compare until a run gets through unharmed."""
    data, folder = map(Path, sys.argv[1:3])
    first, step = map(int, sys.argv[3:])
    straight = folder / "straight"
    assert in_child(lambda: train_run(data, straight)) == 0
    wanted, different = load_file(straight / CHECKPOINT), list[int]()
    for place in itertools.count(first, step):
        run = folder / f"killed-{place}"
        status = in_child(partial(train_killed, data, run, place))
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        resume = (run / CHECKPOINT).is_file()
        assert in_child(partial(train_run, data, run, resume=resume)) == 0
        if differing(load_file(run / CHECKPOINT), wanted) or any(run.glob("*.part")):
            different.append(place)
        shutil.rmtree(run)
    sys.stdout.write(json.dumps({"places": place, "different": different}) + "\n")


def train_killed(data: Path, run: Path, place: int) -> None:
    """Train until killed at a file operation."""
    die_at(place)
    train_run(data, run)


def settings(data: Path, run: Path, **changes: Any) -> Training:
    """Return a run of two checkpoints that keeps one beside the best."""
    return tiny(Cgan, data, run, steps=3, checkpoint_steps=2, keep=1, ema=0.9, **changes)


def train_run(data: Path, run: Path, **changes: Any) -> None:
    """Train to the end."""
    train_tiny(settings(data, run, **changes))


def die_at(place: int) -> None:
    """Let this process be killed before file operation number `place`; half of a checkpoint is written."""
    left = [place]

    def dying(operation: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return operation(*arguments, **named)

        return watched

    def half_saved(tensors: Any, path: Path, metadata: dict[str, str]) -> None:
        if left[0] == 0:
            save(tensors, path, metadata)
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        save(tensors, path, metadata)

    save = save_file
    setattr(checkpoint, "save_file", half_saved)  # noqa: B010  it is no name the module offers
    for owner, names in WATCHED:
        for name in names:
            setattr(owner, name, dying(getattr(owner, name)))


def in_child(work: Callable[[], object]) -> int:
    """Do the work in a forked process and return its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main()
