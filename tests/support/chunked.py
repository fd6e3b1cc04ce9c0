"""Batches worked on in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rt.batch.plan import make_plan
from rt.batch.tasks import Tasks
from rt.batch.work import Fact, Task, work
from rt.commands import Batch
from rt.job import run_job
from rt.pipeline import Stop


def translate(asked: Batch, perform: Callable[[Task], Fact] = work) -> tuple[list[Fact], list[Task]]:
    """Work on all of a batch, one task after the other; return how its items ended, and the tasks."""
    tasks, worked, facts = Tasks(make_plan(asked).items), list[Task](), list[Fact]()
    while (task := tasks.take()) is not None:
        worked.append(task)
        if (ended := tasks.ended(task, perform(task))) is not None:
            facts.append(ended)
    return facts, worked


def run_alone(asked: Batch, output: Path) -> None:
    """Translate the only input of a batch as `videobrush run` does."""
    (item,) = make_plan(asked).items
    run_job(replace(item.asked(), output=(str(output),), overwrite=True), Stop())
