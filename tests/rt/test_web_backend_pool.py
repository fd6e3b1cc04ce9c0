"""Networks shared by visitors."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from rt.backends.identity import IdentityBackend
from rt.errors import BackendError, StyleError
from rt.web.backend_pool import BackendPool, Key


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
    pool = BackendPool(loader, 2)
    assert pool.acquire_loaded(A) is None
    first, second = pool.acquire(A), pool.acquire(A)
    third = pool.acquire_loaded(A)
    assert loader.loaded == [A]
    image = np.zeros((1, 16, 16, 3), np.uint8)
    first.close()
    first.close()  # works twice, and gives back once
    assert third is not None
    assert np.array_equal(third.translate(image), image)
    pool.close()
    assert loader.closed == []
    second.close()
    third.close()
    assert loader.closed == [A]


def test_the_least_recently_used_network_is_evicted() -> None:
    loader = Loader()
    pool = BackendPool(loader, 2)
    pool.acquire(A).close()
    pool.acquire(B).close()
    pool.acquire(A).close()
    pool.acquire(C).close()
    assert loader.loaded == [A, B, C]
    assert loader.closed == [B]
    assert len(pool) == 2


def test_where_all_are_in_use_another_one_is_refused() -> None:
    pool = BackendPool(Loader(), 1)
    lease = pool.acquire(A)
    with pytest.raises(BackendError, match="style b at 16x16 cannot be loaded: 1 other networks are in use"):
        pool.acquire(B)
    lease.close()
    pool.acquire(B).close()


def test_what_cannot_be_loaded_takes_no_place() -> None:
    pool = BackendPool(Loader(), 1)
    with pytest.raises(StyleError):
        pool.acquire(("broken", (16, 16)))
    pool.acquire(A).close()


def test_two_who_ask_at_once_wait_for_one_loading() -> None:
    loader = Loader()
    pool = BackendPool(loader, 2)
    threads = [threading.Thread(target=lambda: pool.acquire(A).close()) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loader.loaded == [A]
    pool.close()
    with pytest.raises(BackendError, match="closing"):
        pool.acquire(B)
    assert loader.closed == [A, B]
