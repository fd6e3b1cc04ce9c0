"""Live audio on the command line: flashes and beeps, recorded and sent."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from tests.support.cli import LIMIT_S, start, videobrush
from tests.support.receivers import tcp_server
from tools.bench.flashes import FlashServer, find

STYLE = ("--style", "drawn", "--backend", "identity")


@pytest.mark.slow
def test_a_stream_is_recorded_and_sent_on_with_its_audio_in_step_over_a_reconnect(
    style: Path, tmp_path: Path
) -> None:
    with FlashServer("mpegts", (95_440.0, 12.5), jitter_s=0.03) as server, tcp_server("read") as receiver:
        onward = f"tcp://127.0.0.1:{receiver.port}"
        running = start(*("run", server.address, "out.mp4", onward, *STYLE, "--duration", "6"), cwd=tmp_path)
        assert receiver.taken.acquire(timeout=LIMIT_S)
        threading.Event().wait(2.5)
        server.hang_up()
        _, err = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 0, err
    assert server.connections == 2
    assert f"\naudio (aac 48000 Hz mono): encoded for out.mp4, {onward}\n" in err
    assert re.search(r" fps, .*, drawn on identity exact, audio in step within \d+ ms", err), err
    for found in (find(tmp_path / "out.mp4"), find(bytes(receiver.received[0]))):
        assert len(found.offsets_ms) > 10
        assert found.unmatched < len(found.offsets_ms)
        assert found.share(0.99) <= 20
        assert found.share(0.5) <= 5
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out.mp4"]


@pytest.mark.slow
def test_where_nothing_is_heard_of_a_stream_it_is_said_at_start(style: Path, tmp_path: Path) -> None:
    with FlashServer() as server:
        said = videobrush("run", server.address, "null://", *STYLE, "--duration", "0.5", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert (
        "warning: audio (aac 48000 Hz mono): heard nowhere: not in null://; "
        "to have it add a recording (--record FILE) or a server (rtmp://...)\n"
    ) in said.stderr
    assert "in step" not in said.stderr


@pytest.mark.slow
def test_audio_none_leaves_the_audio_of_a_stream_out(style: Path, tmp_path: Path) -> None:
    with FlashServer() as server:
        arguments = ("run", server.address, "out.mkv", *STYLE, "--duration", "0.5", "--audio", "none")
        said = videobrush(*arguments, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "audio (" not in said.stderr
    import av

    with av.open(str(tmp_path / "out.mkv")) as file:
        assert [stream.type for stream in file.streams] == ["video"]
