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
) -> Iterator[Fact]:
    """Yield how each item ended, as they end; a process that dies is replaced and its item tried again.

    Once `cancelled` says so, nothing new is begun and what runs is dropped. `on_progress` is called in
    another thread. `perform` stands in for `rt.batch.work.work` in the slots' processes.
    """
    context = multiprocessing.get_context("spawn")
    waiting: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    for _ in range(slots):
        waiting.put(None)
    ended: queue.SimpleQueue[Fact | BaseException | None] = queue.SimpleQueue()
    stop, said = context.Event(), context.SimpleQueue()
    running: dict[int, Item] = {}

    def serve(slot: int) -> None:
        pool = None
        try:
            while (item := waiting.get()) is not None and not cancelled():
                running[slot] = item
                for death in range(1, DEATHS + 1):
                    pool = pool or ProcessPoolExecutor(1, context, _begin, (slot, stop, said, os.getpid()))
                    try:
                        ended.put(pool.submit(perform or _work, item).result())
                        break
                    except BrokenProcessPool:
                        pool.shutdown(wait=False)
                        pool = None
                        if death == DEATHS:
                            ended.put(_fatal(item))
        except BaseException as error:  # the edge of a thread: handed on
            ended.put(error)
        finally:
            if pool is not None:
                pool.shutdown()
            ended.put(None)

    def listen() -> None:
        while (message := said.get()) is not None:
            slot, frames, total = message
            if (item := running.get(slot)) is not None:
                on_progress(slot, item, frames, total)

    def watch() -> None:
        while not over.wait(_REPORT_S):
            if cancelled():
                stop.set()

    over = threading.Event()
    listener = threading.Thread(target=listen, daemon=True)
    watcher = threading.Thread(target=watch, daemon=True)
    servers = [threading.Thread(target=serve, args=(slot,), daemon=True) for slot in range(slots)]
    for thread in (listener, watcher, *servers):
        thread.start()
    left = slots
    try:
        while left:
            fact = ended.get()
            if fact is None:
                left -= 1
            elif isinstance(fact, BaseException):
                raise fact
            else:
                yield fact
    finally:
        stop.set()
        over.set()
        for server in servers:
            server.join()
        said.put(None)
        listener.join()
        watcher.join()


def _fatal(item: Item) -> Fact:
    message = f"it kills its process: tried {DEATHS} times"
    return Fact(item.key, str(item.source), item.style, str(item.output), "failed", message)


_slot: tuple[int, Any, Any]
_loaded: LoadedBackends


def _begin(slot: int, stop: Any, said: Any, driver: int) -> None:
    """Set up a slot's process. Ctrl-C is the driver's to answer, and nothing outlives the driver."""
    global _slot, _loaded
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
