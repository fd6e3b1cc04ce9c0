"""The promises of every source."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from rt.errors import DamagedSource, SourceError
from rt.sources import Source, SourceOptions, open_source
from rt.sources.camera import CameraGrabber, Mode
from rt.sources.live import LiveSource
from tests.support.captures import FakeCapture, make_devices
from tests.support.media import Clip, cut_short, drawn, write_clip
from tests.support.servers import Peer, PipeWriter
from train.data.images import save_image

LIMIT_S = 20  # only reached where something hangs


def whole_file(folder: Path, opened: ExitStack) -> Source:
    return open_source(str(write_clip(folder / "whole.mp4", Clip(size=(40, 56), frames=30))))


def damaged_file(folder: Path, opened: ExitStack) -> Source:
    return open_source(str(cut_short(write_clip(folder / "cut.mkv", Clip(frames=60)), 0.5)))


def part_of_a_file(folder: Path, opened: ExitStack) -> Source:
    path = write_clip(folder / "whole.mp4", Clip(size=(40, 56), frames=40))
    return open_source(str(path), SourceOptions(start_s=0.3, duration_s=0.8))


def looped_file(folder: Path, opened: ExitStack) -> Source:
    path = write_clip(folder / "whole.mp4", Clip(size=(40, 56), frames=8))
    return open_source(str(path), SourceOptions(loop=True, duration_s=1.0))


def looped_images(folder: Path, opened: ExitStack) -> Source:
    return open_source(str(_row(folder)), SourceOptions(loop=True, duration_s=0.5))


def images(folder: Path, opened: ExitStack) -> Source:
    return open_source(str(_row(folder)))


def damaged_images(folder: Path, opened: ExitStack) -> Source:
    row = _row(folder)
    (row / "2.png").write_bytes(b"torn")
    return open_source(str(row))


def _row(folder: Path) -> Path:
    row = folder / "row"
    row.mkdir()
    for index in range(5):
        save_image(row / f"{index}.png", drawn(index, 40, 56))
    return row


def pattern(folder: Path, opened: ExitStack) -> Source:
    return open_source("pattern://", SourceOptions(fps=Fraction(50), height=40, width=56, duration_s=0.5))


def unpaced_pattern(folder: Path, opened: ExitStack) -> Source:
    return open_source("pattern://?unpaced", SourceOptions(height=40, width=56, duration_s=1))


def stream(folder: Path, opened: ExitStack) -> Source:
    source = open_source(opened.enter_context(Peer()).address, SourceOptions(duration_s=0.3))
    opened.callback(source.close)
    return source


def camera(folder: Path, opened: ExitStack) -> Source:
    FakeCapture.reset()
    opened.enter_context(mock.patch("cv2.VideoCapture", FakeCapture))
    grabber = CameraGrabber("0", Mode(40, 56, Fraction(30)), devices=make_devices(folder / "dev"))
    source = LiveSource(grabber, duration_s=0.3)
    opened.callback(source.close)
    return source


def pipe(folder: Path, opened: ExitStack) -> Source:
    writer = opened.enter_context(PipeWriter(folder / "pipe"))
    source = open_source(str(writer.path), SourceOptions(duration_s=0.3))
    opened.callback(source.close)
    return source


WHOLE = {
    "file": whole_file,
    "part of a file": part_of_a_file,
    "looped file": looped_file,
    "images": images,
    "looped images": looped_images,
    "pattern": pattern,
    "unpaced pattern": unpaced_pattern,
    "camera": camera,
    "stream": stream,
    "pipe": pipe,
}
DAMAGED = {"file": damaged_file, "images": damaged_images}
Opener = Callable[[Path, ExitStack], Source]


@pytest.fixture(params=list(WHOLE.values()), ids=list(WHOLE))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    opener: Opener = request.param
    with ExitStack() as opened:
        yield opener(tmp_path, opened)


@pytest.fixture(params=list(DAMAGED.values()), ids=list(DAMAGED))
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    opener: Opener = request.param
    with ExitStack() as opened:
        yield opener(tmp_path, opened)


def test_every_frame_is_rgb_of_the_size_the_source_said(source: Source) -> None:
    for frame in source:
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.shape == (source.info.height, source.info.width, 3)
        assert frame.rgb.flags.c_contiguous
    source.close()


def test_frames_are_numbered_from_zero_and_their_times_increase(source: Source) -> None:
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert all(earlier.pts < later.pts for earlier, later in itertools.pairwise(frames))
    assert {frame.time_base for frame in frames} == {frames[0].time_base}
    assert isinstance(frames[0].time_base, Fraction)
    source.close()


def test_a_frame_is_never_overwritten_by_a_later_one(source: Source) -> None:
    frames, copies = [], []
    for frame in source:
        frames.append(frame)
        copies.append(frame.rgb.copy())
    source.close()
    for frame, copy in zip(frames, copies, strict=True):
        assert np.array_equal(frame.rgb, copy)


def test_iteration_ends_at_the_end(source: Source) -> None:
    frames = iter(source)
    assert len(list(frames)) > 1
    assert next(frames, None) is None
    source.close()


def test_close_works_twice_before_within_and_after_the_iteration(source: Source) -> None:
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    source.close()


def test_a_source_is_iterated_once(source: Source) -> None:
    assert len(list(source)) > 1
    with pytest.raises(RuntimeError, match="iterated once"):
        next(iter(source))
    source.close()


def test_its_nature_and_facts_are_said_before_the_first_frame(source: Source) -> None:
    assert source.info.name
    assert source.info.frame_rate is not None
    assert source.dropped == 0
    live = [frame.captured_s is not None for frame in source]
    assert set(live) == {source.live}
    source.close()


def test_no_thread_is_left_behind(source: Source) -> None:
    next(iter(source))
    source.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("capture")] == []


def test_close_without_reading_works(source: Source) -> None:
    source.close()
    assert list(source) == []


def test_close_from_any_thread_ends_a_reader(source: Source) -> None:
    begun, ended = threading.Event(), threading.Event()

    def read() -> None:
        for _ in source:
            begun.set()
        ended.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert begun.wait(LIMIT_S)
    source.close()
    assert ended.wait(LIMIT_S)
    reader.join(LIMIT_S)


def test_a_damaged_source_gives_its_frames_and_then_says_so_in_one_line(damaged: Source) -> None:
    count, message = 0, ""
    try:
        for _ in damaged:
            count += 1
    except DamagedSource as error:
        message = str(error)
    damaged.close()
    assert count > 1
    assert re.search(rf"read {count} frames|{5 - count} of 5 images", message)
    assert "\n" not in message


@pytest.mark.parametrize("address", ["nowhere.mp4", "http://127.0.0.1/x.mp4", "", "."])
def test_what_cannot_be_opened_is_refused_in_one_line(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError) as caught:
        open_source(address)
    assert "\n" not in str(caught.value)
