from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from rt.backends import Backend
from rt.backends.identity import IdentityBackend
from rt.controls import Controls
from rt.errors import StyleError
from rt.frame import Frame
from rt.switcher import Switcher
from rt.translator import Translator

LIMIT_S = 20  # only reached where something hangs
SIZE = (16, 16)


class Closing(IdentityBackend):
    """A backend that says whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


class Loader:
    """Opens backends by name when told to; remembers them."""

    def __init__(self) -> None:
        self.may_finish = threading.Event()
        self.opened: dict[str, Closing] = {}

    def __call__(self, name: str) -> Backend:
        assert self.may_finish.wait(LIMIT_S)
        if name == "broken":
            raise StyleError("style broken is damaged: card.json is missing")
        self.opened[name] = Closing(SIZE)
        return self.opened[name]


def frames(count: int, at: Callable[[int], None] = lambda index: None) -> Iterator[Frame]:
    for index in range(count):
        at(index)
        yield Frame(np.zeros((*SIZE, 3), np.uint8), index, Fraction(1, 25), index)


def make(controls: Controls, load: Callable[[str], Backend]) -> tuple[Switcher, Closing]:
    first = Closing(SIZE)
    return Switcher(first, controls, load, lambda backend: Translator(backend, controls)), first


def wait_for_loading(switcher: Switcher) -> None:
    """Wait for the thread that loads; one that ends is no longer listed while it still counts as alive."""
    if switcher._loading is not None:
        switcher._loading._thread.join(LIMIT_S)


def test_frames_flow_by_the_old_style_until_the_new_one_is_loaded() -> None:
    controls, load = Controls(["one", "two"], "one"), Loader()
    switcher, first = make(controls, load)
    styles: list[str] = []

    def at(index: int) -> None:
        styles.append(switcher.style)
        if index == 2:
            controls.select(2)
        if index == 6:
            load.may_finish.set()
            wait_for_loading(switcher)

    assert len(list(switcher.translate_all(frames(9, at)))) == 9
    assert styles == ["one"] * 7 + ["two"] * 2
    assert switcher.backend is load.opened["two"]
    assert (first.closed, load.opened["two"].closed) == (True, False)
    assert controls.take_notes() == ["loading two", "two"]
    switcher.close()
    switcher.close()
    assert load.opened["two"].closed


def test_a_style_that_cannot_be_loaded_is_said_and_the_old_one_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    controls, load = Controls(["one", "broken"], "one"), Loader()
    load.may_finish.set()
    switcher, first = make(controls, load)

    def at(index: int) -> None:
        if index == 1:
            controls.select(2)
        wait_for_loading(switcher)

    with caplog.at_level("WARNING", logger="rt"):
        assert len(list(switcher.translate_all(frames(6, at)))) == 6
    assert (switcher.style, controls.style, first.closed) == ("one", "one", False)
    assert controls.take_notes() == ["loading broken", "broken cannot be loaded"]
    assert caplog.messages == [
        "style broken cannot be loaded, one goes on: style broken is damaged: card.json is missing"
    ]
    switcher.close()


def test_what_is_loaded_when_the_run_ends_is_closed_too() -> None:
    controls, load = Controls(["one", "two"], "one"), Loader()
    switcher, first = make(controls, load)
    controls.select(2)
    list(switcher.translate_all(frames(1)))
    load.may_finish.set()
    switcher.close()
    assert (first.closed, load.opened["two"].closed) == (True, True)
    assert not [thread for thread in threading.enumerate() if thread.name == "videobrush-load"]


def test_a_fault_of_ours_while_loading_is_raised() -> None:
    def load(name: str) -> Backend:
        raise ZeroDivisionError

    controls = Controls(["one", "two"], "one")
    switcher, _ = make(controls, load)
    controls.select(2)
    with pytest.raises(ZeroDivisionError):
        list(switcher.translate_all(frames(3, lambda index: wait_for_loading(switcher))))


def test_a_fault_of_ours_while_loading_does_not_keep_the_running_backend_open() -> None:
    def load(name: str) -> Backend:
        raise ZeroDivisionError

    controls = Controls(["one", "two"], "one")
    switcher, first = make(controls, load)
    controls.select(2)
    list(switcher.translate_all(frames(1)))
    with pytest.raises(ZeroDivisionError):
        switcher.close()
    assert first.closed
