"""Frames pushed to servers that answer, refuse, die and stall."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkOptions, open_outputs, open_sink, redacted, stream
from rt.sinks.stream import StreamSink
from rt.sources.file import FileSource
from tests.support.captioned import write_captioned
from tests.support.media import Clip, drawn, video, write_clip
from tests.support.receivers import RtspServer, closed_port, deaf_server, frames_in, tcp_server

SIZE = (48, 64)
RATE = Fraction(25)
LIMIT_S = 60


def frame(index: int, size: tuple[int, int] = SIZE) -> Frame:
    return Frame(drawn(index, *size), 1000 + index, 1 / RATE, index)


def noise(index: int) -> Frame:
    rgb = np.random.default_rng(index).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    return Frame(rgb, index, 1 / RATE, index)


def pushed(address: str, count: int = 20, **options: object) -> None:
    sink = open_sink(address, None, SinkOptions(**options), size=SIZE, frame_rate=RATE)  # type: ignore[arg-type]
    for index in range(count):
        sink.write(frame(index))
    sink.close()
    sink.close()
    sink.abort()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        commands = [Path(f"/proc/{child}/cmdline") for child in children.read_text().split()]
        assert not [path for path in commands if path.exists() and b"stream_child" in path.read_bytes()]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SERVER_BACKOFF_S", (0.0,))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_every_frame_reaches_a_tcp_server(codec: str) -> None:
    with tcp_server("read") as server:
        pushed(f"tcp://127.0.0.1:{server.port}", codec=codec)
    assert frames_in(server.received[0]) == [SIZE] * 20


@pytest.mark.parametrize("captioned", [False, True])
def test_captions_that_a_stream_loses_are_said_at_its_first_frame(
    captioned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = (
        write_captioned(tmp_path / "in.ts") if captioned else write_clip(tmp_path / "in.ts", Clip((96, 128)))
    )
    source = FileSource(path)
    with tcp_server("read") as server:
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", source.info)
        for read in source:
            sink.write(read)
        sink.close()
    assert len(frames_in(server.received[0])) >= 7
    assert caplog.text.count("closed captions are left out: streams out have none") == captioned


def test_an_odd_size_loses_its_last_row_and_column() -> None:
    with tcp_server("read") as server:
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", size=(37, 51), frame_rate=RATE)
        for index in range(3):
            sink.write(frame(index, (37, 51)))
        sink.close()
    assert frames_in(server.received[0]) == [(36, 50)] * 3


def test_each_frame_leaves_the_encoder_at_once() -> None:
    with tcp_server("read") as server:
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", size=SIZE, frame_rate=RATE)
        sink.write(frame(0))
        assert server.taken.acquire(timeout=LIMIT_S)  # nothing else is sent: the header came with it
        sink.close()


def test_an_interrupt_at_the_end_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with tcp_server("read") as server:
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", size=SIZE, frame_rate=RATE)
        sink.write(frame(0))
        assert sink._child is not None
        process = sink._child._process
        monkeypatch.setattr(subprocess.Popen, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sink.close()
        assert process.returncode is not None


def test_every_frame_reaches_an_rtmp_server(tmp_path: Path) -> None:
    port = closed_port()
    program = (
        "import av, contextlib, sys\n"
        "source, count = av.open(sys.argv[1], options={'listen': '1'}), 0\n"
        "with contextlib.suppress(OSError):\n"  # how FFmpeg sees the end of a stream
        "    for _ in source.decode(video=0): count += 1\n"
        "print(source.format.name, count)\n"
    )
    address = f"rtmp://127.0.0.1:{port}/live/secret"
    server = subprocess.Popen(
        [sys.executable, "-c", program, address], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    wait_for_listener(port, server)
    pushed(address)
    assert server.communicate(timeout=LIMIT_S)[0] == "flv 20\n"


def wait_for_listener(port: int, server: subprocess.Popen[str]) -> None:
    """Wait until a process listens, without connecting: it takes one connection only."""
    pattern = re.compile(rf"^\s*\d+: \w+:{port:04X} \w+:0000 0A ", re.MULTILINE)
    until = time.monotonic() + LIMIT_S
    while not pattern.search(Path("/proc/net/tcp").read_text()):
        assert server.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)


def test_every_frame_reaches_an_rtsp_server() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        server = RtspServer(listener)
        thread = threading.Thread(target=server.serve)
        thread.start()
        pushed(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live")
        thread.join(LIMIT_S)
    assert server.methods == ["OPTIONS", "ANNOUNCE", "SETUP", "RECORD", "TEARDOWN"]
    assert "m=video" in server.description
    assert "H264/90000" in server.description
    assert server.packets >= 20


@pytest.mark.parametrize("scheme", ["tcp", "rtmp", "rtsp"])
def test_a_server_that_refuses_is_one_line_before_the_run(scheme: str) -> None:
    port = closed_port()
    with pytest.raises(SinkError) as caught:
        pushed(f"{scheme}://user:password@127.0.0.1:{port}/live/secret")
    assert str(caught.value) == f"cannot write {scheme}://127.0.0.1:{port}: connection refused"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["rtmp", "rtsp"])
def test_a_server_that_never_answers_is_found_and_stops_nothing_meanwhile(scheme: str) -> None:
    ticks = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.05):
            ticks.append(time.monotonic())

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        with deaf_server() as port, pytest.raises(SinkError) as caught:
            StreamSink(f"{scheme}://127.0.0.1:{port}/live", size=SIZE, frame_rate=RATE, limit_s=1.5)
    finally:
        done.set()
        ticker.join()
    assert str(caught.value) == (
        f"cannot write {scheme}://127.0.0.1:{port}: the server takes nothing for 1.5 s"
    )
    assert len(ticks) > 5


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_server_that_dies_is_said_once_and_found_again(caplog: pytest.LogCaptureFixture) -> None:
    with tcp_server("once", "once", "read") as server, caplog.at_level(logging.INFO):
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", size=SIZE, frame_rate=RATE)
        written = 0
        until = time.monotonic() + LIMIT_S
        while len(server.received) < 3 or not server.received[-1]:
            assert time.monotonic() < until
            sink.write(frame(written))
            written += 1
        for index in range(5):
            sink.write(frame(written + index))
        sink.close()
    assert frames_in(server.received[-1])[-5:] == [SIZE] * 5
    name = f"tcp://127.0.0.1:{server.port}"
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2  # two deaths
    assert all(text.startswith(f"{name}: ") and text.endswith("; trying again") for text in said)
    assert sum(text.startswith(f"{name}: back after ") for text in caplog.messages) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_server_that_stalls_is_given_up_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with tcp_server("hold", "read") as server, caplog.at_level(logging.INFO):
        sink = StreamSink(
            f"tcp://127.0.0.1:{server.port}", None, size=(480, 640), frame_rate=RATE, limit_s=2.0
        )
        index = 0
        while "takes nothing for 2 s; trying again" not in caplog.text:
            assert index < 2000
            sink.write(noise(index))
            index += 1
        server.go_on.set()
        for more in range(3):
            sink.write(noise(index + more))
        sink.close()
    assert len(server.received) == 2
    assert frames_in(server.received[1]) == [(480, 640)] * 3


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_sending_process_may_be_killed(caplog: pytest.LogCaptureFixture) -> None:
    with tcp_server("read") as server, caplog.at_level(logging.INFO):
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", size=SIZE, frame_rate=RATE)
        sink.write(frame(0))
        assert sink._child is not None
        sink._child._process.kill()
        index = 1
        while "trying again" not in caplog.text:
            sink.write(frame(index))
            index += 1
        for more in range(3):
            sink.write(frame(index + more))
        sink.close()
    assert "what sends the stream ended with status -9; trying again" in caplog.text
    assert frames_in(server.received[-1])[-3:] == [SIZE] * 3


@pytest.mark.slow
def test_a_killed_run_leaves_no_sending_process() -> None:
    program = (
        "import os, sys\n"
        "from fractions import Fraction\n"
        "from rt.frame import Frame\n"
        "from rt.sinks import open_sink\n"
        "from tests.support.media import drawn\n"
        "sink = open_sink(sys.argv[1], None, size=(48, 64))\n"
        "for index in range(10):\n"
        "    sink.write(Frame(drawn(index, 48, 64), index, Fraction(1, 25), index))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    with tcp_server("read") as server:
        address = f"tcp://127.0.0.1:{server.port}"
        root = Path(__file__).parents[2]
        killed = subprocess.run([sys.executable, "-c", program, address], cwd=root, check=False)
        assert killed.returncode == -9
    # The server took everything until the other end closed: the process ended by itself, in order.
    assert frames_in(server.received[0]) == [SIZE] * 10


@pytest.mark.slow
def test_a_server_that_stays_away_is_tried_after_growing_pauses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    with tcp_server("once") as server:
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", size=SIZE, frame_rate=RATE)
        for index in range(1000):
            sink.write(frame(index))
            if sink._child is None:
                break
    attempts: list[float] = []
    connect = sink._connect

    def counted() -> None:
        attempts.append(now[0])
        connect()

    monkeypatch.setattr(sink, "_connect", counted)
    monkeypatch.setattr("rt.sinks.stream.time.monotonic", lambda: now[0])
    sink._next_s = now[0]
    while len(attempts) < 4:
        sink.write(frame(0))
        now[0] += 0.5
    sink.close()
    assert np.diff(attempts).tolist() == [2.0, 4.0, 8.0]
    assert caplog.text.count("trying again") == 1


@pytest.mark.slow
def test_aborting_wakes_a_write_that_is_stuck() -> None:
    with tcp_server("hold") as server:
        sink = StreamSink(
            f"tcp://127.0.0.1:{server.port}", None, size=(480, 640), frame_rate=RATE, limit_s=LIMIT_S
        )
        written = 0
        ended: list[str] = []

        def write() -> None:
            nonlocal written
            try:
                while True:
                    sink.write(noise(written))
                    written += 1
            except SinkError as error:
                ended.append(str(error))

        thread = threading.Thread(target=write)
        thread.start()
        count = -1
        while written != count:  # until it is stuck
            count = written
            time.sleep(0.5)
        sink.abort()
        thread.join(LIMIT_S / 2)
        assert not thread.is_alive()
        assert ended == [f"cannot write tcp://127.0.0.1:{server.port}: it is closed"]


@pytest.mark.usefixtures("quick")
def test_a_frame_of_another_size_begins_the_stream_anew() -> None:
    with tcp_server("read") as server:
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", size=SIZE, frame_rate=RATE)
        for index, size in enumerate([SIZE, SIZE, (32, 96), (32, 96), (32, 96)]):
            sink.write(frame(index, size))
        sink.close()
    assert [frames_in(data) for data in server.received] == [[SIZE] * 2, [(32, 96)] * 3]


def test_a_dead_server_does_not_stop_the_other_outputs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tcp_server("once") as server:
        names = [f"tcp://127.0.0.1:{server.port}", str(tmp_path / "out.mp4")]
        outputs = open_outputs(names, None, live=False, size=SIZE, frame_rate=RATE)
        for index in range(20):
            outputs.write(frame(index))
        outputs.close()
    assert len(video(tmp_path / "out.mp4").pts) == 20
    assert caplog.text.count("trying again") <= 1


def test_a_codec_that_the_receivers_do_not_take_is_refused() -> None:
    with pytest.raises(
        SinkError, match="cannot write rtmp://host: rtmp receivers take H.264; type --codec h264"
    ):
        StreamSink("rtmp://host/live/secret", None, SinkOptions(codec="hevc"), size=SIZE)


def test_what_may_be_secret_is_not_shown() -> None:
    assert redacted("rtmp://user:password@live.example:1935/app/key?token=1") == "rtmp://live.example:1935"
