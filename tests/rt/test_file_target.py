"""Where a video file may be written, and what is left when writing fails."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import av
import numpy as np
import pytest

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkOptions, open_sink
from rt.sinks.encoder import probe_encoder
from rt.sinks.file import FileSink
from rt.sources.file import FileSource
from tests.support.copying import UNIT, copy, frame, refusal
from tests.support.disk import files_limited_to
from tests.support.media import Audio, Clip, video, write_clip


def test_an_existing_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    assert "it exists; add --overwrite to replace it" in refusal(target)
    assert target.read_bytes() == b"precious"


def test_an_existing_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    sink = FileSink(target, size=(48, 64), options=SinkOptions(overwrite=True))
    sink.write(frame(0))
    assert target.read_bytes() == b"precious"
    sink.abort()
    assert target.read_bytes() == b"precious"
    sink = FileSink(target, size=(48, 64), options=SinkOptions(overwrite=True))
    sink.write(frame(0))
    sink.close()
    assert len(video(target).pts) == 1


@pytest.mark.parametrize("link", ["same", "symbolic", "hard", "dotted"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_input_is_never_overwritten(tmp_path: Path, link: str, overwrite: bool) -> None:
    path = write_clip(tmp_path / "in.mp4", Clip(frames=2))
    before = path.read_bytes()
    target = tmp_path / "link.mp4"
    if link == "symbolic":
        target.symlink_to(path)
    elif link == "hard":
        os.link(path, target)
    else:
        target = path if link == "same" else tmp_path / ".." / tmp_path.name / "in.mp4"
    source = FileSource(path)
    options = SinkOptions(overwrite=overwrite)
    assert "it is the input itself" in refusal(target, like=source.info, options=options)
    source.close()
    assert path.read_bytes() == before


def test_a_link_that_leads_nowhere_is_not_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.symlink_to("nowhere/holiday.mp4")
    assert "it exists; add --overwrite to replace it" in refusal(target)
    assert target.readlink() == Path("nowhere/holiday.mp4")


def test_a_part_that_is_the_input_is_not_replaced(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", Clip(frames=2)).rename(tmp_path / "out.mp4.part")
    source = FileSource(path)
    assert "would be replaced; rename it first" in refusal(tmp_path / "out.mp4", like=source.info)
    source.close()


def test_a_part_that_another_run_is_writing_is_left_alone(tmp_path: Path) -> None:
    first = FileSink(tmp_path / "out.mp4", size=(48, 64))
    assert "by another run or because" in refusal(tmp_path / "out.mp4")
    first.write(frame(0))
    first.close()
    assert len(video(tmp_path / "out.mp4").pts) == 1


@pytest.mark.parametrize("theirs", [False, True])
def test_where_another_run_is_quicker_only_its_part_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: bool
) -> None:
    part = tmp_path / "out.mp4.part"

    def taken(descriptor: int, how: int) -> None:
        if theirs:
            part.unlink()
            part.write_bytes(b"theirs")
        raise BlockingIOError

    monkeypatch.setattr("rt.sinks.target.fcntl.flock", taken)
    with pytest.raises(SinkError, match="by another run or because"):
        FileSink(tmp_path / "out.mp4", size=(48, 64))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([b"theirs"] if theirs else [])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("nowhere/out.mp4", "there is no folder"),
        (
            "out.mp3",
            "the suffix .mp3 is not known; a file name ending in one of .mp4, .m4v, .mov, .mkv, .webm",
        ),
        (
            "out",
            "it has no suffix; a file name ending in one of .mp4, .m4v, .mov, .mkv, .webm is needed; "
            "for images type {}/out/",
        ),
        ("out.webm", "WebM cannot hold H.264 video; type"),
        ("folder.mp4", "it is a folder"),
        ("x" * 250 + ".mp4", "file name too long"),
    ],
)
def test_an_impossible_target_is_refused(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    assert found.format(tmp_path) in refusal(tmp_path / name)


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("rt.sinks.target.os.open", denied)
    assert f"no permission to write in the folder {tmp_path}" in refusal(tmp_path / "out.mp4")


def noise(index: int) -> Frame:
    return Frame(
        np.random.default_rng(index).integers(0, 256, (240, 320, 3)).astype(np.uint8), index, UNIT, index
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("limit", [0, 300_000])
def test_a_full_disk_ends_the_file_with_one_line_and_leaves_nothing(
    tmp_path: Path, suffix: str, limit: int
) -> None:
    target = tmp_path / f"out{suffix}"
    with files_limited_to(limit), pytest.raises(SinkError, match="cannot write .*: file too large") as caught:
        write_noise(target)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def write_noise(target: Path) -> None:
    sink = FileSink(target, size=(240, 320))
    for index in range(60):
        sink.write(noise(index))
    sink.close()


def test_a_disk_that_is_full_at_the_end_leaves_nothing(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    sink.write(frame(0))
    with files_limited_to(64), pytest.raises(SinkError, match="file too large"):
        sink.close()
    assert list(tmp_path.iterdir()) == []
    sink.close()
    sink.abort()


def test_a_result_that_cannot_be_renamed_is_kept_and_named(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    sink.write(frame(0))
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(
        SinkError, match=r"out.mp4 came into being meanwhile; the result is in .*out.mp4.part"
    ):
        sink.close()
    sink.close()
    sink.abort()
    assert len(video(tmp_path / "out.mp4.part").pts) == 1


def test_abort_leaves_nothing_and_works_twice(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    sink.write(frame(0))
    sink.abort()
    sink.abort()
    sink.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SinkError, match="it is closed"):
        sink.write(frame(1))


def test_close_works_twice_and_abort_after_it_does_nothing(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    sink.write(frame(0))
    sink.close()
    sink.close()
    sink.abort()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_no_frame_is_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    with caplog.at_level(logging.WARNING):
        sink.close()
    assert list(tmp_path.iterdir()) == []
    assert "no frame was written" in caplog.text


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    with pytest.raises(SinkError, match="a frame of 32x16 came, the file was opened for 64x48"):
        sink.write(frame(0, (16, 32)))
    sink.abort()


def test_an_encoder_that_fails_ends_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = FileSink(tmp_path / "out.mp4", size=(48, 64))
    sink.write(frame(0))

    def broken(*arguments: object, **options: object) -> None:
        raise av.error.ExternalError(1, "Generic error in an external library")

    monkeypatch.setattr(sink._track, "_mux", broken)
    with pytest.raises(SinkError, match="generic error in an external library"):
        sink.write(frame(1))
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_colon_percent_and_spaces_is_a_plain_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "in.mp4", Clip(frames=2)).rename(tmp_path / "at 12:30 100%03d.mp4")
    copy(Path("at 12:30 100%03d.mp4"), Path("file:out %d.mkv"))
    assert len(video(tmp_path / "file:out %d.mkv").pts) == 2


def test_nothing_stays_open(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(frames=4, audio=[Audio()]))
    copy(source, tmp_path / "first.mp4")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for index in range(3):
        copy(source, tmp_path / f"{index}.mp4")
        sink = open_sink(str(tmp_path / "gone.mkv"), None, size=(48, 64))
        sink.write(frame(0))
        sink.abort()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_usable_encoder_is_told_from_one_that_is_not() -> None:
    assert probe_encoder("libx264") is None
    assert probe_encoder("no_such_encoder") is not None
    assert probe_encoder("aac") == "it is not a video encoder"
