"""What of an image a network looks at."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from rt.backends import Backend, open_backend
from rt.card import View, read_card, write_card
from rt.controls import Controls
from rt.errors import StyleError
from rt.fit import shrink
from rt.frame import Frame, Rgb
from rt.media import MATRIX_601
from rt.planes import Converter, Planes
from rt.report import card_lines
from rt.styles import Style
from rt.translator import Translator
from rt.view import find_edges, look_at
from tests.support.onnx_styles import drawn_image, make_style, save_negative

SIZE = (32, 56)


def test_a_image_itself_is_not_copied() -> None:
    rgb = drawn_image(20, 30)
    assert look_at(rgb, "image") is rgb


def test_gray_is_the_brightness_in_all_three_colours() -> None:
    rgb = drawn_image(20, 30)
    gray = look_at(rgb, "gray")
    assert gray.shape == rgb.shape
    for channel in range(3):
        assert np.array_equal(gray[..., channel], cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def test_edges_are_black_lines_on_white() -> None:
    edges = look_at(np.repeat(np.tri(40, dtype=np.uint8)[..., None] * 200, 3, axis=2), "edges")
    assert set(np.unique(edges)) == {0, 255}
    assert 20 < (edges[..., 0] == 0).sum() < 120  # a line along the diagonal
    assert edges[5, 30].tolist() == [255, 255, 255]


def test_edges_are_found_between_colours_of_nearly_one_brightness_and_in_the_dark() -> None:
    yellow_on_white = np.full((60, 60, 3), 255, np.uint8)
    yellow_on_white[20:40, 20:40, 2] = 40  # 24 levels of gray, 215 of blue
    dim = np.zeros((60, 60, 3), np.uint8)
    dim[20:40, 20:40] = 30
    for photo in (yellow_on_white, dim):
        lines = find_edges(photo) == 0
        rows, columns = np.nonzero(lines)
        assert 60 <= lines.sum() <= 90  # the outline of a square of side 20
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx(
            (20, 40, 20, 40), abs=1
        )
    assert (find_edges(np.full((60, 60, 3), 128, np.uint8)) == 255).all()


def style(base: Path, view: View) -> Style:
    """Return a style that shows the negative of what it looks at."""
    base.mkdir(exist_ok=True)
    made = make_style(base, model=save_negative(base / "negative.onnx"))
    write_card(replace(read_card(made), view=view, detail="network" if view == "edges" else "keep"), made)
    return Style(made, read_card(made))


def opened(given: Style, view: View | None = None) -> Backend:
    return open_backend("onnxruntime", given, SIZE, view=view).backend


def frame(rgb: Rgb) -> Frame:
    return Frame(rgb, 0, Fraction(1, 25), 0)


def test_a_card_without_a_view_looks_at_the_image(tmp_path: Path) -> None:
    folder = make_style(tmp_path)
    text = (folder / "card.json").read_text()
    assert '"view": "image"' in text
    (folder / "card.json").write_text(text.replace('  "view": "image",\n', ""))
    assert read_card(folder).view == "image"


def test_a_card_with_an_unknown_view_is_damaged(tmp_path: Path) -> None:
    folder = make_style(tmp_path)
    path = folder / "card.json"
    path.write_text(path.read_text().replace('"view": "image"', '"view": "heat"'))
    with pytest.raises(
        StyleError, match=r"is damaged: view is 'heat', not one of image, gray, edges; install the style"
    ):
        read_card(folder)


def test_a_card_says_how_its_residual_is_applied_to_the_frame(tmp_path: Path) -> None:
    folder, rgb = (
        make_style(tmp_path, model=save_negative(tmp_path / "negative.onnx")),
        drawn_image(96, 168),
    )
    text = (folder / "card.json").read_text()
    assert '"detail": "keep"' in text
    (folder / "card.json").write_text(text.replace('"detail": "keep"', '"detail": "network"'))
    painted = Style(folder, read_card(folder))
    wanted = cv2.resize(255 - shrink(rgb, SIZE), (168, 96), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(Translator(opened(painted)).translate(frame(rgb)).rgb, wanted)
    (folder / "card.json").write_text(text.replace('"detail": "keep"', '"detail": "some"'))
    with pytest.raises(StyleError, match=r"is damaged: detail is 'some', not one of keep, network; install"):
        read_card(folder)


def test_a_card_that_is_shown_says_what_is_looked_at(tmp_path: Path) -> None:
    assert "the network sees the image's edges" in card_lines(style(tmp_path / "a", "edges"))
    assert not [line for line in card_lines(style(tmp_path / "b", "image")) if "sees" in line]


@pytest.mark.parametrize("view", ["image", "gray", "edges"])
def test_the_network_is_given_the_styles_view_of_the_shrunk_frame(tmp_path: Path, view: View) -> None:
    rgb = drawn_image(*SIZE)
    found = opened(style(tmp_path, view)).translate(rgb[None])[0]
    assert np.array_equal(found, 255 - look_at(rgb, view))


def test_images_at_once_are_each_seen_for_themselves(tmp_path: Path) -> None:
    both = np.stack([drawn_image(*SIZE), drawn_image(*SIZE, seed=1) // 4])
    found = opened(style(tmp_path, "edges")).translate(both)
    assert np.array_equal(found, 255 - np.stack([look_at(rgb, "edges") for rgb in both]))


def test_the_frame_may_be_given_as_another_view_than_the_styles(tmp_path: Path) -> None:
    rgb, sketch = drawn_image(*SIZE), style(tmp_path, "edges")
    assert np.array_equal(opened(sketch, "image").translate(rgb[None])[0], 255 - rgb)
    assert opened(sketch, "image").info.detail == "network"
    assert np.array_equal(opened(sketch, "gray").translate(rgb[None])[0], 255 - look_at(rgb, "gray"))


def test_a_style_of_edges_may_keep_the_frames_detail_and_without_a_word_shows_its_image(
    tmp_path: Path,
) -> None:
    folder = make_style(tmp_path, model=save_negative(tmp_path / "negative.onnx"))
    text = (folder / "card.json").read_text().replace('"view": "image"', '"view": "edges"')
    (folder / "card.json").write_text(text)
    assert opened(Style(folder, read_card(folder))).info.detail == "keep"
    (folder / "card.json").write_text(text.replace('  "detail": "keep",\n', ""))
    assert opened(Style(folder, read_card(folder))).info.detail == "network"
    assert opened(style(tmp_path / "photo", "image"), "edges").info.detail == "network"


def test_the_identity_changes_nothing_whatever_the_style_looks_at(tmp_path: Path) -> None:
    rgb = drawn_image(90, 160)
    backend = open_backend("identity", style(tmp_path, "edges"), SIZE).backend
    assert np.array_equal(Translator(backend).translate(frame(rgb)).rgb, rgb)


def test_what_gray_becomes_is_applied_to_the_coloured_frame_and_no_strength_is_the_frame(
    tmp_path: Path,
) -> None:
    rgb, gray = drawn_image(*SIZE), style(tmp_path, "gray")
    assert np.array_equal(Translator(opened(gray)).translate(frame(rgb)).rgb, 255 - look_at(rgb, "gray"))
    untouched = Translator(opened(gray), Controls(strength=0)).translate(frame(rgb))
    assert np.array_equal(untouched.rgb, rgb)


def test_a_image_made_from_edges_is_shown_instead_of_the_frame(tmp_path: Path) -> None:
    rgb, sketch = drawn_image(96, 168), style(tmp_path, "edges")
    small = 255 - look_at(shrink(rgb, SIZE), "edges")
    wanted = cv2.resize(small, (168, 96), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(Translator(opened(sketch)).translate(frame(rgb)).rgb, wanted)
    half = Translator(opened(sketch), Controls(strength=0.5)).translate(frame(rgb)).rgb
    assert np.abs(half - (rgb / 2 + wanted / 2)).max() <= 1
    asked = Translator(opened(sketch), detail="keep").translate(frame(rgb)).rgb
    assert not np.array_equal(asked, wanted)


@pytest.mark.parametrize("view", ["gray", "edges"])
def test_a_frame_stored_as_planes_is_seen_the_same_way(tmp_path: Path, view: View) -> None:
    image = av.VideoFrame.from_ndarray(drawn_image(96, 168), "rgb24").reformat(format="yuv420p")
    planes = Planes(image, MATRIX_601, Converter())
    given = style(tmp_path, view)
    found = Translator(opened(given)).translate(Frame(planes, 0, Fraction(1, 25), 0)).rgb
    small = planes.shrink(SIZE)
    wanted = Translator(opened(given)).translate(frame(planes.rgb)).rgb
    assert np.abs(found.astype(int) - wanted).mean() < 3
    assert np.array_equal(opened(given).translate(small[None])[0], 255 - look_at(small, view))


def test_a_switch_between_styles_changes_view_and_detail(tmp_path: Path) -> None:
    rgb = drawn_image(96, 168)
    translator = Translator(opened(style(tmp_path / "a", "image")))
    before = translator.translate(frame(rgb)).rgb
    translator.switch(opened(style(tmp_path / "b", "edges")))
    small = 255 - look_at(shrink(rgb, SIZE), "edges")
    wanted = cv2.resize(small, (168, 96), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(translator.translate(frame(rgb)).rgb, wanted)
    assert not np.array_equal(before, wanted)
