"""Two styles at once, and one that turns into another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rt.backends import BackendInfo
from rt.backends.base import Computed
from rt.card import Card, Detail, Model
from rt.commands import Run
from rt.controls import Controls
from rt.errors import StyleError
from rt.frame import Frame
from rt.image import read_image, write_image
from rt.job import run_job
from rt.mixed import Mixed, mixed_size, style_names
from rt.pipeline import Stop
from rt.translator import Translator
from tests.support.onnx_styles import drawn_image, make_style, save_negative

SIZE = (32, 56)
FPS = 10
Rgb = npt.NDArray[np.uint8]


class Plain:
    """A backend that makes one level of every image, and counts."""

    def __init__(self, level: int, detail: Detail = "network", size: tuple[int, int] = SIZE) -> None:
        self.info = BackendInfo("plain", "none", "exact", size, detail=detail)
        self.level, self.asked, self.closed = level, 0, 0

    def translate(self, rgb: Rgb) -> Rgb:
        self.asked += 1
        return np.full_like(rgb, self.level)

    def start(self, rgb: Rgb) -> Computed:
        return Computed(self.translate(rgb))

    def close(self) -> None:
        self.closed += 1


def frames(count: int, first: int = 0) -> Iterator[Frame]:
    for index in range(first, first + count):
        yield Frame(drawn_image(64, 112), index, Fraction(1, FPS), index)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("monet", ("monet",)),
        ("monet+wave", ("monet", "wave")),
        (" monet + wave ", ("monet", "wave")),
        ("./a+b", ("./a", "b")),
    ],
)
def test_a_plus_stands_between_two_styles(typed: str, names: tuple[str, ...]) -> None:
    assert style_names(typed) == names


def test_a_folder_whose_name_has_a_plus_is_one_style(tmp_path: Path) -> None:
    folder = make_style(tmp_path / "a+b")
    assert style_names(str(folder)) == (str(folder),)


@pytest.mark.parametrize("typed", ["a+", "+", "a+b+c", "a++b", "a+a"])
def test_what_is_no_mix_of_two_is_refused(typed: str) -> None:
    with pytest.raises(StyleError) as error:
        style_names(typed)
    assert str(error.value) == f"style {typed!r} is no mix of two: type for example --style monet+wave"


def card(name: str, size_px: int, multiple: int = 8, fixed: tuple[int, int] | None = None) -> Card:
    models = {"fp32": Model("model.onnx", "0" * 64, 1)}
    return Card(name, name, multiple, 16, size_px, models, "cyclegan", fixed_size=fixed)


def test_two_networks_look_at_the_larger_of_their_sizes_in_multiples_of_both() -> None:
    assert mixed_size([card("a", 160), card("b", 160)], 720, 1280) == (160, 288)
    assert mixed_size([card("a", 160, 8), card("b", 254, 12)], 720, 1280) == (264, 456)
    assert mixed_size([card("a", 160), card("b", 320)], 720, 1280, 96) == (96, 168)
    fixed = card("b", 64, fixed=(64, 64))
    assert mixed_size([fixed], 720, 1280) == (64, 64)
    with pytest.raises(StyleError, match="^styles a and b cannot be mixed: one of them takes images of one"):
        mixed_size([card("a", 160), fixed], 720, 1280)


@pytest.mark.parametrize(
    ("share", "level", "asked"),
    [(0.0, 40, (1, 0)), (0.25, 80, (1, 1)), (0.5, 120, (1, 1)), (0.9, 184, (1, 1)), (1.0, 200, (0, 1))],
)
@pytest.mark.parametrize("call", ["translate", "start"])
def test_both_are_averaged_and_one_alone_is_computed_alone(
    share: float, level: int, asked: tuple[int, int], call: str
) -> None:
    one, other = Plain(40), Plain(200)
    mixed = Mixed(one, other, lambda: share)
    image = drawn_image(*SIZE)[None]
    before = image.copy()
    found = mixed.translate(image) if call == "translate" else mixed.start(image).result()
    assert found.shape == image.shape
    assert np.all(found == level)
    assert np.array_equal(image, before)
    assert (one.asked, other.asked) == asked
    mixed.close()
    mixed.close()
    assert min(one.closed, other.closed) >= 1


def test_a_mix_of_something_drawn_is_shown_as_the_network_made_it() -> None:
    one = Plain(1, "keep")
    assert Mixed(one, Plain(1, "keep"), lambda: 0.5).info.detail == "keep"
    assert Mixed(one, Plain(1, "network"), lambda: 0.5).info.detail == "network"


def test_a_still_scene_is_computed_anew_where_the_mix_changes() -> None:
    one, other = Plain(40), Plain(200)
    one.info = replace(one.info, device="CPU (fake)")
    controls = Controls()
    translator = Translator(Mixed(one, other, lambda: controls.mix), controls, still=True)
    given = list(frames(6))
    for frame in given[:4]:
        translator.translate(frame)
    assert one.asked == 2
    controls.mix = 1.0
    assert np.all(translator.translate(given[4]).rgb == 200)


def levels(translator: Translator, given: Iterator[Frame]) -> list[int]:
    return [int(frame.rgb[0, 0, 0]) for frame in translator.translate_all(given)]


def test_a_style_turns_into_the_next_one_and_both_are_computed_only_meanwhile() -> None:
    controls = Controls(fade_s=0.5)
    one, other = Plain(0), Plain(200)
    translator = Translator(one, controls)
    assert levels(translator, frames(3)) == [0, 0, 0]
    translator.switch(other)
    assert levels(translator, frames(8, first=3)) == [0, 40, 80, 120, 160, 200, 200, 200]
    assert (one.asked, other.asked, one.closed) == (3 + 5, 8, 1)
    translator.close()
    assert (one.closed, other.closed) == (1, 1)


@pytest.mark.parametrize("end", ["close", "switch"])
def test_a_fade_that_is_cut_short_leaves_nothing_open(end: str) -> None:
    controls = Controls(fade_s=5.0)
    one, other, third = Plain(0), Plain(200), Plain(100)
    translator = Translator(one, controls)
    levels(translator, frames(1))
    translator.switch(other)
    levels(translator, frames(2, first=1))
    if end == "switch":
        translator.switch(third)
        assert levels(translator, frames(2, first=3)) == [200, 198]
        assert (one.closed, other.closed) == (1, 0)
    translator.close()
    translator.close()
    assert min(one.closed, other.closed) == 1


def test_without_a_fade_the_next_frame_is_the_new_style() -> None:
    one, other = Plain(0), Plain(200)
    translator = Translator(one, Controls())
    assert levels(translator, frames(1)) == [0]
    translator.switch(other)
    assert levels(translator, frames(1, first=1)) == [200]
    assert (one.asked, one.closed) == (1, 1)


def test_a_run_mixes_two_styles_of_files_and_of_images_of_many_sizes(
    tmp_path: Path, own_styles: Path
) -> None:
    make_style(own_styles, "negative", save_negative(tmp_path / "negative.onnx"))
    make_style(own_styles, "same", save_negative(tmp_path / "same.onnx"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("one.png", (40, 64)), ("other.png", (48, 48))):
        write_image(drawn_image(*size), folder / name)

    def translated(style: str, **asked: Any) -> list[Rgb]:
        out = tmp_path / f"{style}-{asked.get('mix')}"
        run_job(Run(str(folder), style, (f"{out}/",), backend="openvino", **asked), Stop())
        return [read_image(path).rgb for path in sorted(out.iterdir())]

    alone = translated("negative")
    for mix in (0.0, 0.5, 1.0):
        for found, expected in zip(translated("negative+same", mix=mix), alone, strict=True):
            assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_mix_of_a_style_that_is_not_there_is_said_before_a_network_is_loaded(tmp_path: Path) -> None:
    write_image(drawn_image(40, 64), tmp_path / "in.png")
    with pytest.raises(StyleError, match="^no style 'nosuch'"):
        run_job(Run(str(tmp_path / "in.png"), "monet+nosuch", (str(tmp_path / "out.png"),)), Stop())
