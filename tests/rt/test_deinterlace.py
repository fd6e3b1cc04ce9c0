"""Interlaced sources, drawn with an edge that moves between the fields."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest

from rt.errors import SourceError
from rt.frame import Frame, Rgb
from rt.sources import open_source
from rt.sources.base import SourceOptions
from rt.sources.file import FileSource
from rt.sources.stream import Decoder, StreamGrabber
from tests.support.copying import copy
from tests.support.media import Clip, video, write_clip

FRAMES = 8
SIZE = (96, 128)
INTERLACED = {
    "h264, top first": ("libx264", {"flags": "+ilme+ildct"}, True),
    "h264, bottom first": ("libx264", {"flags": "+ilme+ildct"}, False),
    "mpeg2": ("mpeg2video", {"flags": "+ilme+ildct", "qmin": "1"}, True),
    "mpeg4": ("mpeg4", {"flags": "+ilme+ildct", "qmin": "1"}, False),
}
CONTAINERS = {
    "h264, top first": (".mts", ".mkv", ".mp4"),
    "h264, bottom first": (".ts", ".mov"),
    "mpeg2": (".vob", ".mkv"),
    "mpeg4": (".avi", ".mp4"),
}
EVERY = [(name, suffix) for name, suffixes in CONTAINERS.items() for suffix in suffixes]


def moment(field: int) -> Rgb:
    """Return the scene at one field's time, uint8[H, W, 3]: a bright bar that goes 6 px a field."""
    height, width = SIZE
    x = np.arange(width)
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:] = np.where((x >= 10 + 6 * field) & (x < 34 + 6 * field), 220, 40 + x // 4)[None, :, None]
    return rgb


def woven(top_first: bool) -> Any:
    def paint(index: int, height: int, width: int) -> Rgb:
        first, second = moment(2 * index), moment(2 * index + 1)
        rgb: Rgb = first.copy()
        rgb[1 if top_first else 0 :: 2] = second[1 if top_first else 0 :: 2]
        return rgb

    return paint


def interlaced(folder: Path, name: str, suffix: str) -> Path:
    codec, options, top_first = INTERLACED[name]
    order = f"setfield={'tff' if top_first else 'bff'}"
    clip = Clip(SIZE, FRAMES, codec=codec, options=options, image=woven(top_first), through=order)
    return write_clip(folder / f"in{suffix}", clip)


def comb(rgb: Rgb) -> float:
    """Return how much rows differ from the mean of their neighbours, in levels: teeth of a comb."""
    rows = rgb[..., 1].astype(np.float32)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())


def miss(rgb: Rgb, expected: Rgb) -> float:
    """Return the mean difference of two images, in levels."""
    return float(np.abs(rgb.astype(np.float32) - expected).mean())


def read(
    path: Path, how: Literal["deinterlace", "keep"] = "deinterlace", fields: bool = False
) -> list[Frame]:
    return list(FileSource(path, options=SourceOptions(interlaced=how, fields=fields)))


@pytest.mark.parametrize(("name", "suffix"), EVERY)
def test_each_interlaced_frame_becomes_a_progressive_one_of_its_first_field(
    tmp_path: Path, name: str, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = interlaced(tmp_path, name, suffix)
    frames, kept = read(path), read(path, "keep")
    assert len(frames) == len(kept) == FRAMES
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in kept]
    assert comb(kept[3].rgb) > 8 > 2 > max(comb(frame.rgb) for frame in frames)
    for index, frame in enumerate(frames):
        assert miss(frame.rgb, moment(2 * index)) < 4
    assert caplog.text.count("deinterlaced, one frame each") == 1
    assert caplog.text.count("kept as they are: combed") == 1


@pytest.mark.parametrize(("name", "suffix"), EVERY)
def test_both_fields_become_frames_at_their_own_times(tmp_path: Path, name: str, suffix: str) -> None:
    path = interlaced(tmp_path, name, suffix)
    source = FileSource(path, options=SourceOptions(fields=True))
    assert source.info.frame_rate == 50
    assert source.info.frame_count in (None, 2 * FRAMES)
    frames = list(source)
    assert len(frames) == 2 * FRAMES
    distances = {later.pts - sooner.pts for sooner, later in itertools.pairwise(frames)}
    tick_s = frames[0].time_base  # Matroska's is 1 ms, of which 20 ms are whole
    assert {float(distance * tick_s) for distance in distances} == {0.02}
    for index, frame in enumerate(frames):
        assert comb(frame.rgb) < 2
        assert miss(frame.rgb, moment(index)) < 4
    copy(path, tmp_path / "out.mp4", options=SourceOptions(fields=True))
    assert video(tmp_path / "out.mp4").times == [Fraction(index, 50) for index in range(2 * FRAMES)]


