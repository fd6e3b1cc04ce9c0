"""Work for a batch's processes that goes wrong on purpose."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rt.batch.plan import Item
from rt.batch.work import Fact, Task, work


def note_and_die(task: Task) -> Fact:
    """Die by SIGKILL for `poison`, the first time for `unlucky`; note every try beside the output."""
    item = task.item
    item.output.parent.mkdir(parents=True, exist_ok=True)
    tries = item.output.with_suffix(".tries")
    count = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (count + 1))
    if item.source.stem == "poison" or (item.source.stem == "unlucky" and count == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    Path(item.output).write_text("whole")
    return Fact(item.key, str(item.source), item.style, str(item.output), "done")


def carried_here(
    items: Iterable[Item],
    slots: int,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, Item, int, int | None], object] = lambda *_: None,
    **_: Any,
) -> Iterator[Fact]:
    """Do what `rt.batch.local.carry` does, in this process: nothing is started, which takes seconds."""
    for item in items:
        if cancelled():
            return

        def report(frames: int, total: int | None, item: Item = item) -> None:
            on_progress(0, item, frames, total)

        yield work(item, None, report, cancelled)
