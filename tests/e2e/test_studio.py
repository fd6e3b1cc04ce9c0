"""The studio's server, over real sockets: what comes back to a page, and when."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from rt.backends import open_backend
from rt.web.jpeg import encode_jpeg, encode_png
from tests.support.onnx_styles import drawn_image
from tests.support.studio import (
    FRAME,
    STYLES,
    Page,
    Running,
    exactly,
    image,
    jpeg,
    running,
    translated,
)


def test_a_page_gets_its_frame_back_translated(studio: Running) -> None:
    with Page(studio) as page:
        welcome = page.text("welcome")
        assert [style["id"] for style in welcome["styles"]] == STYLES
        assert welcome["source"] == "browser"
        assert welcome["controls"] == {
            **{"type": "controls", "style": "drawn", "strength": 1.0, "steady": None},
            **{"mix": 0.5, "size": None, "detail": "keep", "number": None},
        }
        content = jpeg(FRAME)
        number = page.send(content, captured_ms=1234.5)
        answered, before, after, captured_ms = page.image()
        assert (answered, before, captured_ms) == (number, b"", 1234.5)
        assert np.array_equal(image(after), translated("drawn", image(content)))
        status = page.text("status")
        assert (status["backend"], status["precision"], status["size"]) == ("onnxruntime", "fp32", [32, 44])
        assert (status["dropped"], status["visitors"], status["loading"]) == (0, 1, None)


def test_the_knobs_are_each_visitors_own(studio: Running) -> None:
    content = jpeg(FRAME)
    seen = image(content)
    with Page(studio) as one, Page(studio) as other:
        one.controls(style="negative", strength=0.5, size=96, steady=0.5, number=3)
        answer = one.text("controls")
        assert (answer["style"], answer["number"]) == ("negative", 3)
        for page in (one, other):
            page.send(content)
            page.image()
        one.controls(steady=None)
        assert one.text("controls")["steady"] is None
        one.send(content)
        while one.texts[-1].get("size") != 96:
            one.text("controls")
        assert np.array_equal(image(one.image()[2]), translated("negative", seen, 96, strength=0.5))
        other.send(content)
        assert np.array_equal(image(other.image()[2]), translated("drawn", seen))


def hold_loading(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let networks be loaded only once the event is set."""
    release = threading.Event()

    def slow(name: str, style: object, size: tuple[int, int], precision: str) -> object:
        assert release.wait(30)
        return open_backend(name, style, size, precision)  # type: ignore[arg-type]

    monkeypatch.setattr("rt.web.service.open_backend", slow)
    return release


@pytest.mark.slow
def test_the_style_before_goes_on_until_the_next_is_there(
    studio: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = jpeg(FRAME)
    seen = image(content)
    with Page(studio) as page:
        page.send(content)
        page.image()
        release = hold_loading(monkeypatch)
        page.controls(style="negative")
        for _ in range(3):
            page.send(content)
            assert np.array_equal(image(page.image()[2]), translated("drawn", seen))
        assert page.text("status")["loading"] == "negative"
        release.set()
        for _ in range(200):
            page.send(content)
            if np.array_equal(image(page.image()[2]), translated("negative", seen)):
                break
        else:
            raise AssertionError("the next style never came")
        page.texts.clear()
        assert page.text("status")["loading"] is None


def test_a_style_asked_for_no_more_is_not_taken_and_its_loading_forgotten(
    studio: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = jpeg(FRAME)
    with Page(studio) as page:
        page.send(content)
        page.image()
        release = hold_loading(monkeypatch)
        page.controls(style="negative")
        page.send(content)
        page.image()
        page.controls(style="drawn")
        page.send(content)
        page.image()
        page.texts.clear()
        assert page.text("status")["loading"] is None
        release.set()
        page.send(content)
        assert np.array_equal(image(page.image()[2]), translated("drawn", image(content)))


def test_a_style_that_cannot_be_loaded_is_said_and_the_one_before_stays(
    studio: Running, styles: Path
) -> None:
    content = jpeg(FRAME)
    with Page(studio) as page:
        page.send(content)
        page.image()
        (styles / "negative" / "model.onnx").write_bytes(b"damaged")
        page.controls(style="negative")
        while not any(text["type"] == "error" for text in page.texts):
            page.send(content)
            assert np.array_equal(image(page.image()[2]), translated("drawn", image(content)))
        assert "is damaged: 7 bytes found" in next(t for t in page.texts if t["type"] == "error")["message"]
        page.send(content)
        page.image()
        assert [text["style"] for text in page.texts if text["type"] == "controls"][-1] == "drawn"


def test_a_first_style_that_cannot_be_loaded_is_said_for_each_frame(studio: Running, styles: Path) -> None:
    (styles / "drawn" / "model.onnx").write_bytes(b"damaged")
    with Page(studio) as page:
        for _ in range(2):
            page.send(jpeg(FRAME))
            assert "is damaged" in page.text("error")["message"]
        page.controls(style="negative")
        page.send(jpeg(FRAME))
        assert page.image()[0] == 3


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"no image", "needed is a JPEG, PNG or WebP"),
        (jpeg(FRAME)[:60], "its header ends early"),
        (jpeg(FRAME).replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65000, 65000), 1), "at most"),
        (jpeg(FRAME).replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 0, 64), 1), "at least 1x1"),
    ],
    ids=["text", "cut", "bomb", "tiny"],
)
def test_a_frame_that_is_no_image_is_said_and_the_page_goes_on(
    shared_studio: Running, content: bytes, fault: str
) -> None:
    with Page(shared_studio) as page:
        page.send(content)
        assert fault in page.text("error")["message"]
        number = page.send(jpeg(FRAME))
        assert page.image()[0] == number


