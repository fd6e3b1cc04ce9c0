"""Opening the outputs of a run: which are written, how, and which are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rt.controls import Controls
from rt.errors import SinkError
from rt.sinks import SinkOptions, open_outputs
from rt.sinks.null import NullSink
from rt.sources.file import FileSource
from tests.support.media import Audio, Clip, drawn, side_streams, video, write_clip
from tests.support.sinks import SIZE, frame, write


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_one_file_and_several_are_written_whole_from_a_file(tmp_path: Path) -> None:
    names = [f"{tmp_path}/{name}" for name in ("a.mp4", "b.mkv", "frames/")]
    several = open_outputs(names, None, live=False, size=SIZE)
    write(several, 40)
    several.close()
    assert len(video(tmp_path / "a.mp4").pts) == len(video(tmp_path / "b.mkv").pts) == 40
    assert len(list((tmp_path / "frames").iterdir())) == 40


def test_every_file_gets_the_whole_audio(tmp_path: Path) -> None:
    clip = Clip(
        codec="mjpeg",
        pixels="yuvj420p",
        unit=Fraction(1, 1000),
        pts=range(-80, 2000, 40),  # from before zero: each writer shifts the times of its packets
        audio=[Audio(seconds=2.0), Audio("libopus", 2.0, rate=48000)],
        subtitles=[(0.2, "hello")],
        container_options={"avoid_negative_ts": "disabled"},
    )
    source = FileSource(write_clip(tmp_path / "in.mkv", clip))
    targets = [tmp_path / "a.mkv", tmp_path / "b.mkv"]
    several = open_outputs([str(path) for path in targets], source.info, live=False)
    for read in source:
        several.write(read)
    several.close()
    source.close()
    assert side_streams(targets[0]) == side_streams(targets[1])
    payloads = [[(each.codec, each.sha256) for each in side_streams(path)] for path in targets]
    assert payloads[1] == [(each.codec, each.sha256) for each in side_streams(tmp_path / "in.mkv")]


def test_an_output_that_cannot_be_opened_leaves_nothing_of_the_others(tmp_path: Path) -> None:
    names = [str(tmp_path / "a.mp4"), f"{tmp_path}/frames/", str(tmp_path / "b.xyz")]
    for live in (False, True):
        with pytest.raises(SinkError, match="suffix .xyz is not known"):
            open_outputs(names, None, live=live, size=SIZE)
        assert list(tmp_path.iterdir()) == []


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="by another run or because"):
        open_outputs([str(tmp_path / "a.mp4")] * 2, None, live=False, size=SIZE)


def test_compared_outputs_are_twice_as_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = 255 - drawn(0, *SIZE)
    both = replace(frame(0), origin=replace(frame(0), image=before))
    for live in (False, True):
        names = [f"{tmp_path}/{name}" for name in ("out.mp4", "frames/")]
        several = open_outputs(names, None, SinkOptions(overwrite=True), live=live, size=SIZE, compare=True)
        several.write(both)
        several.close()
        assert video(tmp_path / "out.mp4").size == (SIZE[0], 2 * SIZE[1])
        image = cv2.imread(str(tmp_path / "frames" / "000000.png"))
        assert image is not None
        assert np.array_equal(image[..., ::-1], np.concatenate([before, both.rgb], axis=1))


def test_a_recording_of_a_compared_view_holds_both_images(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    several = open_outputs(
        [],
        None,
        live=True,
        size=SIZE,
        window=NullSink(),
        record=str(out),
        controls=Controls(["a"], "a"),
        compare=True,
    )
    for index in range(3):
        several.write(replace(frame(index), origin=frame(index)))
    several.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]  # opened for the size that came
    assert video(out).size == (SIZE[0], 2 * SIZE[1])
    assert len(video(out).pts) == 3


ASKED = SinkOptions(codec="hevc", encoder="x265", crf=20, preset="fast")


@pytest.mark.parametrize("names", [["frames/"], ["null://", "img_%d.png"], []])
def test_words_about_video_are_refused_where_nothing_codes_it(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for options, words in (
        (ASKED, "--codec and --encoder and --crf and --preset"),
        (SinkOptions(crf=9), "--crf"),
    ):
        with pytest.raises(SinkError) as caught:
            open_outputs(names, None, options, live=False, size=SIZE, window=NullSink())
        assert str(caught.value) == (
            f"no output of this run codes video, so it has no use for {words}; "
            "leave that out, or name a video file"
        )
    assert list(tmp_path.iterdir()) == []


def test_words_about_video_are_taken_where_something_may_code_it(tmp_path: Path) -> None:
    options = SinkOptions(crf=20)
    open_outputs(["null://", str(tmp_path / "a.mp4")], None, options, live=False, size=SIZE).abort()
    view = NullSink()
    open_outputs([], None, options, live=True, size=SIZE, window=view, controls=Controls(["a"], "a")).abort()
    with pytest.raises(SinkError, match="there is no output nul://"):
        open_outputs(["nul://"], None, options, live=False, size=SIZE)


def test_an_output_alone_is_not_wrapped(tmp_path: Path) -> None:
    assert isinstance(open_outputs(["null://"], None, live=True), NullSink)


def test_a_recording_beside_a_recorded_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="name OUTPUT instead of --record"):
        open_outputs([], None, live=False, window=NullSink(), record="out.mp4")


def test_a_recording_beside_a_live_view_begins_at_once(tmp_path: Path) -> None:
    controls = Controls(["a"], "a")
    several = open_outputs(
        [],
        None,
        SinkOptions(),
        live=True,
        size=SIZE,
        window=NullSink(),
        record=str(tmp_path / "out.mp4"),
        controls=controls,
    )
    assert controls.recording
    write(several, 3)
    several.close()
    assert len(video(tmp_path / "out.mp4").pts) == 3
    assert controls.take_notes() == [
        f"recording to {tmp_path}/out.mp4",
        f"recorded 0.1 s to {tmp_path}/out.mp4",
    ]
