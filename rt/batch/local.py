"""Tasks carried to processes of this machine: one process for each slot."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from rt.batch.plan import Item
from rt.batch.tasks import Tasks
from rt.batch.work import Fact, LoadedBackends, Task, failed, stopped, work
from rt.terminal import ENDINGS

DEATHS = 3
"""So many processes may die of one task before its item is given up."""
KILLS = f"it kills its process: tried {DEATHS} times"
_REPORT_S = 0.2
_DROP_S = 5.0
"""A process that does not drop its task within so many seconds is killed."""

Progress = Callable[[int, Item, int, int | None], None]
"""Takes the slot, its item, the frames of it that are written, and those expected."""


def carry(
    items: Iterable[Item],
    slots: int,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda slot, item, frames, total: None,
    perform: Callable[[Task], Fact] | None = None,
    on_begin: Callable[[Item], None] = lambda item: None,
    dropped: Callable[[], bool] | None = None,
    again: Callable[[Fact], bool] = lambda fact: False,
) -> Iterator[Fact]:
    """Yield how each item ended, as they end; a process that dies is replaced and its task tried again.

    Once `cancelled` says so, nothing new is begun; once `dropped` says so, where it is not given at the same
    time, what runs is dropped. `on_progress` is called in another thread; so are `on_begin`, before an item's
    first task, and `again`, which tells whether a task that ended so is to be tried again. `perform` stands
    in for `rt.batch.work.work` in the slots' processes.
    """
    calls = on_progress, perform or _work, on_begin, again
    at_work = _Slots(items, slots, cancelled, dropped or cancelled, *calls)
    try:
        yield from at_work.facts()
    finally:
        at_work.end()


class _Slots:
    """A thread for each slot feeds its process; one listens to them all, and tells them when all is to end.

    Each process has a connection of its own: one that is killed leaves no lock behind that others wait for.
    """

    def __init__(
        self,
        items: Iterable[Item],
        slots: int,
        cancelled: Callable[[], bool],
        dropped: Callable[[], bool],
        on_progress: Progress,
        perform: Callable[[Task], Fact],
        on_begin: Callable[[Item], None],
        again: Callable[[Fact], bool],
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._cancelled, self._dropped = cancelled, dropped
        self._on_progress, self._perform = on_progress, perform
        self._on_begin, self._again = on_begin, again
        self._tasks = Tasks(items)
        self._begun: set[str] = set()
        self._ended: queue.SimpleQueue[Fact | BaseException | None] = queue.SimpleQueue()
        self._running: dict[int, Task] = {}
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._links: dict[int, Connection] = {}
        self._linking = threading.Lock()
        self._dropping, self._over = threading.Event(), threading.Event()
        self._left = slots
        self._servers = [_started(self._serve, slot) for slot in range(slots)]
        self._attendant = _started(self._attend)

    def facts(self) -> Iterator[Fact]:
        """Yield how the items ended, until every slot has nothing more to do."""
        while self._left:
            fact = self._ended.get()
            if fact is None:
                self._left -= 1
            elif isinstance(fact, BaseException):
                raise fact
            else:
                yield fact

    def end(self) -> None:
        """End the processes and wait for the threads."""
        self._tasks.close()
        self._drop()
        for server in self._servers:
            server.join()
        self._over.set()
        self._attendant.join()

    def _serve(self, slot: int) -> None:
        try:
            while not self._cancelled() and (task := self._tasks.take()) is not None:
                self._running[slot] = task
                if task.item.key not in self._begun:
                    self._begun.add(task.item.key)
                    self._on_begin(task.item)
                fact = self._carried(slot, task)
                while self._again(fact) and not self._cancelled():
                    fact = self._carried(slot, task)
                if (ended := self._tasks.ended(task, fact)) is not None:
                    self._ended.put(ended)
        except BaseException as error:  # the edge of a thread: handed on
            self._ended.put(error)
            self._tasks.close()  # else the others wait for what this one was to bring
        finally:
            if (pool := self._pools.pop(slot, None)) is not None:
                pool.shutdown()
            self._ended.put(None)

    def _carried(self, slot: int, task: Task) -> Fact:
        """Have a task worked on; try again in a new process where one dies."""
        for _ in range(DEATHS):
            pool = self._pool(slot)
            if pool is None:
                return stopped(task)
            try:
                return pool.submit(self._perform, task).result()
            except BrokenProcessPool:
                self._pools.pop(slot).shutdown(wait=False)
        return stopped(task) if self._dropping.is_set() else failed(task, KILLS)

    def _pool(self, slot: int) -> ProcessPoolExecutor | None:
        """Return the process of a slot, made where there is none; None where all is to end."""
        with self._linking:
            if self._dropping.is_set():
                return None
            if slot not in self._pools:
                self._links[slot], theirs = self._context.Pipe()
                self._pools[slot] = ProcessPoolExecutor(1, self._context, _begin, (theirs,))
            return self._pools[slot]

    def _attend(self) -> None:
        """Pass on what the processes say, that nothing new is begun, and that what runs is dropped."""
        dropped_at: float | None = None
        while not self._over.is_set():
            self._listen()
            if self._cancelled():
                self._tasks.close()
            if dropped_at is None and (self._dropping.is_set() or self._dropped()):
                self._drop()
                dropped_at = time.monotonic()
            elif dropped_at is not None and time.monotonic() - dropped_at > _DROP_S:
                for pool in list(self._pools.values()):
                    _kill(pool)

    def _listen(self) -> None:
        links = {link: slot for slot, link in list(self._links.items())}
        if not links:
            self._over.wait(_REPORT_S)
        for link in wait(list(links), _REPORT_S):
            assert isinstance(link, Connection)
            slot = links[link]
            try:
                frames, total = link.recv()
            except (EOFError, OSError):  # its process is gone
                if self._links.get(slot) is link:
                    del self._links[slot]
                continue
            if (task := self._running.get(slot)) is not None:
                self._on_progress(slot, task.item, *self._tasks.progress(task, frames, total))

    def _drop(self) -> None:
        with self._linking:
            self._dropping.set()
            for link in list(self._links.values()):
                with suppress(OSError):
                    link.send(None)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.kill()


def _started(run: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=run, args=arguments, daemon=True)
    thread.start()
    return thread


_link: Connection
_loaded: LoadedBackends
_dropped = threading.Event()


def _begin(link: Connection) -> None:
    """Set up a slot's process. Signals are the driver's to answer, and nothing outlives the driver."""
    global _link, _loaded
    for number in ENDINGS:  # they reach every process of a terminal, or of a job that is cancelled
        signal.signal(number, signal.SIG_IGN)
    _link, _loaded = link, LoadedBackends()
    threading.Thread(target=_obey, daemon=True).start()


def _obey() -> None:
    """Drop the task when the driver says so; end at once where it was killed: no file is written by two."""
    while True:
        try:
            _link.recv()
        except (EOFError, OSError):
            os._exit(1)
        _dropped.set()


def _work(task: Task) -> Fact:
    last = 0.0

    def report(frames: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_S:
            last = time.monotonic()
            with suppress(OSError):
                _link.send((frames, total))

    return work(task, _loaded, report, _dropped.is_set)