SIZES = [
    *((24 + remainder, 36) for remainder in range(12)),
    *((36, 24 + remainder) for remainder in range(12)),
    *((1, 1), (2, 2), (2, 64), (64, 2), (3, 5), (1, 40), (270, 480), (854, 480), (750, 1334), (1088, 16)),
]
"""(height, width): every remainder of 12, hence of 2, 3, 4 and 6; tiny, thin, and sizes that people have."""


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_image_of_any_size_comes_back_in_it(shared_studio: Running, size: tuple[int, int]) -> None:
    studio, style = shared_studio, shared_studio.styles / "negative"
    rgb = drawn_image(*size)
    address = f"{studio.base}/api/translate?style=negative"
    png = {**studio.bearer, "Accept": "image/png"}
    answer = httpx.post(address, content=encode_png(rgb), headers=png, timeout=60)
    assert answer.status_code == 200, answer.text
    assert np.array_equal(image(answer.content), exactly(style, rgb))
    with Page(studio) as page:
        page.controls(style="negative")
        page.text("controls")
        content = jpeg(rgb)
        page.send(content)
        seen = image(content)
        assert np.array_equal(image(page.image()[2]), image(encode_jpeg(exactly(style, seen))))


def test_frames_of_another_size_go_on_with_a_network_of_theirs(shared_studio: Running) -> None:
    with Page(shared_studio) as page:
        for size in ((48, 64), (64, 48), (90, 40)):
            page.send(jpeg(drawn_image(*size)))
            assert image(page.image()[2]).shape[:2] == size


def test_a_control_that_is_unknown_is_said_and_changes_nothing(shared_studio: Running) -> None:
    with Page(shared_studio) as page:
        page.controls(style="../winter")
        assert page.text("error")["message"] == "there is no style '../winter'"
        assert page.text("controls")["style"] == "drawn"


@pytest.mark.slow
def test_of_frames_that_wait_the_newest_wins(studio: Running) -> None:
    with Page(studio) as page:
        page.send(jpeg(FRAME))
        page.image()
        numbers = [page.send(jpeg(drawn_image(720, 1280))) for _ in range(12)]
        answered = [page.image()[0]]
        while answered[-1] != numbers[-1]:
            answered.append(page.image()[0])
        assert answered == sorted(answered)
        page.texts.clear()
        assert page.text("status")["dropped"] == len(numbers) - len(answered)


def test_visitors_are_served_in_turn(studio: Running) -> None:
    """Three pages that always have a frame waiting get as many images as each other."""
    pages = [Page(studio) for _ in range(3)]
    counts = [0, 0, 0]
    over = threading.Event()

    def visit(number: int) -> None:
        while not over.is_set():
            pages[number].send(jpeg(FRAME))
            pages[number].image()
            counts[number] += 1
            if counts[number] == 100:
                over.set()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(3)]
    for page in pages:  # the network is there, and the first image of each
        page.send(jpeg(FRAME))
        page.image()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for page in pages:
        page.socket.close()
    assert max(counts) == 100
    assert min(counts) >= 50


def test_the_servers_own_source_is_shown_before_and_after(styles: Path) -> None:
    with running(style="negative", source="pattern://") as studio, Page(studio) as page:
        assert page.text("welcome")["source"] == "server"
        numbers = []
        for _ in range(3):
            numbers.append(page.send(b"", captured_ms=5.0))
            answered, before, after, captured_ms = page.image()
            assert (answered, captured_ms) == (numbers[-1], 5.0)
            seen = image(before)
            assert seen.shape == (360, 640, 3)
            difference = np.abs(image(after).astype(int) - exactly("negative", seen))
            assert difference.mean() < 4  # `before` went through a JPEG, what was translated did not


def test_a_source_that_ends_is_said(styles: Path, tmp_path: Path) -> None:
    from tests.support.media import Clip, cut_short, write_clip

    clip = cut_short(write_clip(tmp_path / "clip.mkv", Clip(frames=20)), 0.6)
    with running(style="negative", source=str(clip)) as studio, Page(studio) as page:
        page.send(b"")
        assert page.text("error")["message"].startswith("no more frames: ")


def test_a_folder_of_images_is_shown_over_and_over(styles: Path, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(FRAME))
    with running(style="negative", source=str(tmp_path)) as studio, Page(studio) as page:
        for _ in range(5):
            page.send(b"")
            assert image(page.image()[1]).shape == FRAME.shape
