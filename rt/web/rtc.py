"""Pictures over WebRTC, for links that lose packets: a page's camera comes as a track and goes back as one.

What is said about it (offer and answer, controls, status) stays with the WebSocket. Offers carry all their
candidates. No STUN or TURN server is asked: pages must reach the address that the studio was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import aioice.ice
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import VideoFrame

from rt.frame import Frame, Rgb
from rt.web.jpeg import check_size
from rt.web.protocol import Refused
from rt.web.visitor import Visitor

DESCRIBED_S = 10.0
"""Seconds that making or ending a connection may take."""
_CLOCK = Fraction(1, 90000)
"""Time base of video in RTP."""


def listen_on(address: str) -> None:
    """Open UDP ports on this address alone, for every connection of this process from here on."""
    # aioice asks this function which addresses there are; there is no other way to choose.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]


class Peer:
    """The connection to one page."""

    def __init__(self, visitor: Visitor, wake: Callable[[], None]) -> None:
        """`wake` tells the studio that the visitor has something to do."""
        self._visitor, self._wake = visitor, wake
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._answers = _Answers()
        self._taking: asyncio.Task[None] | None = None
        self._connection.add_listener("track", self._begin)

    async def answer(self, sdp: str) -> str:
        """Return the answer to a page's offer.

        Raises:
            Refused: it is no offer of a video, or names no address.
        """
        # A name in .local would be asked for by multicast, on every network of this machine.
        lines = [
            line for line in sdp.splitlines() if not (line.startswith("a=candidate") and ".local" in line)
        ]
        if not any(line.startswith("a=candidate") for line in lines):
            raise Refused("the offer names no address: let the page use the camera first")
        try:
            return await asyncio.wait_for(self._describe("\r\n".join([*lines, ""])), DESCRIBED_S)
        except Refused:
            raise
        except Exception as error:  # whatever a page may write into an offer, it ends here
            raise Refused(f"the offer cannot be used: {error}"[:200]) from error

    async def close(self) -> None:
        """End the connection; works twice."""
        self._answers.stop()
        if self._taking is not None:
            self._taking.cancel()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connection.close(), DESCRIBED_S)

    async def _describe(self, sdp: str) -> str:
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        if self._taking is None:
            raise Refused("the offer has no video")
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._connection.localDescription.sdp

    def _begin(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._taking is None:
            self._connection.addTrack(self._answers)
            self._taking = asyncio.create_task(self._take(track))

    async def _take(self, track: MediaStreamTrack) -> None:
        """Give the visitor every frame as it comes; the newest wins there."""
        number = 0
        with contextlib.suppress(MediaStreamError):  # the track has ended
            while True:
                picture = await track.recv()
                if isinstance(picture, VideoFrame):
                    self._visitor.accept(_TrackFrame(number, picture, self._answers))
                    self._wake()
                    number += 1


@dataclass(frozen=True)
class _TrackFrame:
    """A frame of a page's track, and the track that its translation goes back in."""

    number: int
    picture: VideoFrame
    answers: _Answers

    def frame(self) -> Frame:
        """Return it as RGB."""
        check_size(self.picture.height, self.picture.width)
        rgb = np.asarray(self.picture.to_ndarray(format="rgb24"), np.uint8)
        return Frame(rgb, self.picture.pts or 0, self.picture.time_base or _CLOCK, self.number)

    def answer(self, rgb: Rgb) -> None:
        """Send its translation, at its time."""
        translated = VideoFrame.from_ndarray(rgb, format="rgb24")
        translated.pts, translated.time_base = self.picture.pts, self.picture.time_base or _CLOCK
        self.answers.put(translated)


class _Answers(MediaStreamTrack):
    """The track of translated frames; of those that wait the newest is sent."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._home = asyncio.get_running_loop()
        self._there = asyncio.Event()
        self._held = threading.Lock()
        self._newest: VideoFrame | None = None

    def put(self, picture: VideoFrame) -> None:
        """Take a frame; from any thread."""
        with self._held:
            if self.readyState == "live":
                self._newest = picture
                self._home.call_soon_threadsafe(self._there.set)

    def stop(self) -> None:
        """Take no more, and let `recv` end."""
        with self._held:
            super().stop()
        self._there.set()

    async def recv(self) -> VideoFrame:
        """Wait for a frame.

        Raises:
            MediaStreamError: the track has ended.
        """
        while True:
            await self._there.wait()
            with self._held:
                if self.readyState != "live":
                    raise MediaStreamError
                self._there.clear()
                picture, self._newest = self._newest, None
            if picture is not None:
                return picture