def test_a_part_of_an_interlaced_file_is_cut_as_that_of_another(tmp_path: Path) -> None:
    path = interlaced(tmp_path, "h264, top first", ".mkv")
    part = list(FileSource(path, 0.08, 0.12))
    assert [frame.time_s for frame in part] == [0, 0.04, 0.08]
    for index, frame in enumerate(part):
        assert miss(frame.rgb, moment(2 * (index + 2))) < 4


@pytest.mark.parametrize("fields", [False, True])
def test_progressive_video_stays_as_it_is(
    tmp_path: Path, fields: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = write_clip(tmp_path / "in.mkv", Clip(SIZE, FRAMES))
    frames, kept = read(path, fields=fields), read(path, "keep")
    assert [frame.time_s for frame in frames] == [frame.time_s for frame in kept]
    assert all(np.array_equal(one.rgb, other.rgb) for one, other in zip(frames, kept, strict=True))
    assert "interlaced" not in caplog.text


@pytest.mark.parametrize("fields", [False, True])
def test_a_file_that_becomes_interlaced_in_the_middle_keeps_every_frame(tmp_path: Path, fields: bool) -> None:
    plain = write_clip(tmp_path / "plain.ts", Clip(SIZE, FRAMES, options={"bf": "0"}))
    woven_path = interlaced(tmp_path, "h264, top first", ".ts")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(plain.read_bytes() + woven_path.read_bytes())
    frames = read(joined, fields=fields)
    assert len(frames) == FRAMES + FRAMES * (1 + fields)
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))
    assert max(comb(frame.rgb) for frame in frames[FRAMES:]) < 2
    with av.open(str(plain)) as container:
        shown = [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)
        ]
    assert miss(frames[2].rgb, shown[2]) < 3


@pytest.mark.parametrize(("name", "suffix"), EVERY)
@pytest.mark.parametrize("how", ["deinterlace", "keep"])
def test_what_is_read_as_it_comes_is_deinterlaced_to_its_last_frame(
    tmp_path: Path,
    name: str,
    suffix: str,
    how: Literal["deinterlace", "keep"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with av.open(str(interlaced(tmp_path, name, suffix))) as container:
        decoder = Decoder("live", container, options=SourceOptions(interlaced=how))
        frames = []
        while (decoded := decoder.next_frame(threading.Event())) is not None:
            frames.append(decoder.rgb(decoded))
    assert FRAMES - 1 <= len(frames) <= FRAMES  # what a decoder still holds at the end of a stream is lost
    if how == "keep":
        assert comb(frames[3]) > 8
        assert caplog.text.count("kept as they are: combed") == 1
    else:
        assert max(comb(rgb) for rgb in frames) < 2
        assert miss(frames[3], moment(6)) < 4
        assert caplog.text.count("deinterlaced, one frame each") == 1


def test_a_pipe_is_deinterlaced(tmp_path: Path) -> None:
    path = interlaced(tmp_path, "h264, top first", ".mts")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(path.read_bytes()))
    writer.start()
    source = open_source(str(fifo), SourceOptions(duration_s=0.5))
    assert comb(next(iter(source)).rgb) < 2
    source.close()
    writer.join()


def served(content: bytes) -> tuple[threading.Thread, str]:
    """Send bytes to the first client of a TCP server; return its thread and its address."""
    server = socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        with server, server.accept()[0] as client:
            client.sendall(content)

    thread = threading.Thread(target=send)
    thread.start()
    return thread, f"tcp://127.0.0.1:{server.getsockname()[1]}"


def until_it_ends(grabber: StreamGrabber) -> Iterator[Rgb]:
    with suppress(SourceError):  # it ended
        while True:
            yield grabber.read()


@pytest.mark.parametrize(("name", "suffix"), [each for each in EVERY if each[1] not in (".mp4", ".mov")])
@pytest.mark.parametrize("how", ["deinterlace", "keep"])
def test_an_interlaced_stream_over_a_socket_is_deinterlaced_to_its_last_frame(
    tmp_path: Path,
    name: str,
    suffix: str,
    how: Literal["deinterlace", "keep"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    thread, address = served(interlaced(tmp_path, name, suffix).read_bytes())
    grabber = StreamGrabber(address, open_s=60, read_s=60, options=SourceOptions(interlaced=how))
    grabber.open()
    frames = list(itertools.islice(until_it_ends(grabber), 2 * FRAMES))
    grabber.close()
    thread.join()
    assert FRAMES - 1 <= len(frames) <= FRAMES
    if how == "keep":
        assert comb(frames[3]) > 8
        assert caplog.text.count("kept as they are: combed") == 1
    else:
        assert max(comb(rgb) for rgb in frames) < 2
        assert miss(frames[3], moment(6)) < 4
        assert caplog.text.count("deinterlaced, one frame each") == 1


def test_live_sources_give_no_fields() -> None:
    with pytest.raises(SourceError, match="^cannot use --fields with tcp://.*it is a live stream"):
        open_source("tcp://127.0.0.1:9", SourceOptions(fields=True))
