"""The training loop: batches, schedule, checkpoints, sample sheets, progress."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from rt.backends.cpu import cpu_threads
from rt.frame import Rgb
from train.checkpoint import load_checkpoint, load_weights, read_facts, save_checkpoint
from train.config import CycleGan, check_same_settings, settings_json
from train.data import PictureSet, load_pictures, to_rgb, to_tensor, write_picture
from train.environment import describe_environment
from train.errors import RunError
from train.recipes.cyclegan import CycleGanRecipe

CHECKPOINT = "checkpoint.safetensors"
SETTINGS = "settings.json"
SAMPLES = 6
"""Pictures of each domain on a sample sheet."""


@dataclass(frozen=True)
class Progress:
    """Where a run is, for the display."""

    step: int
    done: float
    """How much of the run is done, in [0, 1]."""
    images_per_s: float
    losses: dict[str, float]


def train_cyclegan(
    config: CycleGan,
    show: Callable[[Progress], None],
    say: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train to the end of the budget, or until `stop()` is true after a step; save the checkpoint either way.

    Returns True where the budget was used up, False where the run was stopped before.

    A run is resumed bit for bit on the same machine: step s draws its crops from a generator seeded by
    (seed, s), so nothing but the tensors of the checkpoint and the counters has to be restored.

    Raises:
        DataError, RunError: before training starts, where pictures or the run folder do not fit.
    """
    torch.set_num_threads(config.threads or cpu_threads())
    _check_run(config)
    set_A = load_pictures(config.data / "trainA", config.load_size)
    set_B = load_pictures(config.data / "trainB", config.load_size)
    say(f"pictures: {len(set_A)} of A, {len(set_B)} of B, short side {config.load_size} px")
    loop = _Loop(config, set_A, set_B)
    if config.start_from is not None and not config.resume:
        loop.start_from(config.start_from)
    _open_run(config)
    if config.resume:
        loop.restore()
        say(f"resumed at step {loop.step}, {loop.elapsed_s / 60:.1f} minutes trained")
    loop.train(show, say, stop)
    return loop.done >= 1.0


