"""The training loop: budget, steps, checkpoints, validation, sample sheets, progress."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rt.backends.cpu import cpu_threads
from train.checkpoint import (
    CHECKPOINT,
    Checkpoints,
    load_checkpoint,
    load_weights,
    pool_state,
    read_facts,
    training_state,
)
from train.config import Training, check_same_settings, settings_json
from train.data.feed import Batch, Batches, seeded
from train.device import World, computes_bfloat16, describe_precision, describe_world, open_world
from train.environment import describe_environment
from train.errors import RunError
from train.facts import RunFacts
from train.metrics.pretrained import DISTANCES, FEW, judges
from train.metrics.translation import IDENTITY_LEVELS
from train.pace import TOLD_AFTER, describe_pace
from train.recipes import Recipe, make_recipe
from train.report.history import History

SETTINGS = "settings.json"
NOTED_EVERY = 20
"""Steps between lines of the history, beside the first step's."""
LOOKED_AT_EVERY = 10
"""Steps between looks at the losses on a GPU, which each wait for it."""
DIVERGED = 1e6
"""A loss beyond this will not come back."""


@dataclass(frozen=True)
class Progress:
    """Where a run is, for the display."""

    step: int
    done: float
    """How much of the run is done, in [0, 1]."""
    images_per_s: float
    losses: dict[str, float]


