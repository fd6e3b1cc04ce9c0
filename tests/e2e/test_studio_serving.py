"""Starting and ending the studio, and what it leaves behind."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
import webbrowser
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from rt.errors import VideobrushError
from rt.translator import Translator
from tests.support.cli import environment
from tests.support.studio import (
    FRAME,
    Page,
    Running,
    handshake,
    handshake_lines,
    jpeg,
    open_sockets,
    running,
)


def test_a_fault_of_ours_ends_the_studio_with_it_and_nobody_waits(
    styles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    def ask() -> None:
        with running(style="drawn") as studio, suppress(httpx.RemoteProtocolError):
            # The end may be quicker than the answer.
            address = f"{studio.base}/api/translate"
            answer = httpx.post(address, content=jpeg(FRAME), headers=studio.bearer, timeout=60)
            assert answer.status_code == 500

    monkeypatch.setattr(Translator, "translate", fail)
    with pytest.raises(ZeroDivisionError, match="ours"):
        ask()


def test_a_backend_that_cannot_be_had_is_said_before_anybody_comes(styles: Path) -> None:
    (styles / "drawn" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(VideobrushError, match="is damaged: 7 bytes found"), running(style="drawn"):
        pass


def test_what_it_means_to_listen_everywhere_is_said_and_the_token_is_needed(
    styles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(style="drawn", host="0") as studio:  # another way to write 0.0.0.0
        said = caplog.text
        assert httpx.get(studio.base).status_code == 401
        assert handshake(studio) == 101
        assert handshake(studio, Host=f"evil.example:{studio.port}") == 403
    assert "other machines can reach the studio: the token keeps strangers out" in said
    assert "browsers allow the camera only on https:// and localhost" in said


def test_pages_are_told_that_the_server_ends(styles: Path) -> None:
    with running(style="drawn") as studio:
        page = Page(studio)
        page.send(jpeg(FRAME))
        page.image()
    with pytest.raises(ConnectionClosed) as ended:
        page.text("nothing more")
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "the studio is shutting down")
    page.socket.close()


@pytest.mark.parametrize("started", [True, False])
def test_a_browser_that_cannot_be_started_is_said(
    styles: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, started: bool
) -> None:
    asked: list[str] = []

    def open_page(address: str) -> bool:
        asked.append(address)
        return started

    monkeypatch.setattr(webbrowser, "open", open_page)
    with running(style="drawn", open=True) as studio:
        assert asked == [f"{studio.base}/?token={studio.token}"]
    assert ("no browser could be started here" in caplog.text) is not started


def test_a_port_that_is_taken_is_said(styles: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(
                VideobrushError, match=rf"cannot listen on 127.0.0.1 port {port}: .*--port {port + 1}"
            ),
            running(style="drawn", port=port),
        ):
            pass


@pytest.mark.slow
def test_the_command_serves_until_ctrl_c_and_keeps_its_token(styles: Path, own_state: Path) -> None:
    changes = {"VIDEOBRUSH_STYLES": str(styles), "XDG_STATE_HOME": str(own_state)}
    command = [sys.executable, "-m", "rt", "studio", "--port", "0", "--style", "drawn"]
    tokens = set()
    for _ in range(2):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**changes)
        ) as process:
            assert process.stdout is not None
            address = process.stdout.readline()
            assert address.startswith("studio: open http://127.0.0.1:")
            tokens.add(address.strip().partition("?token=")[2])
            process.send_signal(2)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 130
            assert "Traceback" not in said
            assert max(tokens) not in said
            assert said.startswith(
                "style drawn: "
            )  # backend, device, precision, size and why, before anybody comes
    assert len(tokens) == 1
    assert len(tokens.pop()) == 43


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts sockets in /proc")
def test_a_page_that_reads_nothing_gives_its_place_and_its_socket_back(
    styles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.web.session.SEND_TIMEOUT_S", 0.5)
    monkeypatch.setattr("rt.web.server.TCP_TIMEOUT_S", 1)
    over = threading.Event()
    content = jpeg(np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8))
    with running(style="drawn") as studio, socket.socket() as stalled, httpx.Client() as client:

        def metrics() -> str:
            return client.get(f"{studio.base}/metrics", headers=studio.bearer).text

        def pour() -> None:
            message = struct.pack("<IId", 1, 0, 0.0) + content
            with suppress(OSError):  # cut off, as it must be
                while not over.is_set():
                    stalled.sendall(b"\x82\xff" + struct.pack(">QI", len(message), 0) + message)
                    over.wait(0.03)

        metrics()
        sockets = open_sockets()
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", studio.port))
        stalled.sendall(handshake_lines(studio))
        assert b" 101 " in stalled.recv(16)
        pouring = threading.Thread(target=pour)
        pouring.start()
        until_s = time.monotonic() + 60
        while "\nvideobrush_visitors 0\n" not in metrics() or open_sockets() > sockets:
            assert time.monotonic() < until_s, "the socket of a page that reads nothing is still open"
        over.set()
        pouring.join()


@pytest.mark.slow
def test_ten_visitors_and_abrupt_ends_leave_nothing_behind(studio: Running) -> None:
    """Thousands of frames of ten pages, half of which vanish without a word: threads, sockets, memory."""
    content = jpeg(FRAME)

    def visit(frames: int, rudely: bool) -> None:
        page = Page(studio)
        for _ in range(frames):
            page.send(content)
            page.image()
        if rudely:
            page.send(content)
            linger = struct.pack("ii", 1, 0)  # a reset instead of a farewell
            page.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            page.socket.socket.close()
        page.socket.close()

    def round_of_visits(frames: int) -> None:
        threads = [threading.Thread(target=visit, args=(frames, number % 2 == 0)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        deadline = 200
        while "\nvideobrush_visitors 0\n" not in (
            httpx.get(f"{studio.base}/metrics", headers=studio.bearer).text
        ):
            deadline -= 1
            assert deadline

    round_of_visits(30)
    before = _held()
    for _ in range(4):
        round_of_visits(60)
    for _ in range(200):  # the last connections are taken down in the background
        after = _held()
        if after[1] <= before[1]:
            break
        httpx.get(f"{studio.base}/api/health")
    assert after[0] == before[0]
    assert after[1] <= before[1]
    assert after[2] - before[2] < 24 * 2**20


def _held() -> tuple[int, int, int]:
    """Threads, open files and resident bytes of this process, which is the server's too."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return threading.active_count(), len(os.listdir("/proc/self/fd")), resident  # noqa: PTH208
