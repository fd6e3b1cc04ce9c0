"""Loaded backends, shared by all visitors of one style and size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rt.backends import Backend, BackendInfo, Pending
from rt.errors import BackendError
from rt.text import width_x_height

Key = tuple[str, tuple[int, int]]
"""Name of a style, (height, width) of the network's input."""


@dataclass
class _Entry:
    backend: Backend
    leases: int = 0
    last_used: int = 0
    """When it was last acquired or released, as a count."""


class BackendPool:
    """Loads backends and leases them; keeps a few unused ones, evicts the least recently used.

    Any thread may call it. Concurrent requests for one backend wait for a single load.
    """

    def __init__(self, load: Callable[[str, tuple[int, int]], Backend], capacity: int) -> None:
        """`load` opens a style for images of (height, width); at most `capacity` backends are held."""
        self._load = load
        self._capacity = capacity
        self._entries: dict[Key, _Entry] = {}
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._clock = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._entries)

    def acquire_loaded(self, key: Key) -> Backend | None:
        """Return a lease of the backend, or None where it is not loaded; its `close` ends the lease."""
        with self._lock:
            entry = self._entries.get(key)
            return None if entry is None else self._lease(key, entry)

    def acquire(self, key: Key) -> Backend:
        """Return a lease of the backend, loading it first where needed; its `close` ends the lease.

        Raises:
            VideobrushError: the style cannot be loaded, or every backend held is in use.
        """
        with self._loading:
            if (lease := self.acquire_loaded(key)) is not None:
                return lease
            self._make_room(key)
            backend = self._load(*key)
            with self._lock:
                if self._closed:
                    backend.close()
                    raise BackendError("the studio is closing")
                entry = self._entries[key] = _Entry(backend)
                return self._lease(key, entry)

    def close(self) -> None:
        """Close unused backends now, and the others as their last lease ends; works twice."""
        with self._lock:
            self._closed = True
            idle = [key for key, entry in self._entries.items() if not entry.leases]
            closing = [self._entries.pop(key) for key in idle]
        for entry in closing:
            entry.backend.close()

    def _lease(self, key: Key, entry: _Entry) -> Backend:
        entry.leases += 1
        self._touch(entry)
        return _Lease(entry.backend, lambda: self._release(key))

    def _release(self, key: Key) -> None:
        with self._lock:
            entry = self._entries[key]
            entry.leases -= 1
            self._touch(entry)
            last = self._closed and not entry.leases
            if last:
                del self._entries[key]
        if last:
            entry.backend.close()

    def _touch(self, entry: _Entry) -> None:
        self._clock += 1
        entry.last_used = self._clock

    def _make_room(self, key: Key) -> None:
        with self._lock:
            if len(self._entries) < self._capacity:
                return
            idle = [(entry.last_used, old) for old, entry in self._entries.items() if not entry.leases]
            if not idle:
                raise BackendError(
                    f"style {key[0]} at {width_x_height(key[1])} cannot be loaded: "
                    f"{len(self._entries)} other networks are in use, the limit of this studio; "
                    "choose a style and size in use"
                )
            entry = self._entries.pop(min(idle)[1])
        entry.backend.close()


@dataclass
class _Lease:
    """A backend of the pool: closing it ends the lease, once."""

    backend: Backend
    release: Callable[[], None]
    info: BackendInfo = field(init=False)

    def __post_init__(self) -> None:
        self.info = self.backend.info
        self._open = True

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return self.backend.translate(rgb)

    def start(self, rgb: npt.NDArray[np.uint8]) -> Pending:
        return self.backend.start(rgb)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.release()
