"""Pictures over WebRTC: a page's camera goes to the studio as a track and comes back translated."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from av import VideoFrame

from rt.errors import VideobrushError
from rt.frame import Rgb
from tests.support.onnx_styles import make_style, save_negative
from tests.support.studio import Page, Running, open_sockets, running

WAIT_S = 60
DARK = np.full((48, 64, 3), 40, np.uint8)


@pytest.fixture
def studio(own_styles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A studio on loopback whose one style turns dark to bright."""
    import aioice.ice

    monkeypatch.setattr(
        aioice.ice, "get_host_addresses", aioice.ice.get_host_addresses
    )  # put back at the end
    make_style(own_styles, "negative", save_negative(tmp_path / "negative.onnx"))
    with running(style="negative", webrtc="127.0.0.1") as found:
        yield found


class Drawn(VideoStreamTrack):
    """A camera that sees one picture."""

    def __init__(self, rgb: Rgb) -> None:
        super().__init__()
        self.rgb = rgb

    async def recv(self) -> VideoFrame:
        pts, _ = await self.next_timestamp()
        frame = VideoFrame.from_ndarray(self.rgb, format="rgb24")
        frame.pts, frame.time_base = pts, Fraction(1, 90000)
        return frame


Then = Callable[[RTCPeerConnection, Any], Awaitable[None]]


async def connect(page: Page, rgb: Rgb, then: Then) -> None:
    """Offer a camera as a page does, and go on with the track that comes back."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.add_listener("track", came.set_result)
    connection.addTrack(Drawn(rgb))
    try:
        await connection.setLocalDescription(await connection.createOffer())
        offer = {"type": "offer", "sdp": connection.localDescription.sdp}
        await asyncio.to_thread(page.socket.send, json.dumps(offer))
        answer = await asyncio.to_thread(page.text, "answer")
        await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await then(connection, await asyncio.wait_for(came, WAIT_S))
    finally:
        await connection.close()


async def until(track: Any, wanted: Callable[[Rgb], bool]) -> Rgb:
    """Wait for a picture of a track that is as wanted."""

    async def look() -> Rgb:
        while True:
            picture: Rgb = (await track.recv()).to_ndarray(format="rgb24")
            if wanted(picture):
                return picture

    return await asyncio.wait_for(look(), WAIT_S)


def test_a_track_comes_back_translated_and_obeys_the_controls(studio: Running) -> None:
    async def look(_: RTCPeerConnection, track: Any) -> None:
        bright = await until(track, lambda picture: picture.mean() > 150)
        assert bright.shape == DARK.shape
        assert abs(bright.mean() - (255 - 40)) < 6
        await asyncio.to_thread(page.controls, strength=0.0)
        await until(track, lambda picture: picture.mean() < 60)

    with Page(studio) as page:
        assert page.text("welcome")["webrtc"] is True
        asyncio.run(connect(page, DARK, look))
        status = page.text("status")
        assert (status["backend"], status["size"]) == ("onnxruntime", [32, 44])


def test_only_the_address_that_was_given_is_offered(studio: Running) -> None:
    async def look(connection: RTCPeerConnection, _: Any) -> None:
        lines = connection.remoteDescription.sdp.splitlines()
        candidates = [line.split()[4] for line in lines if line.startswith("a=candidate")]
        assert set(candidates) == {"127.0.0.1"}

    with Page(studio) as page:
        asyncio.run(connect(page, DARK, look))


def test_a_page_that_leaves_takes_its_connection_along(studio: Running) -> None:
    async def leave(connection: RTCPeerConnection, track: Any) -> None:
        await until(track, lambda picture: picture.mean() > 150)
        ended = asyncio.Event()

        def look() -> None:
            if connection.connectionState == "closed":
                ended.set()

        connection.add_listener("connectionstatechange", look)
        await asyncio.to_thread(page.socket.close)
        await asyncio.wait_for(ended.wait(), WAIT_S)

    page = Page(studio)
    asyncio.run(connect(page, DARK, leave))


@pytest.mark.skipif(sys.platform != "linux", reason="counts sockets in /proc")
def test_connections_that_come_and_go_leave_no_thread_and_no_socket(studio: Running) -> None:
    async def look(_: RTCPeerConnection, track: Any) -> None:
        await until(track, lambda picture: picture.mean() > 150)

    sockets = None
    for _ in range(4):
        with Page(studio) as page:
            asyncio.run(connect(page, DARK, look))
        for thread in threading.enumerate():
            if "decoder" in thread.name:
                thread.join(WAIT_S)
                assert not thread.is_alive()
        until_s = time.monotonic() + WAIT_S
        while sockets is not None and open_sockets() > sockets:
            assert time.monotonic() < until_s, f"{open_sockets()} sockets, {sockets} after the first"
        sockets = sockets or open_sockets()


def test_pictures_larger_than_are_taken_are_refused(studio: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rt.web.jpeg.PIXELS", 1000)

    async def look(_: RTCPeerConnection, __: Any) -> None:
        error = await asyncio.to_thread(page.text, "error")
        assert error["message"] == "a picture of 64x48: at most 1000 pixels are taken"

    with Page(studio) as page:
        asyncio.run(connect(page, DARK, look))


@pytest.mark.parametrize(
    ("sdp", "fault"),
    [
        ("nonsense", "the offer names no address: let the page use the camera first"),
        ("a=candidate:1 1 udp 1 x.local 5000 typ host", "the offer names no address"),
        ("v=0\r\na=candidate:1 1 udp 1 127.0.0.1 5000 typ host", "the offer "),
        ("m=video\r\na=candidate:1 1 udp 1 127.0.0.1 5000 typ host", "the offer cannot be used: "),
    ],
)
def test_an_offer_that_cannot_be_used_is_said_and_the_page_goes_on(
    studio: Running, sdp: str, fault: str
) -> None:
    with Page(studio) as page:
        page.socket.send(json.dumps({"type": "offer", "sdp": sdp}))
        assert page.text("error")["message"].startswith(fault)
        page.controls(strength=0.5)
        while page.texts[-1].get("strength") != 0.5:
            page.text("controls")


def test_without_the_option_nothing_is_taken_by_webrtc(own_styles: Path) -> None:
    make_style(own_styles)
    with running(style="drawn") as studio, Page(studio) as page:
        assert page.text("welcome")["webrtc"] is False
        page.socket.send('{"type": "offer", "sdp": "v=0"}')
        assert page.text("error")["message"] == (
            "this studio takes no pictures by WebRTC; it is started with --webrtc ADDRESS"
        )


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("0.0.0.0", "every address of this machine; type the one pages reach"),
        ("192.0.2.1", "on 192.0.2.1: .*; type an address of this machine: --webrtc 127.0.0.1"),
        ("nowhere.invalid", "on nowhere.invalid: .*; type an address of this machine"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_said(own_styles: Path, address: str, fault: str) -> None:
    make_style(own_styles)
    with pytest.raises(VideobrushError, match=fault), running(style="drawn", webrtc=address):
        pass
