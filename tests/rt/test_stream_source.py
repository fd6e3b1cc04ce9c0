from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rt.address import without_secrets
from rt.errors import SourceError
from rt.frame import Frame
from rt.sources import SourceOptions, open_source
from rt.sources.live import LiveSource
from rt.sources.stream import StreamGrabber
from tests.support.media import Audio, Clip, audio_only, write_clip
from tests.support.servers import HttpPeer, Peer, RecordingPeer, RtspPeer

SOON_S = 0.6
"""Seconds until a stream is stale or given up here: the rules are the same as at two seconds."""
PEERS = [Peer, HttpPeer, RtspPeer]


def watch(peer: Peer) -> LiveSource:
    return LiveSource(StreamGrabber(peer.address, open_s=5, read_s=SOON_S), fresh_s=SOON_S)


def next_of(frames: Iterator[Frame], level: int) -> Frame:
    """Return the next fresh frame of about this gray."""
    return next(frame for frame in frames if not frame.stale and abs(int(frame.rgb.mean()) - level) < 8)


def next_stale(frames: Iterator[Frame]) -> Frame:
    return next(frame for frame in frames if frame.stale)


def refusal(address: str, options: SourceOptions | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(address, options or SourceOptions())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with request.param() as peer:
        yield peer


def test_the_newest_images_come_with_times_that_increase(peer: Peer) -> None:
    source = watch(peer)
    frames = iter(source)
    assert np.abs(next(frames).rgb.astype(int) - 100).max() <= 2
    peer.level = 200
    later = next_of(frames, 200)
    assert later.pts > 0
    assert later.captured_s is not None
    source.close()


class AudioGoesOn(Peer):
    """A server whose video ends after fifty frames, while its audio goes on."""

    def __init__(self, path: Path) -> None:
        content = write_clip(
            path, Clip(frames=50, options={"bf": "0", "g": "5"}, audio=[Audio("mp2", 40.0)])
        ).read_bytes()
        self._parts = [content[at : at + 188 * 4] for at in range(0, len(content), 188 * 4)]
        self._at = 0
        super().__init__()

    def greeting(self, connection: socket.socket) -> bytes:
        self._at = -1
        return b""

    def image(self) -> bytes:
        self._at += 1 if self._at + 1 < len(self._parts) else -200  # audio again, for as long as it takes
        return self._parts[self._at]


@pytest.mark.slow
def test_a_video_that_stops_while_its_audio_goes_on_is_connected_to_again(tmp_path: Path) -> None:
    with AudioGoesOn(tmp_path / "clip.ts") as peer:
        source = watch(peer)
        frames = iter(source)
        next_stale(frames)
        for _ in range(6):  # one a second while it is out
            next(frames)
        assert peer.connections >= 2
        closing = threading.Thread(target=source.close)
        closing.start()
        closing.join(5.0)
        assert not closing.is_alive()


@pytest.mark.slow
def test_a_stalled_server_is_seen_and_connected_to_again(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    source = watch(peer)
    frames = iter(source)
    next(frames)
    peer.stalled = True
    stale = next_stale(frames)
    assert abs(int(stale.rgb.mean()) - 100) < 3
    peer.stalled, peer.level = False, 30
    assert next_of(frames, 30).pts > stale.pts
    assert peer.connections >= 2
    source.close()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said[0].startswith(f"{peer.address}: no")
    assert said[0].endswith("; opening it again")
    assert said[1].startswith(f"{peer.address}: it is back after ")


@pytest.mark.slow
def test_a_server_that_ends_is_a_fault_and_connected_to_again(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    source = watch(peer)
    frames = iter(source)
    next(frames)
    peer.hang_up()
    peer.level = 30
    assert next_of(frames, 30).rgb.shape == (48, 64, 3)
    assert peer.connections == 2
    source.close()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said[0] in (
        f"{peer.address}: the stream ended; opening it again",
        f"{peer.address}: the connection was lost; opening it again",
    )


@pytest.mark.slow
def test_a_server_that_dies_is_waited_for_until_it_comes_back(peer: Peer) -> None:
    source = watch(peer)
    frames = iter(source)
    next(frames)
    peer.stop()
    next_stale(frames)
    peer.level = 30
    peer.start()
    next_of(frames, 30)
    source.close()


@pytest.mark.slow
def test_another_size_after_a_reconnect_is_fitted_into_the_first(peer: Peer) -> None:
    source = watch(peer)
    frames = iter(source)
    next(frames)
    peer.size, peer.level = (96, 64), 200
    peer.hang_up()
    frame = next(frame for frame in frames if frame.rgb[:, 0].max() == 0)
    assert frame.rgb.shape == (48, 64, 3)
    assert np.abs(frame.rgb[:, 20:44].astype(int) - 200).max() <= 3
    assert (frame.rgb[:, :16] == 0).all()
    source.close()


@pytest.mark.slow
def test_close_ends_a_read_that_waits_for_a_stalled_server(peer: Peer) -> None:
    source = watch(peer)
    frames = iter(source)
    next(frames)
    peer.stalled = True
    next_stale(frames)
    source.close()
    assert list(frames) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("capture")]


def test_nobody_who_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for scheme in ("tcp", "http", "rtsp", "rtmp"):
        address = f"{scheme}://127.0.0.1:{port}/live"
        assert refusal(address) == f"cannot read {address}: connection refused"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["tcp", "http", "rtsp", "rtmp"])
def test_a_server_that_never_answers_is_given_up(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes the call and says nothing
        grabber = StreamGrabber(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/live", open_s=0.5)
        begun_s = time.monotonic()
        with pytest.raises(SourceError, match=r"^cannot read \S+: no answer in 0.5 s$"):
            LiveSource(grabber)
        assert time.monotonic() - begun_s < 15


def test_an_unknown_server_and_an_unknown_protocol_are_named() -> None:
    assert refusal("tcp://nowhere.invalid:1").startswith(
        "cannot read tcp://nowhere.invalid:1: there is no such server"
    )
    assert refusal("srt://127.0.0.1:9") == (
        "cannot read srt://127.0.0.1:9: the built-in FFmpeg has no srt://; "
        "send it as rtsp://, rtmp:// or tcp://"
    )


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    class Talker(Peer):
        content = b"hello\n" * 2000

        def greeting(self, connection: socket.socket) -> bytes:
            connection.sendall(self.content)
            raise ConnectionError("said all")

    with Talker() as peer:
        assert refusal(peer.address) == f"cannot read {peer.address}: what comes is not a video"
    Talker.content = audio_only(tmp_path / "song.aac").read_bytes()
    with Talker() as peer:
        assert refusal(peer.address) == f"cannot read {peer.address}: there is no video in it"


def test_a_recording_on_a_web_server_is_no_live_stream(tmp_path: Path) -> None:
    clip = Clip(frames=50, container_options={"movflags": "faststart"})
    with RecordingPeer(write_clip(tmp_path / "clip.mp4", clip)) as peer:
        assert refusal(peer.address) == (
            f"cannot read {peer.address}: it is a recording of 2.0 s, not a live stream; "
            f"download it and type the name of the file: curl -LO {peer.address}"
        )


def test_a_recording_in_pieces_is_put_together_by_ffmpeg(tmp_path: Path) -> None:
    write_clip(tmp_path / "piece.ts", Clip(frames=50))
    playlist = tmp_path / "list.m3u8"
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n"
    playlist.write_text(f"{head}#EXTINF:2.0,\npiece.ts\n#EXT-X-ENDLIST\n", encoding="utf-8")
    with RecordingPeer(playlist) as peer:
        address = f"http://127.0.0.1:{peer.port}/a;b/list.m3u8"
        assert refusal(address) == (
            f"cannot read {address}: it is a recording of 2.0 s, not a live stream; "
            f"download it and type the name of the file: ffmpeg -i '{address}' -c copy x.mkv"
        )


def test_a_recording_behind_a_password_is_not_advised_with_stars(tmp_path: Path) -> None:
    clip = Clip(frames=50, container_options={"movflags": "faststart"})
    with RecordingPeer(write_clip(tmp_path / "clip.mp4", clip)) as peer:
        message = refusal(f"http://admin:secret@127.0.0.1:{peer.port}/clip.mp4?token=secret")
        assert message == (
            f"cannot read http://***@127.0.0.1:{peer.port}/clip.mp4: it is a recording of 2.0 s, not a live "
            "stream; download it and type the name of the file: curl -LO 'URL' "
            "(URL is the address as you typed it; it may hold a password and is not shown)"
        )


def test_a_password_is_never_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message = refusal(f"rtsp://admin:secret@127.0.0.1:{port}/live")
    assert message == f"cannot read rtsp://***@127.0.0.1:{port}/live: connection refused"
    message = refusal("rtsp://admin:secret@camera/live", SourceOptions(loop=True))
    assert "secret" not in message
    assert refusal("rstp://admin:secret@cam").startswith(
        "cannot read rstp://***@cam: rstp:// is not known; did you mean 'rtsp'?"
    )


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://cam:554/live/1", "rtsp://cam:554/live/1"),
        ("http://[::1]:80/live.m3u8", "http://[::1]:80/live.m3u8"),
        ("clip@home.mp4?x=1", "clip@home.mp4?x=1"),
        ("rtsp://admin:secret@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:sec@ret@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:sec/ret@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:sec/re@t@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:sec://ret@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:secre=t@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:sec?re=t@cam/live", "rtsp://***"),
        ("rtsp://admin:sec#ret@cam/live", "rtsp://***"),
        ("rtsp://admin:secret", "rtsp://***"),
        ("rtsp://admin:5ecret/live", "rtsp://***/live"),
        ("rtsp://[::1]/live", "rtsp://[::1]/live"),
        ("http://cam/video?user=admin&pwd=secret", "http://cam/video"),
        ("http://cam/video?user=me@home&pwd=secret", "http://***"),
        ("http://cam/video#secret", "http://cam/video"),
        ("rtsp://cam/user=admin_password=secret_channel=1/live", "rtsp://cam/***/live"),
        ("rtsp://cam/user=admin_password=sec@ret_channel=1/live", "rtsp://***"),
        ("rtsp://admin:secret@cam/token=secret", "rtsp://***@cam/***"),
    ],
)
def test_whatever_may_be_secret_in_an_address_is_hidden(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (SourceOptions(loop=True), "--loop"),
        (SourceOptions(start_s=1), "--start"),
        (SourceOptions(width=9), "--width"),
    ],
)
def test_what_a_stream_cannot_do_is_refused_by_name(options: SourceOptions, flag: str) -> None:
    assert refusal("tcp://127.0.0.1:1", options) == (
        f"cannot use {flag} with tcp://127.0.0.1:1: it is a live stream; leave {flag} out"
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_a_stream_that_ffmpeg_serves_over_rtmp_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"rtmp://127.0.0.1:{server.getsockname()[1]}/live/key"
    drawn = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=30"]
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15"]
    server_process = subprocess.Popen(
        ["ffmpeg", "-loglevel", "quiet", *drawn, *encoded, "-f", "flv", "-listen", "1", address],
        stdin=subprocess.DEVNULL,
    )
    try:
        source = _open_when_served(address)
        frames = iter(source)
        seen = [next(frames) for _ in range(5)]
        assert seen[0].rgb.shape == (120, 160, 3)
        assert not np.array_equal(seen[0].rgb, seen[4].rgb)
        source.close()
    finally:
        server_process.kill()
        server_process.wait()


def _open_when_served(address: str) -> LiveSource:
    for _ in range(200):
        try:
            return LiveSource(StreamGrabber(address, open_s=20))
        except SourceError as error:
            if "connection refused" not in str(error):
                raise
            time.sleep(0.05)  # the server of another program says nowhere when it listens
    raise AssertionError("ffmpeg does not listen")
