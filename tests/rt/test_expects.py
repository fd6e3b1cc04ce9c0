from __future__ import annotations

import logging
import queue
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rt.batch.driver import run_batch
from rt.batch.plan import make_plan
from rt.batch.report import end_lines, viewing
from rt.card import EXPECTS, Expects, read_card
from rt.commands import Batch, Run
from rt.expects import fits
from rt.frame import Frame
from rt.image import decode_image, encode_image
from rt.job import run_job
from rt.pipeline import Stop
from rt.sources import SourceOptions, open_source
from rt.styles import GALLERY, find_style
from rt.web.protocol import Header
from rt.web.service import TranslationService
from rt.web.visitor import JpegFrame
from tests.support.cli import ROOT
from tests.support.onnx_styles import make_style
from tools.gallery.draw_facades import drawn, plan

PHOTOS = sorted((ROOT / "train" / "data" / "photos").glob("*.jpg"))
Image = npt.NDArray[np.uint8]


def read(path: Path) -> Image:
    return decode_image(path.read_bytes()).rgb


def gray(rgb: Image) -> Image:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)


def label_map(seed: int, size: tuple[int, int] = (256, 256)) -> Image:
    """Draw rectangles in a dozen colours on a ground of one."""
    random = np.random.default_rng(seed)
    colours = random.integers(0, 256, (12, 3))
    drawn = np.full((*size, 3), colours[0], np.uint8)
    for number in range(60):
        top, left = random.integers(0, size[0]), random.integers(0, size[1])
        drawn[top : top + size[0] // 6, left : left + size[1] // 5] = colours[number % 12]
    return drawn


def as_jpeg(rgb: Image) -> Image:
    return decode_image(encode_image(rgb, "JPEG", options={"quality": 75})).rgb


def test_there_are_photos_to_judge_by() -> None:
    assert len(PHOTOS) >= 10


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_photos_are_plainly_no_label_maps_and_those_in_colour_no_gray_ones(photo: Path) -> None:
    rgb = read(photo)
    assert [fits(rgb, expects) for expects in EXPECTS] == [True, False, False]
    old = gray(rgb).astype(np.float64)
    sepia = np.clip(old * (1.07, 1, 0.8) + (8, 0, 0), 0, 255).astype(np.uint8)
    for faded in (gray(rgb), as_jpeg(gray(rgb)), sepia, gray(rgb) // 4):
        assert fits(faded, "gray photo")


@pytest.mark.parametrize("seed", range(8))
def test_label_maps_are_taken_for_what_they_are_at_every_size_and_after_jpeg(seed: int) -> None:
    for size in ((256, 256), (216, 384), (1080, 1920), (90, 50), (3, 2)):
        drawn = label_map(seed, size)
        assert fits(drawn, "label map")
        assert min(size) < 200 or fits(as_jpeg(drawn), "label map")


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 2)])
@pytest.mark.parametrize("expects", EXPECTS)
def test_images_of_any_size_are_judged(size: tuple[int, int], expects: Expects) -> None:
    assert fits(np.zeros((*size, 3), np.uint8), expects)


def test_the_gallery_says_what_its_styles_are_for() -> None:
    found = {folder.name: read_card(folder).expects for folder in GALLERY.iterdir() if folder.is_dir()}
    others = {name: expects for name, expects in found.items() if expects != "photo"}
    assert others == {"colour": "gray photo"}
    assert fits(drawn(plan(np.random.default_rng(0))), "label map")  # what tools/gallery/facade learns from


@pytest.mark.parametrize(("expects", "said"), [("photo", 0), ("gray photo", 1), ("label map", 1)])
def test_a_run_says_once_that_its_frames_are_plainly_something_else(
    expects: Expects, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_style(tmp_path, "meadow", expects=expects)
    (tmp_path / "photo.png").write_bytes(encode_image(read(PHOTOS[0]), "PNG"))
    asked = Run(str(tmp_path / "photo.png"), str(folder), (str(tmp_path / "o.png"),), backend="identity")
    with caplog.at_level(logging.WARNING):
        assert run_job(asked, Stop()).frames == 1
    lines = [line for line in caplog.messages if line.startswith("style meadow is for ")]
    assert len(lines) == said
    assert all("use another style" in line for line in lines)
    clip = ROOT / "rt" / "demo" / "clip.mp4"
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        asked = Run(str(clip), str(folder), ("null://",), backend="identity", duration=0.5)
        assert run_job(asked, Stop()).frames > 3
    assert len([line for line in caplog.messages if line.startswith("style meadow is for ")]) == said


@pytest.mark.parametrize(("expects", "said"), [("photo", 0), ("gray photo", 1), ("label map", 1)])
def test_a_batch_says_it_once_at_the_first_and_counts_them_at_the_end(
    expects: Expects, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_style(tmp_path, "meadow", expects=expects)
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"photo {number}.png").write_bytes(encode_image(read(PHOTOS[0])[::3, ::3], "PNG"))
    asked = Batch((str(tmp_path / "in"),), tmp_path / "out", (str(folder),), backend="identity")
    with caplog.at_level(logging.WARNING):
        outcome = run_batch(asked, make_plan(asked), lambda: False, viewing)
    assert outcome.counts == {"done": 3}
    assert len([line for line in caplog.messages if line.startswith("style meadow is for ")]) == said
    notes = [line for line in end_lines(outcome, "again") if line.startswith("note ")]
    assert len(notes) == said
    assert all(" and 2 more: style meadow is for " in note for note in notes)


@pytest.mark.parametrize(("expects", "said"), [("photo", 0), ("gray photo", 1), ("label map", 1)])
@pytest.mark.parametrize("source", ["page", "server"])
def test_the_studio_says_it_once_to_each_page(
    expects: Expects, said: int, source: str, tmp_path: Path
) -> None:
    style = find_style(str(make_style(tmp_path, "meadow", expects=expects)))
    service = TranslationService({style.name: style}, style.name, backend="identity")
    notes: list[Any] = []
    frames: queue.Queue[bytes] = queue.Queue()

    def send(message: Any) -> None:
        if isinstance(message, bytes):
            frames.put(message)
        elif message["type"] == "note":
            notes.append(message["message"])

    visitor = service.join(send)
    rgb = read(PHOTOS[0])[::3, ::3]
    for number in range(3):
        if source == "page":
            visitor.submit(JpegFrame(Header(number, 0, 0.0), encode_image(rgb, "JPEG"), send))
        else:
            visitor.request(Header(number, 0, 0.0))
            service.show(Frame(rgb, number, Fraction(1, 1000), number))
        service.wake()
        assert frames.get(timeout=30)
    service.close()
    assert len(notes) == said
    assert all(note.startswith("style meadow is for ") for note in notes)


def test_the_demo_clip_is_a_photo() -> None:
    source = open_source(str(ROOT / "rt" / "demo" / "clip.mp4"), SourceOptions(duration_s=0.1))
    rgb = next(iter(source)).rgb
    source.close()
    assert [fits(rgb, expects) for expects in EXPECTS] == [True, False, False]
