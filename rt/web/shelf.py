"""The networks that are loaded: shared by all who want the same style at the same size."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rt.backends import Backend, BackendInfo, Pending
from rt.errors import BackendError

Key = tuple[str, tuple[int, int]]
"""Name of a style, (height, width) of the network's picture."""


@dataclass
class _Place:
    backend: Backend
    loans: int = 0
    used: int = 0
    """When it was last lent or given back, as a count."""


class Shelf:
    """Loads networks and lends them; keeps a few that nobody uses, drops the one unused for longest.

    Any thread may call it. Two that ask for the same network at once wait for one loading.
    """

    def __init__(self, load: Callable[[str, tuple[int, int]], Backend], capacity: int) -> None:
        """`load` opens a style for pictures of (height, width); `capacity` networks are held at most."""
        self._load = load
        self._capacity = capacity
        self._places: dict[Key, _Place] = {}
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._clock = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._places)

    def lend(self, key: Key) -> Backend | None:
        """Return the network where it is loaded; its `close` gives it back."""
        with self._lock:
            place = self._places.get(key)
            return None if place is None else self._lent(key, place)

    def fetch(self, key: Key) -> Backend:
        """Return the network, loaded where it is not; its `close` gives it back.

        Raises:
            VideobrushError: the style cannot be loaded, or every network held is in use.
        """
        with self._loading:
            if (lent := self.lend(key)) is not None:
                return lent
            self._make_room(key)
            backend = self._load(*key)
            with self._lock:
                if self._closed:
                    backend.close()
                    raise BackendError("the studio is closing")
                place = self._places[key] = _Place(backend)
                return self._lent(key, place)

    def close(self) -> None:
        """Close what nobody uses now, and the rest when it is given back; works twice."""
        with self._lock:
            self._closed = True
            idle = [key for key, place in self._places.items() if not place.loans]
            closing = [self._places.pop(key) for key in idle]
        for place in closing:
            place.backend.close()

    def _lent(self, key: Key, place: _Place) -> Backend:
        place.loans += 1
        self._clock += 1
        place.used = self._clock
        return _Loan(place.backend, lambda: self._take_back(key))

    def _take_back(self, key: Key) -> None:
        with self._lock:
            place = self._places[key]
            place.loans -= 1
            self._clock += 1
            place.used = self._clock
            last = self._closed and not place.loans
            if last:
                del self._places[key]
        if last:
            place.backend.close()

    def _make_room(self, key: Key) -> None:
        with self._lock:
            if len(self._places) < self._capacity:
                return
            idle = [(place.used, old) for old, place in self._places.items() if not place.loans]
            if not idle:
                raise BackendError(
                    f"style {key[0]} at {key[1][1]}x{key[1][0]} cannot be loaded: {len(self._places)} other "
                    "networks are in use, as many as are held at once; choose a style or size of theirs"
                )
            place = self._places.pop(min(idle)[1])
        place.backend.close()


@dataclass
class _Loan:
    """A backend that belongs to the shelf: closing it gives it back, once."""

    backend: Backend
    give_back: Callable[[], None]
    info: BackendInfo = field(init=False)

    def __post_init__(self) -> None:
        self.info = self.backend.info
        self._lent = True

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return self.backend.translate(rgb)

    def start(self, rgb: npt.NDArray[np.uint8]) -> Pending:
        return self.backend.start(rgb)

    def close(self) -> None:
        if self._lent:
            self._lent = False
            self.give_back()
