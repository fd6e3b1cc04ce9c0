from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rt.errors import SourceError
from rt.frame import Frame
from rt.sources import SourceOptions, open_source
from rt.sources.live import LiveSource
from rt.sources.pipe import PipeGrabber
from tests.support.cli import environment
from tests.support.media import Audio, Clip, write_clip
from tests.support.servers import PipeWriter, y4m_frame, y4m_header

SOON_S = 0.3


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[PipeWriter]:
    with PipeWriter(tmp_path / "camera.y4m") as writer:
        yield writer


def next_of(frames: Iterator[Frame], level: int) -> Frame:
    return next(frame for frame in frames if not frame.stale and abs(int(frame.rgb.mean()) - level) < 8)


def test_a_fifo_is_a_camera(writer: PipeWriter) -> None:
    source = open_source(str(writer.path))
    assert source.live is True
    assert (source.info.height, source.info.width, source.info.frame_rate) == (48, 64, Fraction(100))
    frames = iter(source)
    assert np.abs(next(frames).rgb.astype(int) - 100).max() <= 1
    writer.level = 200
    assert next_of(frames, 200).captured_s is not None
    source.close()


def test_a_writer_that_pauses_keeps_its_pipe(writer: PipeWriter, caplog: pytest.LogCaptureFixture) -> None:
    source = LiveSource(PipeGrabber(str(writer.path)), fresh_s=SOON_S)
    frames = iter(source)
    next(frames)
    writer.stalled = True
    assert next(frame for frame in frames if frame.stale).rgb.shape == (48, 64, 3)
    writer.stalled, writer.level = False, 30
    next_of(frames, 30)
    source.close()
    assert writer.writers == 1
    said = [record.getMessage() for record in caplog.records]
    assert said[-2] == f"{writer.path}: no new frame for 0.3 s; waiting for it"
    assert said[-1].startswith(f"{writer.path}: it is back after ")


def test_when_a_writer_ends_the_next_one_is_waited_for(
    writer: PipeWriter, caplog: pytest.LogCaptureFixture
) -> None:
    source = LiveSource(PipeGrabber(str(writer.path)), fresh_s=SOON_S)
    frames = iter(source)
    next(frames)
    writer.level = 30
    writer.end()
    next_of(frames, 30)
    writer.stalled = True
    next(frame for frame in frames if frame.stale)
    source.close()
    assert writer.writers >= 2
    faults = ("its writer ended", "what comes is damaged")  # the second where the next one was quick
    assert any(f"{writer.path}: {fault}; opening it again" in caplog.text for fault in faults)


def test_a_fifo_nobody_writes_into_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match=r"/pipe: nothing was written \("):
        LiveSource(PipeGrabber(str(tmp_path / "pipe"), open_s=0.2))


def test_a_writer_that_stops_within_the_header_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    os.write(held, y4m_header())
    with pytest.raises(SourceError, match=r"/pipe: no frame came in 0.3 s"):
        LiveSource(PipeGrabber(str(path), open_s=0.3))
    os.close(held)


@pytest.mark.slow
def test_ctrl_c_ends_the_wait_for_a_pipes_first_image(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    os.write(held, y4m_header())
    code = f"from rt.sources import open_source\nprint('opening', flush=True)\nopen_source({str(path)!r})\n"
    reader = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert reader.stdout is not None
    reader.stdout.readline()
    time.sleep(1.5)
    reader.send_signal(signal.SIGINT)
    _, said = reader.communicate(timeout=5)
    os.close(held)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in said


def test_close_ends_the_wait_for_a_writer(writer: PipeWriter) -> None:
    source = open_source(str(writer.path))
    next(iter(source))
    writer.stalled = True
    source.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("capture")]


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def talk() -> None:
        path.write_text("dear diary\n" * 300)

    talker = threading.Thread(target=talk)
    talker.start()
    with pytest.raises(SourceError, match=r"/pipe: what comes is not a video \("):
        open_source(str(path))
    talker.join()


def test_a_pipe_without_a_name_is_over_when_its_writer_is() -> None:
    code = (
        "from rt.sources import open_source\n"
        "source = open_source('/dev/stdin')\n"
        "frames = list(source)\n"
        "source.close()\n"
        "print(source.info.height, source.info.width, frames[-1].rgb.mean())\n"
    )
    content = y4m_header() + b"".join(y4m_frame(level) for level in (50, 100, 200))
    said = subprocess.run(
        [sys.executable, "-c", code],
        input=content,
        capture_output=True,
        env=environment(),
        timeout=60,
        check=True,
    )
    assert said.stdout.decode().strip() == "48 64 200.0"


def read_through_stdin(content: bytes) -> str:
    """Return height and width, whether a frame came, and what was said, of a run over `content`."""
    code = (
        "from rt.log import set_up_log\n"
        "from rt.sources import open_source\n"
        "set_up_log()\n"
        "source = open_source('/dev/stdin')\n"
        "print(source.info.height, source.info.width, len(list(source)) > 0)\n"
        "source.close()\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        timeout=60,
        check=True,
    )
    return said.stdout.decode()


def test_what_is_read_to_find_the_video_is_not_lost_and_its_end_is_the_end(tmp_path: Path) -> None:
    # The first frame is the only keyframe, and audio ends in a packet of its own.
    clip = Clip(frames=20, codec="libvpx", audio=[Audio("libopus", 0.8, rate=48000)])
    said = read_through_stdin(write_clip(tmp_path / "clip.webm", clip).read_bytes())
    assert said == "/dev/stdin: 64x48, 25 fps, vp8, audio opus 48000 Hz mono\n48 64 True\n"


def test_a_pipe_that_ends_in_what_is_no_video_is_over() -> None:
    said = read_through_stdin(y4m_header() + y4m_frame(50) * 3 + b"DAMAGED" * 40000)
    assert said.endswith("48 64 True\n")


def test_the_null_device_holds_no_video() -> None:
    with pytest.raises(SourceError, match=r"^cannot read /dev/null: nothing was written \("):
        open_source("/dev/null")


def test_what_a_pipe_cannot_do_is_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path / "pipe"), SourceOptions(loop=True))
    assert str(caught.value) == (
        f"cannot use --loop with {tmp_path / 'pipe'}: it is a pipe; leave --loop out"
    )
