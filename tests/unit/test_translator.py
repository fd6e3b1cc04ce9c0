from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rt.backends import open_backend
from rt.backends.identity import IdentityBackend
from rt.errors import BackendError
from rt.fit import DETAILS, Detail
from rt.frame import Frame
from rt.styles import find_style
from rt.translator import Translator
from tests.support.onnx_styles import drawn_picture, make_style, save_negative

SIZE = (32, 56)


class Brighter:
    """A backend that adds 30 to every level and remembers what it was given."""

    name = "brighter"
    device = "none"
    precision = "exact"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.closed = 0

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        self.shapes.append(rgb.shape)
        brighter: npt.NDArray[np.uint8] = np.minimum(rgb, 225) + np.uint8(30)
        return brighter

    def close(self) -> None:
        self.closed += 1


def frame(height: int = 90, width: int = 160, index: int = 4) -> Frame:
    return Frame(drawn_picture(height, width), pts=-1001, time_base=Fraction(1, 30000), index=index)


@pytest.mark.parametrize("size", [(90, 160), (32, 56), (7, 9), (1, 1)])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_identity_with_detail_kept_is_the_frame_exactly(size: tuple[int, int], strength: float) -> None:
    given = frame(*size)
    before = given.rgb.copy()
    found = Translator(IdentityBackend(SIZE), SIZE, strength).translate(given)
    assert np.array_equal(found.rgb, before)
    assert not np.shares_memory(found.rgb, given.rgb)


def test_time_and_number_of_a_frame_stay() -> None:
    found = Translator(Brighter(), SIZE).translate(frame())
    assert (found.pts, found.time_base, found.index) == (-1001, Fraction(1, 30000), 4)


def test_the_network_sees_one_picture_of_its_own_size() -> None:
    backend = Brighter()
    translator = Translator(backend, SIZE)
    translator.translate(frame(90, 160))
    translator.translate(frame(300, 20))
    assert backend.shapes == [(1, *SIZE, 3), (1, *SIZE, 3)]


def test_strength_scales_the_change() -> None:
    given = frame()
    dark = Frame(given.rgb // 2, 0, Fraction(1, 25), 0)
    for strength, change in ((0.0, 0), (0.5, 15), (1.0, 30)):
        found = Translator(Brighter(), SIZE, strength).translate(dark)
        assert np.array_equal(found.rgb, dark.rgb + change)


def test_compare_puts_the_frame_left_and_its_translation_right() -> None:
    given = frame()
    alone = Translator(Brighter(), SIZE).translate(given)
    pair = Translator(Brighter(), SIZE, compare=True).translate(given)
    assert pair.rgb.shape == (90, 320, 3)
    assert np.array_equal(pair.rgb[:, :160], given.rgb)
    assert np.array_equal(pair.rgb[:, 160:], alone.rgb)
    assert (pair.pts, pair.index) == (given.pts, given.index)


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_frame_of_the_networks_size_becomes_the_networks_picture(
    tmp_path: Path, name: str, detail: Detail
) -> None:
    pytest.importorskip(name)
    style = find_style(make_style(tmp_path, model=save_negative(tmp_path / "negative.onnx")))
    given = frame(*SIZE)
    translator = Translator(open_backend(name, style, SIZE).backend, SIZE, detail=detail)
    assert np.array_equal(translator.translate(given).rgb, 255 - given.rgb)


def test_close_closes_the_backend_and_works_twice() -> None:
    translator = Translator(IdentityBackend(SIZE), SIZE)
    translator.close()
    translator.close()
    with pytest.raises(BackendError, match="closed"):
        translator.translate(frame())


def test_a_backend_opened_for_another_size_is_an_error() -> None:
    with pytest.raises(BackendError, match=r"opened for uint8\[N, 16, 16, 3\]"):
        Translator(IdentityBackend((16, 16)), SIZE).translate(frame())


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan")])
def test_a_strength_outside_nought_to_one_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"not within 0\.\.1"):
        Translator(Brighter(), SIZE, strength)
