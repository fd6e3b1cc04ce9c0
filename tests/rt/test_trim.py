"""Parts of files, and files that begin again: `--start`, `--duration`, `--loop`."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rt.errors import SourceError
from rt.frame import Frame
from rt.sinks.file import FileSink
from rt.sources import SourceOptions, open_source
from rt.sources.file import FileSource
from tests.support.media import Audio, Clip, cut_short, side_streams, video, write_clip

GOP = {"g": "10", "bf": "2"}
"""A keyframe every ten frames, and frames that are stored out of order."""


def read(path: Path, start_s: float = 0, duration_s: float | None = None) -> list[Frame]:
    return list(open_source(str(path), SourceOptions(start_s=start_s, duration_s=duration_s)))


def read_all(path: Path) -> list[Frame]:
    """Return every frame, its time on the clock of the file."""
    return list(open_source(str(path), SourceOptions(keep_clock=True)))


def assert_same(frames: list[Frame], expected: list[Frame], taken_off_s: float) -> None:
    assert len(frames) == len(expected)
    for frame, whole in zip(frames, expected, strict=True):
        assert np.array_equal(frame.rgb, whole.rgb)
        half_a_tick_s = float(frame.time_base / 2)
        assert frame.time_s == pytest.approx(whole.time_s - taken_off_s, abs=half_a_tick_s + 1e-6)
    assert [frame.index for frame in frames] == list(range(len(frames)))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".ts", ".flv"])
@pytest.mark.parametrize("start_s", [0.2, 0.81, 1.19])
def test_a_part_has_exactly_the_frames_and_times_of_the_whole(
    suffix: str, start_s: float, tmp_path: Path
) -> None:
    options = {**GOP, "bf": "0"} if suffix == ".avi" else GOP
    path = write_clip(tmp_path / f"clip{suffix}", Clip(frames=40, options=options))
    whole = read_all(path)
    with av.open(str(path)) as container:
        begin_s = (container.start_time or 0) / av.time_base  # an AVI's first frame is later
    expected = [f for f in whole if start_s - 1e-6 <= f.time_s - begin_s < start_s + 0.3 - 1e-6]
    assert_same(read(path, start_s, 0.3), expected, begin_s + start_s)
    rest = [f for f in whole if f.time_s - begin_s >= start_s - 1e-6]
    assert_same(read(path, start_s), rest, begin_s + start_s)


def test_the_start_counts_from_the_first_moment_of_a_file_whose_clock_is_late(tmp_path: Path) -> None:
    stamps = [250 + index for index in range(40)]
    path = write_clip(tmp_path / "late.mkv", Clip(pts=stamps, unit=Fraction(1, 25), options=GOP))
    whole = read_all(path)
    assert whole[0].time_s == pytest.approx(10)
    assert_same(read(path, 0.4, 0.4), whole[10:20], 10.4)


def test_variable_frame_times_are_kept(tmp_path: Path) -> None:
    stamps = [0, 40, 50, 200, 210, 500, 900, 1000]
    path = write_clip(tmp_path / "vfr.mkv", Clip(pts=stamps, unit=Fraction(1, 1000)))
    frames = read(path, 0.05, 0.6)
    assert [round(frame.time_s * 1000) for frame in frames] == [0, 150, 160, 450]


def test_the_facts_are_those_of_the_part(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(frames=50))
    source = FileSource(path, 0.4, 0.8)
    assert source.info.frame_count == 20
    assert source.info.video.first_pts == 0
    source.close()
    source = FileSource(path, 0.5)  # between two frames, 0.48 and 0.52
    assert source.info.video.first_pts * source.info.video.time_base == pytest.approx(0.02, abs=1e-4)
    assert next(iter(source)).pts == source.info.video.first_pts
    source.close()


def test_audio_chapters_and_images_of_a_part_start_together(tmp_path: Path) -> None:
    chapters = [(0.0, 0.9, "one"), (0.9, 2.0, "two"), (2.0, 4.0, "three")]
    clip = Clip(frames=100, options=GOP, audio=[Audio(seconds=4.0)], chapters=chapters)
    path = write_clip(tmp_path / "clip.mkv", clip)
    source = FileSource(path, 1.0, 0.8)
    sink = FileSink(tmp_path / "part.mkv", source.info)
    frames = 0
    for frame in source:
        sink.write(frame)
        frames += 1
    sink.close()
    assert frames == 20
    part = video(tmp_path / "part.mkv")
    assert [float(time_s) for time_s in part.times] == pytest.approx([index / 25 for index in range(20)])
    (audio,) = side_streams(tmp_path / "part.mkv")
    (whole,) = side_streams(path)
    expected = [time_s - 1 for time_s in whole.times if 1 <= time_s < Fraction(9, 5)]
    assert [float(time_s) for time_s in audio.times] == pytest.approx([float(t) for t in expected], abs=0.002)
    (chapter,) = part.chapters
    assert chapter[1] == pytest.approx(0.8, abs=0.002)
    assert (chapter[0], chapter[2]) == (0.0, "two")


def test_audio_stays_with_images_whose_clock_is_too_coarse_for_the_start(tmp_path: Path) -> None:
    clip = Clip(
        frames=30, rate=Fraction(15), codec="mjpeg", pixels="yuvj420p", audio=[Audio("pcm_s16le", 2.0)]
    )
    path = write_clip(tmp_path / "clip.avi", clip)
    frames = read(path, 0.5)
    taken_off = [
        whole.time_s - part.time_s for whole, part in zip(read(path)[-len(frames) :], frames, strict=True)
    ]
    assert taken_off == pytest.approx([8 / 15] * len(frames))
    (before,) = side_streams(path)
    source = FileSource(path, 0.5)
    sink = FileSink(tmp_path / "part.mov", source.info)
    for frame in source:
        sink.write(frame)
    sink.close()
    (after,) = side_streams(tmp_path / "part.mov")
    assert float(before.times[-1] - after.times[-1]) == pytest.approx(8 / 15, abs=0.001)


def test_a_start_behind_the_end_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(frames=25))
    with pytest.raises(SourceError) as caught:
        read(path, 7.5)
    assert str(caught.value) == f"cannot read {path}: it ends before 7.5 s; type a smaller --start"


def test_damage_behind_the_part_is_not_its_damage(tmp_path: Path) -> None:
    path = cut_short(write_clip(tmp_path / "cut.mkv", Clip(frames=100, options=GOP)), 0.7)
    assert len(read(path, 0.4, 0.8)) == 20


def test_a_fragmented_file_without_an_index_is_cut_exactly_too(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = write_clip(tmp_path / "live.mp4", Clip(frames=60, options=GOP, container_options=options))
    whole = read(path)
    assert_same(read(path, 1.0, 0.5), whole[25:38], 1.0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_looped_file_begins_again_and_its_times_go_on(suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", Clip(frames=10, audio=[Audio()]))
    whole = read(path)
    source = open_source(str(path), SourceOptions(loop=True, duration_s=1.0))
    frames = list(source)
    assert source.info.frame_count == len(frames) == 25
    assert [frame.index for frame in frames] == list(range(25))
    steps = [later.pts - earlier.pts for earlier, later in itertools.pairwise(frames)]
    assert {float(step * frames[0].time_base) for step in steps} == {0.04}
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.rgb, whole[index % 10].rgb)


def test_every_round_of_a_loop_starts_at_the_start(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(frames=10))
    whole = read(path)
    frames = list(open_source(str(path), SourceOptions(loop=True, start_s=0.24, duration_s=0.4)))
    assert [frame.time_s for frame in frames] == pytest.approx([0.04 * index for index in range(10)])
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.rgb, whole[6 + index % 4].rgb)


def test_a_looped_file_is_written_without_its_audio_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(frames=10, audio=[Audio()]))
    source = open_source(str(path), SourceOptions(loop=True, duration_s=1.0))
    sink = FileSink(tmp_path / "loop.mp4", source.info)
    for frame in source:
        sink.write(frame)
    sink.close()
    assert len(video(tmp_path / "loop.mp4").times) == 25
    assert side_streams(tmp_path / "loop.mp4") == []
    assert f"{path}: its audio and other streams are left out of the loop" in caplog.text


def test_what_is_odd_about_a_looped_file_is_said_in_its_first_round_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "raw.h264"
    write_clip(tmp_path / "clip.mp4", Clip(frames=10, options={"bf": "0"}))
    with av.open(str(tmp_path / "clip.mp4")) as read_from, av.open(str(path), "w", format="h264") as out:
        stream = out.add_stream_from_template(read_from.streams.video[0])
        bits = av.BitStreamFilterContext("h264_mp4toannexb", read_from.streams.video[0])
        for packet in read_from.demux():
            for filtered in bits.filter(packet):
                filtered.stream = stream
                out.mux(filtered)
    source = open_source(str(path), SourceOptions(loop=True, duration_s=2.0))
    assert len(list(source)) > 30
    assert caplog.text.count("time stamps were missing") == 1


@pytest.mark.parametrize("options", [SourceOptions(fps=Fraction(10)), SourceOptions(width=64)])
def test_what_a_file_cannot_do_is_refused_by_name(options: SourceOptions, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(frames=2))
    flag = "--fps" if options.fps else "--width"
    with pytest.raises(SourceError) as caught:
        open_source(str(path), options)
    assert str(caught.value) == f"cannot use {flag} with {path}: it is a video file; leave {flag} out"
