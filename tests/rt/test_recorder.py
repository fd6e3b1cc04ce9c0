"""Recordings of a live view."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rt.controls import Controls
from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkOptions
from rt.sinks.recorder import Recorder
from tests.support.disk import files_limited_to
from tests.support.media import drawn, video

SIZE = (32, 48)
RATE = Fraction(25)


def frame(index: int, size: tuple[int, int] = SIZE) -> Frame:
    return Frame(drawn(index, *size), 90000 * 60 + 3600 * index, Fraction(1, 90000), index)


@pytest.fixture
def controls() -> Controls:
    return Controls(["a"], "a")


def test_each_recording_is_a_file_of_its_own_that_begins_at_zero(
    tmp_path: Path, controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(RATE, controls=controls)
    for index in range(9):
        controls.recording = index in (2, 3, 5, 6, 7)
        recorder.write(frame(index))
    recorder.close()
    recorder.close()
    files = sorted(tmp_path.iterdir(), key=lambda path: len(video(path).pts))
    assert all(path.name.startswith("videobrush-2") and path.suffix == ".mp4" for path in files)
    assert [video(path).times for path in files] == [
        [0, Fraction(1, 25)],
        [0, Fraction(1, 25), Fraction(2, 25)],
    ]
    notes = controls.take_notes()
    assert [note.split(" videobrush")[0] for note in notes] == [
        "recording to",
        "recorded 0.1 s to",
        "recording to",
        "recorded 0.1 s to",
    ]


def test_a_named_recording_is_followed_by_numbered_ones(tmp_path: Path, controls: Controls) -> None:
    (tmp_path / "out-2.mp4").write_bytes(b"precious")
    recorder = Recorder(RATE, path=tmp_path / "out.mp4", size=SIZE, controls=controls)
    for index, recording in enumerate([True, False, True]):
        controls.recording = recording
        recorder.write(frame(index))
    recorder.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-2.mp4", "out-3.mp4", "out.mp4"]
    assert (tmp_path / "out-2.mp4").read_bytes() == b"precious"


def test_a_frame_of_another_size_begins_another_file(tmp_path: Path) -> None:
    recorder = Recorder(RATE, path=tmp_path / "out.mp4", size=SIZE)
    recorder.write(frame(0))
    recorder.write(frame(1, (32, 96)))
    recorder.write(frame(2, (32, 96)))
    recorder.close()
    assert video(tmp_path / "out.mp4").size == (32, 48)
    assert (video(tmp_path / "out-2.mp4").size, len(video(tmp_path / "out-2.mp4").pts)) == ((32, 96), 2)


def test_only_the_file_that_was_named_may_be_replaced(tmp_path: Path, controls: Controls) -> None:
    (tmp_path / "out.mp4").write_bytes(b"old")
    with pytest.raises(SinkError, match="it exists; add --overwrite"):
        Recorder(RATE, path=tmp_path / "out.mp4", size=SIZE)
    recorder = Recorder(RATE, SinkOptions(overwrite=True), path=tmp_path / "out.mp4", size=SIZE)
    recorder.write(frame(0))
    recorder.close()
    assert len(video(tmp_path / "out.mp4").pts) == 1


def noise(index: int) -> Frame:
    rgb = np.random.default_rng(index).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    return Frame(rgb, index, RATE**-1, index)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_ends_the_recording_and_keeps_what_was_recorded(
    tmp_path: Path, controls: Controls, suffix: str
) -> None:
    recorder = Recorder(RATE, path=tmp_path / f"out{suffix}", size=(240, 320), controls=controls)
    written = 0
    with files_limited_to(4_000_000):
        while controls.recording and written < 500:
            recorder.write(noise(written))
            written += 1
    assert not controls.recording
    recorder.write(noise(0))  # the view goes on
    notes = controls.take_notes()
    assert notes[1] == (
        f"cannot write {tmp_path}/out{suffix}: file too large; what was recorded before that is kept"
    )
    with pytest.raises(SinkError, match="file too large; what was recorded before that is kept"):
        recorder.close()
    assert [path.name for path in tmp_path.iterdir()] == [f"out{suffix}"]
    assert written - 60 < len(video(tmp_path / f"out{suffix}").pts) < written


def test_a_folder_that_is_gone_turns_an_unnamed_recording_off(
    tmp_path: Path, controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.sinks.recorder.timestamped", lambda folder, suffix: tmp_path / "gone" / "a.mp4")
    recorder = Recorder(RATE, controls=controls)
    controls.recording = True
    recorder.write(frame(0))
    assert not controls.recording
    assert "there is no folder" in controls.take_notes()[0]
    recorder.close()  # it was said: no reason to fail the run


KILLED = """
import os, sys
from fractions import Fraction
from pathlib import Path
from rt.frame import Frame
from rt.sinks import open_outputs
from rt.sinks.null import NullSink
from tests.support.disk import files_limited_to
from tests.support.media import drawn

sink = open_outputs([sys.argv[1]], None, live=True, size=(48, 64), frame_rate=Fraction(25), window=NullSink())
waiting = sink._threads[0]._frames._items
for index in range(150):
    sink.write(Frame(drawn(index, 48, 64), 3600 * (1000 + index), Fraction(1, 90000), index))
    while len(waiting) > 8:
        pass
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_killed_recording_leaves_a_playable_part(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target)], cwd=root, check=False)
    assert killed.returncode == -9
    left = video(tmp_path / f"out{suffix}.part")
    assert len(left.times) >= 75
    assert left.times[:3] == [0, Fraction(1, 25), Fraction(2, 25)]