class _Loop:
    def __init__(self, config: CycleGan, set_A: PictureSet, set_B: PictureSet) -> None:
        self.config, self.set_A, self.set_B = config, set_A, set_B
        self.recipe = CycleGanRecipe(config)
        self.step, self.elapsed_s = 0, 0.0
        self.environment = describe_environment()
        self.fixed_A, self.fixed_B = (_fixed_pictures(config, domain) for domain in "AB")

    def start_from(self, run: Path) -> None:
        facts = load_weights(run / CHECKPOINT, self.recipe)
        told = {"steps": facts["step"], "minutes": round(facts["elapsed_s"] / 60, 1)}
        self.environment["started_from"] = {**told, **facts["environment"]}

    def restore(self) -> None:
        facts = load_checkpoint(self.config.run / CHECKPOINT, self.recipe)
        self.step, self.elapsed_s = facts["step"], facts["elapsed_s"]
        commands, command = facts["environment"]["command"], self.environment["command"]
        if not commands.endswith(command):
            commands = f"{commands} && {command}"
        self.environment = {**facts["environment"], "command": commands}

    @property
    def done(self) -> float:
        if self.config.steps is not None:
            return min(1.0, self.step / self.config.steps)
        assert self.config.minutes is not None
        return min(1.0, self.elapsed_s / 60 / self.config.minutes)

    def train(
        self, show: Callable[[Progress], None], say: Callable[[str], None], stop: Callable[[], bool]
    ) -> None:
        config = self.config
        last_checkpoint_s = last_sample_s = self.elapsed_s
        started = time.perf_counter() - self.elapsed_s
        with SummaryWriter(str(config.run / "events")) as board:
            while self.done < 1.0 and not stop():
                step_started = time.perf_counter()
                losses = self._train_step()
                self.elapsed_s = time.perf_counter() - started
                rate = config.batch / (time.perf_counter() - step_started)
                show(Progress(self.step, self.done, rate, losses))
                if self.step % 20 == 0:
                    for name, loss in losses.items():
                        board.add_scalar(name, loss, self.step)
                if self.elapsed_s - last_checkpoint_s > 60 * config.checkpoint_minutes:
                    self.save()
                    last_checkpoint_s = self.elapsed_s
                if self.elapsed_s - last_sample_s > 60 * config.sample_minutes:
                    say(f"sample sheet {self.sample()}")
                    last_sample_s = self.elapsed_s
        self.save()
        say(f"sample sheet {self.sample()}")

    def _train_step(self) -> dict[str, float]:
        config = self.config
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        real_A = self.set_A.crops(config.batch, config.crop_size, rng)
        real_B = self.set_B.crops(config.batch, config.crop_size, rng)
        losses = {
            name: loss.item()
            for name, loss in self.recipe.step(real_A, real_B, self.step, self.done, rng).items()
        }
        if bad := [name for name, loss in losses.items() if not math.isfinite(loss)]:
            raise RunError(
                f"training diverged at step {self.step}: loss {bad[0]} is {losses[bad[0]]}; "
                "start a new --run with a smaller --learning-rate"
            )
        self.step += 1
        return losses

    def save(self) -> None:
        facts: dict[str, Any] = {
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "recipe": "cyclegan",
            "settings": settings_json(self.config),
            "environment": self.environment,
            "pictures": {"trainA": len(self.set_A), "trainB": len(self.set_B)},
        }
        save_checkpoint(self.config.run / CHECKPOINT, self.recipe, facts)

    @torch.no_grad()
    def sample(self) -> Path:
        """Write a sheet: rows of real_A, fake_B, rec_A, then real_B, fake_A, rec_B, with averaged weights."""
        to_B, to_A = self.recipe.ema_G_A, self.recipe.ema_G_B
        rows = []
        for pictures, there, back in ((self.fixed_A, to_B, to_A), (self.fixed_B, to_A, to_B)):
            reals = torch.stack([to_tensor(rgb) for rgb in pictures])
            fakes = there(reals)
            rows += [_strip(reals), _strip(fakes), _strip(back(fakes))]
        path = self.config.run / f"sample-{self.step:07d}.jpg"
        write_picture(path, np.concatenate(rows, axis=0))
        return path


def _strip(pictures: torch.Tensor) -> Rgb:
    return np.concatenate([to_rgb(picture) for picture in pictures], axis=1)


def _fixed_pictures(config: CycleGan, domain: str) -> list[Rgb]:
    """Return the centre crops every sample sheet shows: test pictures where there are any."""
    folder = config.data / f"test{domain}"
    if not folder.is_dir():
        folder = config.data / f"train{domain}"
    pictures = load_pictures(folder, config.load_size, limit=SAMPLES).pictures
    side = config.load_size - config.load_size % 8
    cropped = []
    for rgb in pictures:
        top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        cropped.append(rgb[top : top + side, left : left + side])
    return cropped


def _check_run(config: CycleGan) -> None:
    """Refuse to train over a run, to resume none, and to resume one with other settings."""
    checkpoint = config.run / CHECKPOINT
    if config.resume:
        if not checkpoint.is_file():
            raise RunError(f"nothing to resume in {config.run}: no {CHECKPOINT}; leave out --resume")
        check_same_settings(config, read_facts(checkpoint)["settings"])
    elif checkpoint.exists():
        raise RunError(
            f"{config.run} already holds a run: add --resume to continue it, or give another --run"
        )


def _open_run(config: CycleGan) -> None:
    """Make the run's folder and write its settings into it."""
    try:
        config.run.mkdir(parents=True, exist_ok=True)
        text = json.dumps(settings_json(config), indent=2)
        (config.run / SETTINGS).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"run folder {config.run} cannot be written: {error.strerror}") from None
