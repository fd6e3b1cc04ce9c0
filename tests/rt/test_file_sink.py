"""What a video file keeps of its source."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rt.errors import DamagedSource
from rt.frame import Frame, Rgb
from rt.sinks.file import FileSink
from rt.sources.base import SourceOptions
from rt.sources.file import FileSource
from tests.support.copying import copy, frame, refusal
from tests.support.media import TURNS, Audio, Clip, Found, side_streams, video, write_clip


def payloads(found: list[Found]) -> list[tuple[str, str, str]]:
    return sorted((stream.kind, stream.codec, stream.sha256) for stream in found)


IRREGULAR = [0, 7, 8, 100, 1000, 1001, 1900, 1901]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    "clip",
    [
        Clip(unit=Fraction(1, 600), pts=IRREGULAR),
        Clip(unit=Fraction(1, 90000), pts=[450000 + 3003 * index for index in range(60)]),
        Clip(rate=Fraction(30000, 1001), frames=75),
        Clip(frames=1),
    ],
    ids=["irregular", "late", "ntsc", "one"],
)
def test_every_frame_keeps_its_exact_time(tmp_path: Path, suffix: str, clip: Clip) -> None:
    source = write_clip(tmp_path / "in.mp4", clip)
    copy(source, tmp_path / f"out{suffix}", options=SourceOptions(keep_clock=True))
    read, written = video(source), video(tmp_path / f"out{suffix}")
    assert written.times == read.times
    assert written.pts == read.pts
    assert written.unit == read.unit
    assert written.rate == read.rate or clip.pts is not None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 7, 32])
@pytest.mark.parametrize("audio", [[], [Audio(seconds=60.0)]], ids=["silent", "audio"])
def test_times_are_exact_wherever_a_fragment_ends(tmp_path: Path, seed: int, audio: list[Audio]) -> None:
    dice = random.Random(seed)
    pts = [0, *itertools.accumulate(dice.choice([1, 20, 40, 300, 900, 2000]) for _ in range(59))]
    copy(
        write_clip(tmp_path / "in.mp4", Clip(unit=Fraction(1, 600), pts=pts, audio=audio)),
        tmp_path / "out.mp4",
    )
    assert video(tmp_path / "out.mp4").times == [Fraction(each, 600) for each in pts]


def test_the_offset_of_the_audio_is_exact_to_the_sample(tmp_path: Path) -> None:
    clip = Clip(
        unit=Fraction(1, 600),
        frames=20,
        audio=[Audio(start_s=8297 / 44100)],
        container_options={"movie_timescale": "88200"},
    )
    source = write_clip(tmp_path / "in.mp4", clip)
    copy(source, tmp_path / "out.mp4")
    times = [side_streams(path)[0].times for path in (source, tmp_path / "out.mp4")]
    assert times[1] == times[0]
    assert (times[0][0] * 1000).denominator != 1  # not a whole millisecond


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_audio_of_a_transport_stream_is_described_anew_and_plays(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / "in.ts", Clip(frames=50, audio=[Audio(seconds=2.0)]))
    copy(source, tmp_path / f"out{suffix}")
    written = video(tmp_path / f"out{suffix}").times
    tolerance_s = 0.0006 if suffix == ".mkv" else 0
    assert max(abs(a - b) for a, b in zip(video(source).times, written, strict=True)) <= tolerance_s
    assert decoded_samples(tmp_path / f"out{suffix}") == pytest.approx(decoded_samples(source), abs=1024)


def decoded_samples(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(block.samples for block in container.decode(audio=0))


def test_a_finished_mp4_is_not_in_fragments(tmp_path: Path) -> None:
    copy(write_clip(tmp_path / "in.mp4", Clip(frames=100)), tmp_path / "out.mp4")
    data, at, names = (tmp_path / "out.mp4").read_bytes(), 0, []
    while at < len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        names.append(name)
        at += size if size != 1 else int.from_bytes(data[at + 8 : at + 16], "big")
    assert {b"moov", b"mdat"} <= set(names)
    assert b"moof" not in names


def test_matroska_keeps_times_of_whole_milliseconds_exactly(tmp_path: Path) -> None:
    clip = Clip(unit=Fraction(1, 1000), pts=[12, 15, 16, 400, 1900, 1901])
    copy(write_clip(tmp_path / "in.mkv", clip), tmp_path / "out.mkv")
    assert video(tmp_path / "out.mkv").pts == clip.pts


def test_matroska_rounds_to_the_millisecond_and_keeps_every_frame(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = FileSink(tmp_path / "out.mkv", size=(48, 64), frame_rate=Fraction(25))
    for index, pts in enumerate([0, 1, 2, 3000, 6000]):  # the first three within 1/15 of a millisecond
        sink.write(frame(index, pts=pts, unit=Fraction(1, 30000)))
    with caplog.at_level(logging.WARNING):
        sink.close()
    assert video(tmp_path / "out.mkv").pts == [0, 1, 2, 100, 200]
    assert "2 frames were closer than its clock" in caplog.text


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_before_zero_are_shifted_together(tmp_path: Path, suffix: str) -> None:
    shift_s = Fraction(2, 25)
    clip = Clip(
        codec="mjpeg",
        pixels="yuvj420p",
        unit=Fraction(1, 1000),
        pts=[-80, -40, 0, 40, 80],
        audio=[Audio("mp2", 0.2)],
        chapters=[(0.0, 0.08, "one"), (0.08, 0.2, "two")],
        container_options={"avoid_negative_ts": "disabled"},
    )
    source = write_clip(tmp_path / "in.mkv", clip)
    assert video(source).pts == [-80, -40, 0, 40, 80]
    copy(source, tmp_path / f"out{suffix}")
    read, written = video(source), video(tmp_path / f"out{suffix}")
    assert written.times == [time + shift_s for time in read.times]
    assert written.chapters[1][0] == pytest.approx(0.08 + float(shift_s))
    audio = [side_streams(path)[0].times for path in (source, tmp_path / f"out{suffix}")]
    assert audio[1][0] - audio[0][0] == pytest.approx(shift_s, abs=0.0006)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_audio_is_copied_byte_for_byte_at_its_time(tmp_path: Path, suffix: str) -> None:
    audio = [Audio(seconds=2.0, language="eng"), Audio("ac3", 2.0, start_s=0.25, rate=48000, language="deu")]
    source = write_clip(tmp_path / "in.mp4", Clip(frames=50, audio=audio))
    copy(source, tmp_path / f"out{suffix}")
    read, written = side_streams(source), side_streams(tmp_path / f"out{suffix}")
    assert payloads(written) == payloads(read)
    assert [stream.language for stream in written] == ["eng", "ger" if suffix == ".mov" else "deu"]
    assert [stream.disposition for stream in written] == [stream.disposition for stream in read]
    tolerance_s = 0.0006 if suffix == ".mkv" else 0
    for old, new in zip(read, written, strict=True):
        assert len(new.times) == len(old.times)
        assert max(abs(a - b) for a, b in zip(old.times, new.times, strict=True)) <= tolerance_s


def test_subtitles_fonts_chapters_and_metadata_are_copied(tmp_path: Path) -> None:
    clip = Clip(
        frames=50,
        audio=[Audio("flac", 2.0)],
        subtitles=[(0.2, "hello"), (1.5, "world")],
        font=b"not really a font" * 9,
        chapters=[(0.0, 1.0, "one"), (1.0, 2.0, "two")],
        metadata={"title": "A title", "DIRECTOR": "somebody"},
    )
    source = write_clip(tmp_path / "in.mkv", clip)
    copy(source, tmp_path / "out.mkv")
    read, written = video(source), video(tmp_path / "out.mkv")
    assert payloads(side_streams(tmp_path / "out.mkv")) == payloads(side_streams(source))
    assert written.chapters == read.chapters == [(0.0, 1.0, "one"), (1.0, 2.0, "two")]
    assert written.metadata == read.metadata


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_chapters_and_metadata_survive_in_mp4(tmp_path: Path, suffix: str) -> None:
    metadata = {"title": "A title", "com.apple.quicktime.make": "Somebody"}
    clip = Clip(frames=50, chapters=[(0.0, 1.0, "one"), (1.0, 2.0, "two")], metadata=metadata)
    source = write_clip(tmp_path / "in.mkv", clip)
    copy(source, tmp_path / f"out{suffix}")
    written = video(tmp_path / f"out{suffix}")
    assert written.chapters == [(0.0, 1.0, "one"), (1.0, 2.0, "two")]
    kept = {name.lower(): value for name, value in written.metadata.items()}
    assert {name: kept.get(name) for name in metadata} == metadata


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le"])
def test_uncompressed_audio_that_mp4_would_refuse_at_the_end_is_encoded(
    tmp_path: Path, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_clip(tmp_path / "in.mkv", Clip(audio=[Audio(codec, layout="stereo")]))
    with caplog.at_level(logging.INFO):
        copy(source, tmp_path / "out.mp4")
    assert f".mp4 cannot hold the source's {codec} audio (stream 1); it is encoded as AAC" in caplog.text
    assert [stream.codec for stream in side_streams(tmp_path / "out.mp4")] == ["aac"]
    assert decoded_samples(tmp_path / "out.mp4") == pytest.approx(decoded_samples(source), abs=1024)
    copy(source, tmp_path / "out.mkv")
    assert payloads(side_streams(tmp_path / "out.mkv")) == payloads(side_streams(source))


@pytest.mark.parametrize(("suffix", "kind"), [(".mp4", "video"), (".mkv", "video")])
def test_a_cover_image_is_copied(tmp_path: Path, suffix: str, kind: str) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(cover=True, audio=[Audio()]))
    copy(source, tmp_path / f"out{suffix}")
    assert payloads(side_streams(tmp_path / f"out{suffix}")) == payloads(side_streams(source))


def test_what_cannot_be_copied_anywhere_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(cover=True))
    with caplog.at_level(logging.WARNING):
        copy(source, tmp_path / "out.mov")
    assert "mjpeg second video or cover image (stream 1) cannot be copied and is left out" in caplog.text


@pytest.mark.parametrize(
    ("clip", "suffix", "advice"),
    [
        (Clip(subtitles=[(0.1, "hi")]), ".mp4", "cannot hold the source's srt subtitles (stream 1)"),
        (Clip(subtitles=[(0.1, "hi")]), ".mov", "cannot hold the source's srt subtitles (stream 1)"),
    ],
)
def test_a_stream_the_container_cannot_hold_is_refused_before_the_run(
    tmp_path: Path, clip: Clip, suffix: str, advice: str
) -> None:
    source = FileSource(write_clip(tmp_path / "in.mkv", clip))
    message = refusal(tmp_path / f"out{suffix}", like=source.info)
    assert advice in message
    assert message.endswith(f"type {tmp_path / 'out.mkv'} instead")
    source.close()


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_rotation_is_kept(tmp_path: Path, turn: int, suffix: str) -> None:
    source = write_clip(tmp_path / "in.mov", Clip(size=(48, 64), matrix=TURNS[turn], frames=3))
    copy(source, tmp_path / f"out{suffix}")
    read, written = video(source), video(tmp_path / f"out{suffix}")
    assert (written.size, written.turn) == (read.size, read.turn)
    upright = [next(iter(FileSource(path))).rgb for path in (source, tmp_path / f"out{suffix}")]
    assert upright[0].shape == upright[1].shape
    assert np.abs(upright[0].astype(int) - upright[1]).mean() < 4


def test_frames_of_double_width_stand_upright_in_a_rotated_file(tmp_path: Path) -> None:
    source = FileSource(write_clip(tmp_path / "in.mov", Clip(size=(48, 64), matrix=TURNS[90], frames=3)))
    sink = FileSink(tmp_path / "out.mp4", source.info, size=(64, 96))
    for read in source:
        sink.write(Frame(np.hstack([read.rgb, 255 - read.rgb]), read.pts, read.time_base, read.index))
    sink.close()
    source.close()
    written = FileSource(tmp_path / "out.mp4")
    first = next(iter(written)).rgb.astype(int)
    assert first.shape == (64, 96, 3)
    assert np.abs(first[:, :48] + first[:, 48:] - 255).mean() < 4
    assert video(tmp_path / "out.mp4").size == (96, 64)
    written.close()


@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
@pytest.mark.parametrize("size", [(96, 96), (95, 97)])
def test_flat_colours_come_back_within_two_levels(tmp_path: Path, matrix: int, size: tuple[int, int]) -> None:
    patches = np.random.default_rng(3).integers(0, 256, (3, 3, 3)).astype(np.uint8)
    patches[0, 0], patches[2, 2] = 0, 255
    rgb: Rgb = np.zeros((*size, 3), np.uint8)
    rgb[:] = patches.repeat(33, 0).repeat(33, 1)[: size[0], : size[1]]
    tagged = Clip(codec="ffv1", pixels="yuv444p", size=size, colour=(matrix, 1, 2, 2), frames=1)
    source = FileSource(write_clip(tmp_path / "in.mkv", tagged))
    sink = FileSink(tmp_path / "out.mp4", source.info)
    for index in range(3):
        sink.write(Frame(rgb, index * 40, Fraction(1, 1000), index))
    sink.close()
    source.close()
    assert video(tmp_path / "out.mp4").colour == (matrix, 1, 2, 2)
    *_, last = FileSource(tmp_path / "out.mp4")
    middles = np.s_[16::33, 16::33]
    assert np.abs(last.rgb[middles].astype(int) - rgb[middles]).max() <= 2


def test_an_untagged_source_is_tagged_with_the_matrix_it_was_read_with(tmp_path: Path) -> None:
    copy(write_clip(tmp_path / "in.mp4", Clip(size=(720, 64), frames=2)), tmp_path / "out.mp4")
    copy(write_clip(tmp_path / "low.mp4", Clip(size=(48, 64), frames=2)), tmp_path / "low_out.mp4")
    assert video(tmp_path / "out.mp4").colour == (1, 1, 2, 2)
    assert video(tmp_path / "low_out.mp4").colour == (6, 1, 2, 2)


def test_hdr_tags_stay_with_the_numbers_they_describe(tmp_path: Path) -> None:
    clip = Clip(codec="ffv1", pixels="yuv420p10le", colour=(9, 1, 9, 16), frames=2)
    copy(write_clip(tmp_path / "in.mkv", clip), tmp_path / "out.mp4")
    assert video(tmp_path / "out.mp4").colour == (9, 1, 9, 16)


def test_the_shape_of_a_pixel_is_kept(tmp_path: Path) -> None:
    copy(write_clip(tmp_path / "in.mp4", Clip(aspect=Fraction(4, 3), frames=2)), tmp_path / "out.mp4")
    assert video(tmp_path / "out.mp4").aspect == Fraction(4, 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (37, 51), (36, 51), (37, 50), (16, 4096)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_any_size_is_kept_exactly(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    sink = FileSink(tmp_path / f"out{suffix}", size=size)
    for index in range(3):
        sink.write(frame(index, size))
    sink.close()
    written = video(tmp_path / f"out{suffix}")
    assert written.size == size
    assert len(written.pts) == 3
    even = size[0] % 2 == 0 and size[1] % 2 == 0
    assert written.pixels == ("yuv420p" if even else "yuv444p")


def test_the_image_is_neither_kept_nor_changed(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    given = frame(0)
    before = given.rgb.copy()
    sink.write(given)
    assert np.array_equal(given.rgb, before)
    given.rgb[:] = 0
    sink.write(frame(1))
    sink.close()
    first = next(iter(FileSource(tmp_path / "out.mp4"))).rgb
    assert np.abs(first.astype(int) - before).mean() < 8


def test_a_file_closed_early_is_whole_with_its_audio_so_far(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(frames=100, audio=[Audio(seconds=4.0)]))
    copy(source, tmp_path / "out.mp4", stop_after=40)
    written = video(tmp_path / "out.mp4")
    assert written.times == video(source).times[:40]
    audio = side_streams(tmp_path / "out.mp4")[0].times
    assert 1.4 < audio[-1] < 1.6
    assert not list(tmp_path.glob("*.part"))


def test_the_whole_audio_of_a_damaged_source_is_kept(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mkv", Clip(frames=100, audio=[Audio(seconds=4.0)]))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = FileSource(path)
    sink = FileSink(tmp_path / "out.mp4", source.info)
    with contextlib.suppress(DamagedSource):
        for read in source:
            sink.write(read)
    sink.close()
    source.close()
    assert payloads(side_streams(tmp_path / "out.mp4")) == payloads(side_streams(path))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_killed_run_leaves_a_playable_part(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(frames=150, audio=[Audio(seconds=6.0)]))
    program = (
        "import os, sys\n"
        "from rt.sources import open_source\n"
        "from rt.sinks import open_sink\n"
        "source = open_source(sys.argv[1])\n"
        "sink = open_sink(sys.argv[2], source.info)\n"
        "for frame in source:\n"
        "    sink.write(frame)\n"
        "    if frame.index == 130:\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    target = tmp_path / f"out{suffix}"
    killed = subprocess.run([sys.executable, "-c", program, str(source), str(target)], check=False)
    assert killed.returncode == -9
    part = tmp_path / f"out{suffix}.part"
    left = video(part)
    assert len(left.times) >= 50
    tolerance_s = 0.0006 if suffix == ".mkv" else 0
    read = video(source).times
    assert max(abs(a - b) for a, b in zip(left.times, read, strict=False)) <= tolerance_s
    assert len(side_streams(part)[0].times) >= 80
    copy(source, target)  # the next run replaces what the killed one left
    assert not part.exists()
    assert len(video(target).times) == 150
