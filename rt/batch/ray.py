"""Tasks carried to the machines of a Ray cluster, as Ray Core tasks."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from rt.batch.local import DEATHS, KILLS, Progress
from rt.batch.plan import Item, absolute
from rt.batch.tasks import Tasks
from rt.batch.work import Fact, LoadedBackends, Task, failed, work
from rt.errors import VideobrushError
from rt.install import install_hint
from rt.log import LOG
from rt.terminal import ENDINGS

AUTO = "auto"
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_WAIT_S = 0.2
_AHEAD = 2
"""So many tasks more than the cluster has room for are handed to it."""


def carry_by_ray(
    address: str,
    cpus: float,
    gpus: float,
    items: Iterable[Item],
    slots: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda slot, item, frames, total: None,
    perform: Callable[[Task], Fact] | None = None,
    on_begin: Callable[[Item], None] = lambda item: None,
    dropped: Callable[[], bool] | None = None,
    again: Callable[[Fact], bool] = lambda fact: False,
) -> Iterator[Fact]:
    """Yield how each item ended; see `rt.batch.local.carry`, whose place it takes.

    The cluster decides how many tasks run at once. What ran on a machine that is lost is tried again on
    another; a task of which three processes died is given up. Only paths and facts cross machines, and
    `on_progress` is never called.

    Raises:
        VideobrushError: there is no such cluster, or it must not be used without a token.
    """
    items = list(items)
    if not items:
        return
    with _connected(address) as ray:
        carrier = _Carrier(ray, items, cpus, gpus, perform or _work)
        try:
            yield from carrier.facts(cancelled, dropped or cancelled, on_begin, again)
        finally:
            carrier.drop()


class _Carrier:
    """The tasks that the cluster has, and what becomes of them."""

    def __init__(
        self, ray: Any, items: list[Item], cpus: float, gpus: float, perform: Callable[[Task], Fact]
    ) -> None:
        self._ray, self._cpus, self._gpus = ray, cpus, gpus
        self._given = {item.key: item for item in items}
        self._tasks = Tasks(_rooted(item) for item in items)
        # Ray's own retries count neither the deaths of one task nor leave its name out of it.
        wanted = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0}
        self._remote = ray.remote(**wanted)(perform)
        self._running: dict[Any, Task] = {}
        self._deaths: Counter[tuple[str, str, int]] = Counter()
        self._begun: set[str] = set()

    def facts(
        self,
        cancelled: Callable[[], bool],
        dropped: Callable[[], bool],
        on_begin: Callable[[Item], None],
        again: Callable[[Fact], bool],
    ) -> Iterator[Fact]:
        while True:
            if cancelled():
                self._tasks.close()
            while len(self._running) < self._room() and (task := self._tasks.poll()) is not None:
                if task.item.key not in self._begun:
                    self._begun.add(task.item.key)
                    on_begin(self._given[task.item.key])
                self._submit(task)
            if not self._running or dropped():
                return
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_WAIT_S)
            for reference in ready:
                task = self._running.pop(reference)
                fact = self._result(reference, task)
                if fact is None or (again(fact) and not cancelled()):
                    self._submit(task)
                elif (ended := self._tasks.ended(task, fact)) is not None:
                    item = self._given[ended.key]
                    yield replace(ended, source=str(item.source), output=str(item.output))

    def drop(self) -> None:
        """End what runs."""
        self._tasks.close()
        for reference in self._running:
            with suppress(Exception):  # it has ended meanwhile
                self._ray.cancel(reference, force=True)
        self._running.clear()

    def _submit(self, task: Task) -> None:
        self._running[self._remote.remote(task)] = task

    def _room(self) -> int:
        """How many tasks the cluster may have now; it grows and shrinks."""
        found = self._ray.cluster_resources()
        room = found.get("CPU", 0) / self._cpus
        if self._gpus:
            room = min(room, found.get("GPU", 0) / self._gpus)
        return int(room) + _AHEAD

    def _result(self, reference: Any, task: Task) -> Fact | None:
        """Return how a task ended; None where its process or machine did, and it is to be tried again.

        Raises:
            VideobrushError: a machine of the cluster cannot run the program.
        """
        errors = self._ray.exceptions
        try:
            fact: Fact = self._ray.get(reference)
            return fact
        except (errors.NodeDiedError, errors.ObjectLostError):
            LOG.warning("a machine of the cluster is lost: %s is begun again", task.item.source)
            return None
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            name = task.item.key, type(task).__name__, getattr(task, "number", 0)
            self._deaths[name] += 1
            return failed(task, KILLS) if self._deaths[name] >= DEATHS else None
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            last = str(error).strip().splitlines()[-1]
            raise VideobrushError(
                f"a machine of the cluster cannot run videobrush: {last}; install the same version on each"
            ) from None


def _rooted(item: Item) -> Item:
    """Return an item whose paths mean the same whatever folder a process works in."""
    style = absolute(Path(item.style)) if Path(item.style).is_dir() else item.style
    return replace(item, source=Path(absolute(item.source)), output=Path(absolute(item.output)), style=style)


@cache
def _loaded() -> LoadedBackends:
    """Return the networks that stay loaded in this process of the cluster."""
    return LoadedBackends()


def _work(task: Task) -> Fact:
    # A machine that was given up may still be writing: each attempt has files of its own.
    return work(task, _loaded(), attempt=secrets.token_hex(8))


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield Ray, connected to a cluster.

    Raises:
        VideobrushError: Ray is not installed, there is no such cluster, or a token is needed.
    """
    host = address.rpartition(":")[0]
    if address != AUTO and host not in _LOCAL:
        _need_token(f"{address} is another machine")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ModuleNotFoundError as error:
        raise VideobrushError(
            f"--ray needs the package {error.name}; type: {install_hint('cluster')}"
        ) from None
    before = _handlers()
    try:
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            last = " ".join(str(error).split())
            raise VideobrushError(
                f"there is no Ray cluster at {address}: {last[:200]}; start one: ray start --head"
            ) from None
        _set(before)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if len({node["NodeManagerAddress"] for node in nodes}) > 1:
            _need_token("the cluster has several machines")
        LOG.info("Ray %s: %d nodes, %g CPUs, %g GPUs", ray.__version__, len(nodes), *_resources(ray))
        yield ray
    finally:
        ray.shutdown()
        _set(before)


def _resources(ray: Any) -> tuple[float, float]:
    found = ray.cluster_resources()
    return found.get("CPU", 0), found.get("GPU", 0)


def _need_token(why: str) -> None:
    """Refuse to go on without a token: whoever reaches such a cluster runs programs on it.

    Raises:
        VideobrushError: Ray is not told to use one.
    """
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise VideobrushError(
            f"{why}, and anybody who reaches a Ray cluster without a token runs programs on it: set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) here and on every machine"
        )


def _handlers() -> dict[signal.Signals, Any]:
    """Return what answers to signals: Ray puts handlers of its own there."""
    return {number: signal.getsignal(number) for number in ENDINGS}


def _set(handlers: dict[signal.Signals, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)
