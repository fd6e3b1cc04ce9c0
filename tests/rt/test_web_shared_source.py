"""The server's own source, shown to every visitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest

from rt.errors import SourceError
from rt.frame import Frame, SourceInfo
from rt.web.server import _open_shared
from rt.web.service import TranslationService
from rt.web.shared_source import SharedSource
from tools.bench.flashes import FlashServer

BLACK = np.zeros((16, 16, 3), np.uint8)


class Given:
    """A source that gives these frames, then fails."""

    dropped = 0
    info = SourceInfo("given", 16, 16, None, None)

    def __init__(self, frames: list[Frame], live: bool) -> None:
        self.frames, self.live = frames, live

    def __iter__(self) -> Iterator[Frame]:
        yield from self.frames
        raise SourceError("unplugged")

    def close(self) -> None:
        pass


class Heard:
    """A studio that remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.shown: list[int] = []
        self.over = threading.Event()

    def broadcast(self, message: dict[str, Any]) -> None:
        self.said.append((len(self.shown), message["message"]))
        if "unplugged" in message["message"]:
            self.over.set()

    def show(self, frame: Frame) -> None:
        self.shown.append(frame.index)


def shown(frames: list[Frame], live: bool) -> Heard:
    """Show frames until the source fails; return what the studio was told."""
    heard = Heard()
    source = SharedSource(Given(frames, live), cast(TranslationService, heard))
    assert heard.over.wait(30)
    assert source.fault == "unplugged"
    source.close()
    return heard


def frame(index: int, pts: int = 0, stale: bool = False) -> Frame:
    return Frame(BLACK, pts, Fraction(1, 1000), index, stale=stale)


def test_visitors_are_told_once_that_a_source_stalls_and_that_it_goes_on() -> None:
    stale = [False, True, True, True, False, False, True]
    heard = shown([frame(index, stale=is_stale) for index, is_stale in enumerate(stale)], live=True)
    assert heard.shown == [0, 1, 2, 3, 4, 5, 6]
    last, again = "no new frames: this is the last one", "new frames again"
    assert heard.said == [(1, last), (4, again), (6, last), (7, "no more frames: unplugged")]


def test_a_recording_whose_times_begin_late_is_shown_at_once_and_at_its_pace() -> None:
    began_s = time.perf_counter()
    heard = shown([frame(0, 3_600_000), frame(1, 3_600_060), frame(2, 3_600_120)], live=False)
    assert heard.shown == [0, 1, 2]
    assert 0.12 <= time.perf_counter() - began_s < 30


def test_that_pages_do_not_play_the_audio_of_a_stream_is_said_at_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FlashServer() as server:
        _open_shared(server.address).close()
    assert "audio (aac 48000 Hz mono): heard nowhere: pages show frames alone" in caplog.messages
    caplog.clear()
    _open_shared("pattern://").close()
    assert caplog.messages == []
