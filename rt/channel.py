"""A bounded hand-off between two threads that either end may close."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Empty(Exception):
    """Nothing came in the time that `get` was given."""


class Ended(Exception):
    """The channel is closed and everything in it was delivered."""


class Channel(Generic[Item]):
    """Items in order from one thread to another, at most `capacity` of them waiting.

    The producer calls `put` and, at its end, `close`. The consumer iterates, or calls `get`; where it wants
    no more it calls `abort`. Nobody polls: a blocked end sleeps until the other one acts.
    """

    def __init__(self, capacity: int, newest_wins: bool = False) -> None:
        """With `newest_wins`, `put` never waits: where the channel is full, the oldest item is dropped."""
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, not at least 1")
        self.dropped = 0
        """Items lost to newer ones."""
        self._capacity = capacity
        self._newest_wins = newest_wins
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Hand on one item, waiting while the channel is full.

        Returns False, without keeping the item, where the channel is closed: the producer should end.
        """
        with self._changed:
            if not self._newest_wins:
                self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            if len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> Item:
        """Return the next item, waiting for it at most `timeout_s` seconds (None: as long as it takes).

        Raises:
            Empty: nothing came in time.
            Ended: the channel is closed and empty.
            BaseException: the error it was closed with, once it is empty.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout_s):
                raise Empty
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise Ended

    def close(self, error: BaseException | None = None) -> None:
        """End the stream: what is queued is still delivered, then iteration ends, or raises `error`.

        Does nothing on a channel that is closed already: the first word counts.
        """
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
                self._changed.notify_all()

    def abort(self, error: BaseException | None = None) -> None:
        """End at once: the queue is dropped, `put` returns False, iteration ends or raises `error`.

        After `close` it still drops the queue; an error given to `close` is kept unless `error` is given.
        """
        with self._changed:
            self._closed = True
            self._error = error or self._error
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """Yield items until the channel is closed and empty; raise the error it was closed with."""
        return self

    def __next__(self) -> Item:
        try:
            return self.get()
        except Ended:
            raise StopIteration from None
