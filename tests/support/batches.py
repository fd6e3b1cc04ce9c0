"""Work for a batch's processes that goes wrong on purpose."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
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


def work_where_it_is_told(task: Task) -> Fact:
    """Note beside the output which machine of the cluster this is, and work once `go` is there too."""
    import ray

    folder = task.item.output.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"on-{ray.get_runtime_context().get_node_id()}").touch()
    until_s = time.monotonic() + 120
    while not (folder / "go").exists() and time.monotonic() < until_s:
        time.sleep(0.02)
    return work(task, attempt=secrets.token_hex(4))


class Lost(Exception):
    """What the Ray below raises where a machine is lost."""


class Crashed(Exception):
    """What it raises where a process dies."""


class Broken(Exception):
    """What it raises where a task cannot be begun."""


class InlineRay:
    """Ray as far as `rt.batch.ray` uses it, in this process; `fails(task)` may name an attempt's error."""

    __version__ = "inline"
    exceptions = SimpleNamespace(
        NodeDiedError=Lost,
        ObjectLostError=Lost,
        WorkerCrashedError=Crashed,
        OutOfMemoryError=Crashed,
        RayTaskError=Broken,
        RuntimeEnvSetupError=Broken,
    )

    def __init__(self, fails: Callable[[Task], type[Exception] | None] = lambda task: None) -> None:
        self.fails = fails
        self.addresses = ["here"]
        self.asked: dict[str, Any] = {}
        self.handed: dict[object, tuple[Callable[[Task], Fact], Task]] = {}
        self.most = self.ended = 0
        self.cancelled: list[object] = []
        self.waits = True
        """Whether what is handed over ends."""

    def init(self, address: str, **_: object) -> None:
        if address != "auto":
            raise ConnectionError(f"nobody answers\nat {address}")

    def shutdown(self) -> None:
        self.ended += 1

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "NodeManagerAddress": address} for address in self.addresses]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": 1.0}

    def remote(self, **asked: Any) -> Callable[[Callable[[Task], Fact]], Any]:
        self.asked = asked

        def handed_over(perform: Callable[[Task], Fact], task: Task) -> object:
            reference = object()
            self.handed[reference] = perform, task
            return reference

        return lambda perform: SimpleNamespace(remote=lambda task: handed_over(perform, task))

    def wait(self, references: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(references))
        return (references[:1], references[1:]) if self.waits else ([], references)

    def get(self, reference: Any) -> Fact:
        perform, task = self.handed.pop(reference)
        if (error := self.fails(task)) is not None:
            raise error("trace\nModuleNotFoundError: no rt")
        found: Fact = perform(task)
        return found

    def cancel(self, reference: Any, force: bool) -> None:
        assert force
        self.cancelled.append(reference)
