from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rt.backends import BackendInfo, Pending, open_backend
from rt.backends.identity import IdentityBackend
from rt.card import DETAILS, Detail
from rt.controls import Controls
from rt.errors import BackendError, SourceError
from rt.frame import Frame
from rt.steady import Steady
from rt.styles import find_style
from rt.translator import Translator
from tests.support.onnx_styles import drawn_image, make_style, save_negative

SIZE = (32, 56)


class Brighter:
    """A backend that adds 30 to every level and remembers what it was given."""

    def __init__(self, slots: int = 1) -> None:
        self.info = BackendInfo("brighter", "none", "exact", SIZE, slots)
        self.flying = 0
        self.most_flying = 0
        self.shapes: list[tuple[int, ...]] = []
        self.closed = 0

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        self.shapes.append(rgb.shape)
        brighter: npt.NDArray[np.uint8] = np.minimum(rgb, 225) + np.uint8(30)
        return brighter

    def start(self, rgb: npt.NDArray[np.uint8]) -> Pending:
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        return Taken(self, self.translate(rgb))

    def close(self) -> None:
        self.closed += 1


class Taken:
    """An image in flight that counts itself down."""

    def __init__(self, backend: Brighter, rgb: npt.NDArray[np.uint8]) -> None:
        self.backend, self.rgb = backend, rgb

    def result(self) -> npt.NDArray[np.uint8]:
        self.backend.flying -= 1
        return self.rgb


def frame(height: int = 90, width: int = 160, index: int = 4) -> Frame:
    return Frame(drawn_image(height, width), pts=-1001, time_base=Fraction(1, 30000), index=index)


@pytest.mark.parametrize("size", [(90, 160), (32, 56), (7, 9), (1, 1)])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_identity_with_detail_kept_is_the_frame_exactly(size: tuple[int, int], strength: float) -> None:
    given = frame(*size)
    before = given.rgb.copy()
    found = Translator(IdentityBackend(SIZE), Controls(strength=strength)).translate(given)
    assert np.array_equal(found.rgb, before)
    assert not np.shares_memory(found.rgb, given.rgb)


def test_time_and_number_of_a_frame_stay() -> None:
    found = Translator(Brighter()).translate(frame())
    assert (found.pts, found.time_base, found.index) == (-1001, Fraction(1, 30000), 4)


def test_the_network_sees_one_image_of_its_own_size() -> None:
    backend = Brighter()
    translator = Translator(backend)
    translator.translate(frame(90, 160))
    translator.translate(frame(300, 20))
    assert backend.shapes == [(1, *SIZE, 3), (1, *SIZE, 3)]


def test_strength_scales_the_change() -> None:
    given = frame()
    dark = Frame(given.rgb // 2, 0, Fraction(1, 25), 0)
    for strength, change in ((0.0, 0), (0.5, 15), (1.0, 30)):
        found = Translator(Brighter(), Controls(strength=strength)).translate(dark)
        assert np.array_equal(found.rgb, dark.rgb + change)


def test_a_translated_frame_still_holds_what_it_was() -> None:
    given = frame()
    found = Translator(Brighter()).translate(given)
    assert found.before is given.rgb


def test_strength_may_change_between_two_frames() -> None:
    controls = Controls()
    translator = Translator(Brighter(), controls)
    dark = Frame(frame().rgb // 2, 0, Fraction(1, 25), 0)
    assert np.array_equal(translator.translate(dark).rgb, dark.rgb + 30)
    controls.strength = 0.5
    assert np.array_equal(translator.translate(dark).rgb, dark.rgb + 15)


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_as_many_frames_are_in_flight_as_the_backend_holds_and_they_stay_in_order(
    slots: int, count: int
) -> None:
    backend = Brighter(slots)
    frames = [frame(index=index) for index in range(count)]
    found = list(Translator(backend).translate_all(frames))
    assert [one.index for one in found] == list(range(count))
    assert all(
        np.array_equal(one.rgb, Translator(Brighter()).translate(one_in).rgb)
        for one, one_in in zip(found, frames, strict=True)
    )
    assert (backend.most_flying, backend.flying) == (min(slots, count), 0)


def test_one_image_in_flight_does_not_wait_for_the_next_frame() -> None:
    translator, given = Translator(Brighter(slots=1)), iter([frame(), frame()])
    found = translator.translate_all(given)
    next(found)
    assert len(list(given)) == 1


def test_frames_in_flight_come_before_the_fault_of_their_source() -> None:
    def damaged() -> Iterator[Frame]:
        yield from (frame(index=index) for index in range(4))
        raise SourceError("cut short")

    found = Translator(Brighter(slots=3)).translate_all(damaged())
    assert [next(found).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(SourceError, match="cut short"):
        next(found)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_switch_takes_the_next_frame_and_closes_the_backend_before(slots: int) -> None:
    first, second = Brighter(slots), IdentityBackend(SIZE)
    translator = Translator(first)

    def frames() -> Iterator[Frame]:
        for index in range(6):
            if index == 4:
                translator.switch(second)
            yield frame(index=index)

    changed = [bool((found.rgb != found.before).any()) for found in translator.translate_all(frames())]
    assert changed == [True] * 4 + [False] * 2
    assert (first.flying, first.closed) == (0, 1)
    translator.close()
    with pytest.raises(BackendError, match="closed"):
        second.translate(np.zeros((1, *SIZE, 3), np.uint8))


def test_a_switch_that_was_never_taken_is_closed_too() -> None:
    first, second, third = Brighter(), Brighter(), Brighter()
    translator = Translator(first)
    translator.switch(second)
    translator.switch(third)
    translator.close()
    assert (first.closed, second.closed, third.closed) == (1, 1, 1)


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_frame_of_the_networks_size_becomes_the_networks_image(
    tmp_path: Path, name: str, detail: Detail
) -> None:
    pytest.importorskip(name)
    style = find_style(make_style(tmp_path, model=save_negative(tmp_path / "negative.onnx")))
    given = frame(*SIZE)
    translator = Translator(open_backend(name, style, SIZE).backend, detail=detail)
    assert np.array_equal(translator.translate(given).rgb, 255 - given.rgb)


@pytest.mark.parametrize("detail", DETAILS)
def test_what_is_held_steady_is_what_is_shown(detail: Detail) -> None:
    translator, steady = Translator(Brighter(), Controls(steady=1), detail), Steady(1)
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 12, (*SIZE, 3), dtype=np.uint8)
        seen = drawn_image(*SIZE) // 2 + noise
        made = translator.translate(replace(frame(), image=seen)).rgb
        assert np.array_equal(made, steady.steady(seen, seen + np.uint8(30), detail))


def test_close_closes_the_backend_and_works_twice() -> None:
    translator = Translator(IdentityBackend(SIZE))
    translator.close()
    translator.close()
    with pytest.raises(BackendError, match="closed"):
        translator.translate(frame())


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan")])
def test_a_strength_outside_nought_to_one_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"not within 0\.\.1"):
        Translator(Brighter(), Controls(strength=strength))
