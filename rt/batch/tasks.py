"""What a batch has still to do: items, chunks and joins."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from rt.batch.chunk import Chunk, Cuts, Join, Parts
from rt.batch.plan import Item
from rt.batch.work import Fact, Task


class Tasks:
    """Gives out tasks and takes how they ended; any thread may do either.

    The chunks of a file come before the next file, and its join before all else. What is whole already, of a
    batch that was killed, is not given out.

    Example:
        while (task := tasks.take()) is not None:
            ended = tasks.ended(task, work(task))  # the fact of its item, where that ended with it
    """

    def __init__(self, items: Iterable[Item]) -> None:
        """Take the items in the order in which they are begun."""
        self._waiting: deque[Task] = deque(items)
        self._running = 0
        self._left: dict[str, int] = {}  # chunks to come, of each item that is cut
        self._done: dict[str, int] = {}  # frames of its whole parts
        self._now: dict[str, dict[int, int]] = {}  # frames of its running chunks
        self._changed = threading.Condition()
        self._closed = False

    def take(self) -> Task | None:
        """Return the next task; wait while one that runs may bring others. None: there is nothing more."""
        with self._changed:
            while not self._closed:
                if (task := self._next()) is not None:
                    return task
                if not self._running:
                    return None
                self._changed.wait()
            return None

    def poll(self) -> Task | None:
        """Return the next task; None where there is none now. See `over`."""
        with self._changed:
            return None if self._closed else self._next()

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing is left."""
        with self._changed:
            return not self._running and (self._closed or not self._waiting)

    def close(self) -> None:
        """Give out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def ended(self, task: Task, fact: Fact) -> Fact | None:
        """Note how a task ended; return the fact of its item, where that ended with it."""
        with self._changed:
            self._running -= 1
            ended = self._follow(task, fact)
            self._changed.notify_all()
        if ended is not None and ended.status in ("done", "damaged"):
            Parts(task.item).remove()
        return ended

    def progress(self, task: Task, frames: int, total: int | None) -> tuple[int, int | None]:
        """Return how many frames of a task's item are written and expected, where so many of its own are."""
        if not isinstance(task, Chunk):
            return frames, total
        with self._changed:
            key, now = task.item.key, self._now.setdefault(task.item.key, {})
            now[task.number] = frames
            return self._done.get(key, 0) + sum(now.values()), sum(task.cuts.counts)

    def _next(self) -> Task | None:
        while self._waiting:
            task = self._waiting.popleft()
            if isinstance(task, Item):
                cuts = Parts(task).cuts() if task.chunk_s is not None else None
                if cuts is not None and not cuts.whole:
                    self._begin_chunks(task, cuts)
                    continue
            self._running += 1
            return task
        return None

    def _begin_chunks(self, item: Item, cuts: Cuts) -> None:
        missing = Parts(item).missing(cuts)
        self._left[item.key] = len(missing)
        self._done[item.key] = sum(cuts.counts) - sum(cuts.counts[number] for number in missing)
        chunks: list[Task] = [Chunk(item, number, cuts) for number in missing]
        self._waiting.extendleft(reversed(chunks or [Join(item, cuts)]))

    def _follow(self, task: Task, fact: Fact) -> Fact | None:
        key, cuts = task.item.key, Parts(task.item).cuts() if fact.status == "cut" else None
        if cuts is not None:
            self._begin_chunks(task.item, cuts)
            return None
        if isinstance(task, Chunk):
            self._now.get(key, {}).pop(task.number, None)
            if key not in self._left:  # its item has ended, or is translated whole
                return None
            if fact.status == "part":
                self._done[key] += task.frames
                self._left[key] -= 1
                if not self._left[key]:
                    self._waiting.appendleft(Join(task.item, task.cuts))
                return None
        if not isinstance(task, Item):
            self._left.pop(key, None)
            self._waiting = deque(
                other for other in self._waiting if not (isinstance(other, Chunk) and other.item.key == key)
            )
            if fact.status == "whole":
                self._waiting.appendleft(task.item)
                return None
        return fact