def train(
    config: Training,
    show: Callable[[Progress], None],
    say: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train to the end of the budget, or until `stop()` is true after a step; save the checkpoint either way.

    Returns True where the budget was used up, False where the run was stopped before.

    A run is resumed bit for bit on the same machine: whatever a step draws comes from generators seeded by
    (seed, step), so nothing but the tensors of the checkpoint and the counters has to be restored.

    Raises:
        DataError, RunError: before training starts, where images or the run folder do not fit; later,
            where the losses diverge or a checkpoint cannot be written.
    """
    torch.set_num_threads(config.threads or cpu_threads())
    world = open_world(config.device)
    try:
        _check_run(config)
        loop = _Loop(config, world, show, say if world.first else lambda text: None)
        loop.train(stop)
    finally:
        world.close()
    return loop.done >= 1.0


class _Loop:
    def __init__(
        self, config: Training, world: World, show: Callable[[Progress], None], say: Callable[[str], None]
    ) -> None:
        self.config, self.world, self.show, self.say = config, world, show, say
        self.recipe = make_recipe(config, world)
        say(describe_world(world, config.device))
        if config.amp and not computes_bfloat16(world.device):
            say("precision: float32, not --amp: no bfloat16 instructions found here, it would be emulated")
        feed = self.recipe.feed
        counts = ", ".join(f"{count} in {name}" for name, count in feed.counts.items())
        say(f"images: {counts}, short side {config.load_size} px")
        self.step, self.elapsed_s = 0, 0.0
        self.progress = 0.0
        self.nothing_left = False
        self.checkpointed_s = self.looked_s = self.began_s = 0.0
        self.history: History | None = None
        self.best: float | None = None
        self.since_best = 0
        self.look_s = 0.0
        self.paced = 0
        self.environment = {**describe_environment(), "precision": describe_precision(config.amp, world)}
        self.checkpoints = Checkpoints(config.run, config.keep)
        self.images_per_step = config.batch * config.accumulate * world.size
        self.steps = config.steps
        if config.epochs is not None:
            self.steps = math.ceil(config.epochs * feed.length / self.images_per_step)
        self.batches = Batches(feed, config, world)

    @property
    def done(self) -> float:
        """How much of the run is done, in [0, 1]."""
        if self.steps is not None:
            return min(1.0, self.step / self.steps)
        if self.config.minutes is None:
            return 1.0  # there is nothing to train: see `Paint`
        # The last validation counts, too: it takes about as long as the longest so far.
        budget_s = 60 * self.config.minutes
        return min(1.0, self.elapsed_s / max(budget_s - self.look_s, 0.5 * budget_s))

    def train(self, stop: Callable[[], bool]) -> None:
        """Prepare the run's folder, then step until the budget is used up or `stop()` is true."""
        try:
            self._begin()
            self._run(stop)
        finally:
            self.batches.close()

    def _begin(self) -> None:
        config = self.config
        if config.start_from is not None and not config.resume:
            facts = load_weights(config.start_from / CHECKPOINT, self.recipe, config.recipe)
            told = {"steps": facts.step, "minutes": facts.minutes}
            self.environment["started_from"] = {**told, **facts.environment}
        if config.resume:
            self._restore()
            self.say(f"resumed at step {self.step}, {self.elapsed_s / 60:.1f} minutes trained")
        if self.world.first:
            self.checkpoints.check_space(_checkpoint_bytes(self.recipe, config))
            _open_run(config)

    def _run(self, stop: Callable[[], bool]) -> None:
        self.history = History(self.config.run, self.step) if self.world.first else None
        self.checkpointed_s = self.looked_s = self.elapsed_s
        self.began_s = time.perf_counter() - self.elapsed_s
        try:
            while not self._over(stop):
                step_started = time.perf_counter()
                losses = self._step()
                self.elapsed_s = time.perf_counter() - self.began_s
                self._tell_pace(time.perf_counter() - step_started)
                if self._looks_at_losses():
                    self._tell(losses, self.images_per_step / (time.perf_counter() - step_started))
                self._save_when_due()
            if self.progress >= 1.0:
                self._look()
                self._report("finished")
                if self.world.first:
                    self.say(self.checkpoints.describe())
            else:  # a run that is interrupted is not to wait for a validation
                self._save()
                self._report(f"stopped at {self.progress:.0%}")
        except RunError as error:
            with suppress(RunError):  # a disk that has no room for a checkpoint may have none for this
                self._report(f"stopped: {error}")
            raise
        finally:
            if self.history is not None:
                self.history.close()

    def _tell_pace(self, step_s: float) -> None:
        """Say after a few steps what the budget is worth."""
        self.paced += 1
        if self.paced != TOLD_AFTER or self.config.recipe == "paint":
            return
        steps = self.steps
        if steps is None:
            steps = max(self.step, round(self.step / max(self.done, 1e-9)))
            if self.config.minutes is not None:
                steps = self.step + max(0, int((60 * self.config.minutes - self.elapsed_s) / step_s))
        self.say(describe_pace(self.config, step_s, steps, self.images_per_step, self.recipe.feed.length))

    def _over(self, stop: Callable[[], bool]) -> bool:
        """Say, in every process alike, whether the run is at its end; the first process decides."""
        self.progress, stopped = self.world.agree((self.done, float(stop())))
        return self.progress >= 1.0 or bool(stopped)

    def _step(self) -> dict[str, Tensor]:
        key = (self.config.seed, "step", self.step, self.world.rank)
        torch.manual_seed(seeded(*key, "dropout").initial_seed())
        batch = Batch(self.batches.at(self.step), self.step, self.progress, seeded(*key))
        losses = self.recipe.step(batch)
        self.step += 1
        return losses

    def _looks_at_losses(self) -> bool:
        """Say whether this step's losses are looked at: on a GPU that waits for it, so not every time."""
        return self.world.device.type == "cpu" or self.step % LOOKED_AT_EVERY == 0 or self._due()

    def _tell(self, losses: dict[str, Tensor], images_per_s: float) -> None:
        """Show and note the losses of a step.

        Raises:
            RunError: one of them is no number, or beyond all bounds.
        """
        found = {name: loss.item() for name, loss in losses.items()}
        if bad := [name for name, loss in found.items() if not abs(loss) < DIVERGED]:
            parts = ", ".join(f"{name} {loss:.4g}" for name, loss in found.items())
            raise self._diverged(f"loss {bad[0]} is {found[bad[0]]:.4g} ({parts})")
        self.show(Progress(self.step, self.done, images_per_s, found))
        if self.history is not None and (self.step == 1 or self.step % NOTED_EVERY == 0):
            self.history.losses(self.step, self.elapsed_s, images_per_s, found)

    def _diverged(self, what: str) -> RunError:
        checkpoint = self.config.run / CHECKPOINT
        kept = "; no checkpoint was written yet"
        if checkpoint.is_file():
            kept = f"; the last good checkpoint, of step {read_facts(checkpoint).step}, is kept: {checkpoint}"
        return RunError(
            f"training diverged at step {self.step}: {what}{kept}; "
            "start a new --run with a smaller --learning-rate"
        )

    def _due(self) -> bool:
        """Say whether a look or a checkpoint is due."""
        steps = self.config.checkpoint_steps
        return bool(
            self.elapsed_s - self.looked_s > 60 * self.config.sample_minutes
            or self.elapsed_s - self.checkpointed_s > 60 * self.config.checkpoint_minutes
            or (steps and self.step % steps == 0)
        )

    def _save_when_due(self) -> None:
        look = self.elapsed_s - self.looked_s > 60 * self.config.sample_minutes
        due, look_due = self.world.agree((float(self._due()), float(look)))
        if look_due:
            self._look()
        elif due:
            self._save()

    def _save(self, best: bool = False) -> None:
        """Write a checkpoint, unless a weight is no number any more.

        A run at its end that is resumed computes nothing, and its checkpoint stays as it is; but one that was
        stopped before, and is ended where it is, is looked at for the first time and may be the best.
        """
        self.checkpointed_s = self.elapsed_s
        others = self.world.gather(pool_state(self.recipe, self._pool_suffix) if self.world.rank else {})
        if not self.world.first or (self.nothing_left and not best):
            return
        for name, net in self.recipe.nets.items():
            if not all(bool(weight.isfinite().all()) for weight in net.state_dict().values()):
                raise self._diverged(f"a weight of {name} is no number")
        tensors = training_state(self.recipe)
        for pools in others:
            tensors |= pools
        self.checkpoints.save(self.step, tensors, self._facts(), best)

    @property
    def _pool_suffix(self) -> str:
        """What tells this process's pools from the others' in a checkpoint."""
        return f"@{self.world.rank}" if self.world.rank else ""

    def _facts(self) -> RunFacts:
        return RunFacts.from_json(
            {
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "recipe": self.config.recipe,
                "settings": settings_json(self.config),
                "environment": self.environment,
                "images": dict(self.recipe.feed.counts),
                "processes": self.world.size,
                "best": self.best,
                "aim": self.recipe.aim.metric,
                "since_best": self.since_best,
                **self.recipe.facts,
            }
        )

    def _look(self) -> None:
        """Validate, write a checkpoint (kept if it is the best), a sample sheet and the report."""
        metrics, better, began_s = None, False, time.perf_counter()
        if self.history is not None:  # the first process alone: the others wait in the next exchange
            metrics = self.recipe.validate()
        if metrics is not None:
            found = float(metrics[self.recipe.aim.metric]["translated"])
            better = self.recipe.aim.beats(found, self.best)
            self.best = found if better else self.best
            self.since_best = 0 if better else self.since_best + 1
        self._save(better)
        if self.history is not None:
            self._show(metrics, better)
        self.look_s = max(self.look_s, time.perf_counter() - began_s)
        # From its end: one that takes longer than the minutes between two would be due again at once.
        self.looked_s = self.checkpointed_s = time.perf_counter() - self.began_s

    def _show(self, metrics: dict[str, Any] | None, better: bool) -> None:
        """Note and say what was found, and write a sample sheet and the report."""
        assert self.history is not None
        if metrics is not None:
            self.history.validation(self.step, self.elapsed_s, metrics, better)
            self.say(describe_validation(self.step, self.recipe.aim.metric, metrics, better, self.since_best))
        for name, levels in self.recipe.changes().items():
            if levels < IDENTITY_LEVELS:
                self.say(
                    f"{name} changes its images by {levels:.1f} of 255 levels: so far it is the identity"
                )
        self.say(f"sample sheet {self.history.sheet(self.step, self.elapsed_s, self.recipe.sheet())}")
        self._report(f"running, {self.progress:.0%}")

    def _report(self, state: str) -> None:
        if self.history is not None:
            settings = {"recipe": self.config.recipe, **settings_json(self.config)}
            self.history.report(state, settings, self.environment)

    def _restore(self) -> None:
        facts = load_checkpoint(self.config.run / CHECKPOINT, self.recipe, self._pool_suffix)
        before = facts.processes
        if before != self.world.size:
            raise RunError(
                f"cannot resume {self.config.run} with {self.world.size} process(es): "
                f"the run was started with {before}"
            )
        recorded = facts.to_json()
        for name, value in self.recipe.facts.items():
            if recorded.get(name, value) != value:
                raise RunError(
                    f"cannot resume {self.config.run}: its {name} is {json.dumps(value)}, "
                    f"the run was started with {json.dumps(recorded[name])}; give a new --run"
                )
        self.step, self.elapsed_s = facts.step, facts.elapsed_s
        # Another figure steered the CycleGANs of videobrush 0.1: its best is none of this one's.
        unnamed = "swd" if self.config.recipe == "cyclegan" else self.recipe.aim.metric
        if recorded.get("aim", unnamed) == self.recipe.aim.metric:
            self.best = facts.best
        self.since_best = facts.since_best
        self.nothing_left = self.done >= 1
        if self.nothing_left:
            self.environment = dict(facts.environment)
            return
        commands, command = facts.command, self.environment["command"]
        if not commands.endswith(command):
            commands = f"{commands} && {command}"
        earlier, precision = facts.precision, self.environment["precision"]
        if earlier is not None and not earlier.endswith(precision):
            precision = f"{earlier}, then {precision}"
        self.environment = {**facts.environment, "command": commands, "precision": precision}


def describe_validation(
    step: int, metric: str, metrics: dict[str, Any], best: bool, since_best: int = 0
) -> str:
    """Return the line said after a validation: the figure the best is chosen by, its floor and ceiling."""
    found = metrics[metric]
    told = f"validation at step {step}: {metric} {found['translated']:.4g}"
    if "floor" in found:
        told += f" (floor {found['floor']:.4g}, ceiling {found['ceiling']:.4g})"
        if metric in DISTANCES and not judges(found):
            told += f", {FEW}"
    if best:
        return f"{told}, the best so far"
    return told + (f", no better for {since_best} validations" if since_best > 1 else "")


def _checkpoint_bytes(recipe: Recipe, config: Training) -> int:
    """Return about how long a checkpoint gets: weights, two moments of each that learns, full pools."""
    weights: int = sum(
        4 * tensor.numel() for net in recipe.nets.values() for tensor in net.state_dict().values()
    )
    learning: int = sum(
        parameter.numel()
        for optimizer in recipe.optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
    pooled = sum(pool.capacity for pool in recipe.pools.values()) * 3 * config.crop_size**2
    return weights + 8 * learning + 4 * pooled


def _check_run(config: Training) -> None:
    """Refuse to train over a run, to resume none, and to resume one with other settings."""
    checkpoint = config.run / CHECKPOINT
    if config.resume:
        if not checkpoint.is_file():
            raise RunError(f"nothing to resume in {config.run}: no {CHECKPOINT}; leave out --resume")
        facts = read_facts(checkpoint)
        if facts.recipe != config.recipe:
            raise RunError(f"cannot resume {config.run}: it is a run of {facts.recipe}")
        check_same_settings(config, facts.settings)
    elif checkpoint.exists():
        raise RunError(
            f"{config.run} already holds a run: add --resume to continue it, or give another --run"
        )


def _open_run(config: Training) -> None:
    """Make the run's folder and write its settings into it."""
    try:
        config.run.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"recipe": config.recipe, **settings_json(config)}, indent=2)
        (config.run / SETTINGS).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"run folder {config.run} cannot be written: {error.strerror}") from None
