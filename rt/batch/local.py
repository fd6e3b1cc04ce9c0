"""Items carried to processes of this machine: one process for each slot."""

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
from typing import Any

from rt.batch.plan import Item
from rt.batch.work import Fact, LoadedBackends, work
from rt.terminal import ENDINGS

DEATHS = 3
"""So many processes may die of one item before it is given up."""
_REPORT_S = 0.2

Progress = Callable[[int, Item, int, int | None], None]
"""Takes the slot, its item, frames written and expected."""


def carry(
    items: Iterable[Item],
    slots: int,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda slot, item, frames, total: None,
    perform: Callable[[Item], Fact] | None = None,
    on_begin: Callable[[Item], None] = lambda item: None,
) -> Iterator[Fact]:
    """Yield how each item ended, as they end; a process that dies is replaced and its item tried again.

    Once `cancelled` says so, nothing new is begun and what runs is dropped. `on_progress` is called in
    another thread, and so is `on_begin`, before an item's first try. `perform` stands in for
    `rt.batch.work.work` in the slots' processes.
    """
    slots_at_work = _Slots(items, slots, cancelled, on_progress, perform or _work, on_begin)
    try:
        yield from slots_at_work.facts()
    finally:
        slots_at_work.end()


class _Slots:
    """A thread for each slot feeds its process; one listens to them all, one passes on that all is to end."""

    def __init__(
        self,
        items: Iterable[Item],
        slots: int,
        cancelled: Callable[[], bool],
        on_progress: Progress,
        perform: Callable[[Item], Fact],
        on_begin: Callable[[Item], None],
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._cancelled, self._on_progress, self._perform = cancelled, on_progress, perform
        self._on_begin = on_begin
        self._waiting: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        for item in (*items, *[None] * slots):
            self._waiting.put(item)
        self._ended: queue.SimpleQueue[Fact | BaseException | None] = queue.SimpleQueue()
        self._stop, self._said = self._context.Event(), self._context.SimpleQueue()
        self._running: dict[int, Item] = {}
        self._over = threading.Event()
        self._left = slots
        self._servers = [_started(self._serve, slot) for slot in range(slots)]
        self._others = [_started(self._listen), _started(self._watch)]

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
        self._stop.set()
        self._over.set()
        for server in self._servers:
            server.join()
        self._said.put(None)
        for other in self._others:
            other.join()

    def _serve(self, slot: int) -> None:
        pool = None
        try:
            while (item := self._waiting.get()) is not None and not self._cancelled():
                self._running[slot] = item
                self._on_begin(item)
                for death in range(1, DEATHS + 1):
                    pool = pool or self._pool(slot)
                    try:
                        self._ended.put(pool.submit(self._perform, item).result())
                        break
                    except BrokenProcessPool:
                        pool.shutdown(wait=False)
                        pool = None
                        if death == DEATHS:
                            self._ended.put(_fatal(item))
        except BaseException as error:  # the edge of a thread: handed on
            self._ended.put(error)
        finally:
            if pool is not None:
                pool.shutdown()
            self._ended.put(None)

    def _pool(self, slot: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context, _begin, (slot, self._stop, self._said, os.getpid()))

    def _listen(self) -> None:
        while (message := self._said.get()) is not None:
            slot, frames, total = message
            if (item := self._running.get(slot)) is not None:
                self._on_progress(slot, item, frames, total)

    def _watch(self) -> None:
        while not self._over.wait(_REPORT_S):
            if self._cancelled():
                self._stop.set()


def _started(run: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=run, args=arguments, daemon=True)
    thread.start()
    return thread


def _fatal(item: Item) -> Fact:
    message = f"it kills its process: tried {DEATHS} times"
    return Fact(item.key, str(item.source), item.style, str(item.output), "failed", message)


_slot: tuple[int, Any, Any]
_loaded: LoadedBackends


def _begin(slot: int, stop: Any, said: Any, driver: int) -> None:
    """Set up a slot's process. Signals are the driver's to answer, and nothing outlives the driver."""
    global _slot, _loaded
    for number in ENDINGS:  # they reach every process of a terminal, or of a job that is cancelled
        signal.signal(number, signal.SIG_IGN)
    _slot, _loaded = (slot, stop, said), LoadedBackends()
    threading.Thread(target=_end_with, args=(driver,), daemon=True).start()


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)


def _work(item: Item) -> Fact:
    slot, stop, said = _slot
    last = 0.0

    def report(frames: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_S:
            last = time.monotonic()
            said.put((slot, frames, total))

    return work(item, _loaded, report, stop.is_set)
