"""Networks shared by visitors."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from rt.backends.identity import IdentityBackend
from rt.errors import BackendError, StyleError
from rt.web.shelf import Key, Shelf


class Loader:
    """Opens backends that do nothing and remembers which are open."""

    def __init__(self) -> None:
        self.loaded: list[Key] = []
        self.closed: list[Key] = []

    def __call__(self, name: str, size: tuple[int, int]) -> IdentityBackend:
        if name == "broken":
            raise StyleError("broken")
        self.loaded.append((name, size))
        backend = IdentityBackend(size)
        close = backend.close

        def remember() -> None:
            self.closed.append((name, size))
            close()

        backend.close = remember  # type: ignore[method-assign]
        return backend


A, B, C = (("a", (16, 16)), ("b", (16, 16)), ("c", (16, 16)))


def test_one_network_is_loaded_once_for_all_who_want_it() -> None:
    loader = Loader()
    shelf = Shelf(loader, 2)
    assert shelf.lend(A) is None
    first, second = shelf.fetch(A), shelf.fetch(A)
    third = shelf.lend(A)
    assert loader.loaded == [A]
    picture = np.zeros((1, 16, 16, 3), np.uint8)
    first.close()
    first.close()  # works twice, and gives back once
    assert third is not None
    assert np.array_equal(third.translate(picture), picture)
    shelf.close()
    assert loader.closed == []
    second.close()
    third.close()
    assert loader.closed == [A]


def test_the_network_unused_for_longest_makes_room() -> None:
    loader = Loader()
    shelf = Shelf(loader, 2)
    shelf.fetch(A).close()
    shelf.fetch(B).close()
    shelf.fetch(A).close()
    shelf.fetch(C).close()
    assert loader.loaded == [A, B, C]
    assert loader.closed == [B]
    assert len(shelf) == 2


def test_where_all_are_in_use_another_one_is_refused() -> None:
    shelf = Shelf(Loader(), 1)
    lent = shelf.fetch(A)
    with pytest.raises(BackendError, match="style b at 16x16 cannot be loaded: 1 other networks are in use"):
        shelf.fetch(B)
    lent.close()
    shelf.fetch(B).close()


def test_what_cannot_be_loaded_takes_no_place() -> None:
    shelf = Shelf(Loader(), 1)
    with pytest.raises(StyleError):
        shelf.fetch(("broken", (16, 16)))
    shelf.fetch(A).close()


def test_two_who_ask_at_once_wait_for_one_loading() -> None:
    loader = Loader()
    shelf = Shelf(loader, 2)
    threads = [threading.Thread(target=lambda: shelf.fetch(A).close()) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loader.loaded == [A]
    shelf.close()
    with pytest.raises(BackendError, match="closing"):
        shelf.fetch(B)
    assert loader.closed == [A, B]
