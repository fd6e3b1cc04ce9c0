"""Live audio into recordings and streams out stays in step."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from rt.audio import LiveAudio, LiveInfo, audio_of
from rt.controls import Controls
from rt.frame import Frame
from rt.sinks import SinkOptions, open_outputs
from rt.sinks.base import redacted
from rt.sinks.recorder import Recorder
from rt.sinks.stream import StreamSink
from rt.sources import Source, open_source
from rt.sources.audio_feed import AudioQueue
from tests.support.media import Audio, Clip, write_clip
from tests.support.receivers import tcp_server
from tools.bench.flashes import BRIGHT, FPS, RATE, SIZE, STEP, FlashServer, beep, beeps, find, flash

ZERO_S = 1234.5
"""When the first frame was, on the clock of the audio."""


def frame(index: int) -> Frame:
    return Frame(flash(index), 3600 * index, Fraction(1, 90000), index)


def audio(count: int, late: int = 0) -> tuple[LiveAudio, Iterator[None]]:
    """Return audio, and what puts that of one more frame into it each time; `late` frames behind."""
    row = LiveAudio(1, "beeps")
    row.begin(ZERO_S)

    def heard() -> Iterator[None]:
        for index in range(-late, count - late):
            if index >= 0:
                row.put(ZERO_S + index / FPS, beep(index))
            yield

    return row, heard()


@pytest.mark.parametrize("late", [0, 10])
@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_a_recording_has_its_audio_in_step_wherever_it_begins(tmp_path: Path, name: str, late: int) -> None:
    row, heard = audio(100, late)
    recorder = Recorder(Fraction(FPS), path=tmp_path / name, size=SIZE, audio=row)
    assert row.wanted
    for index in range(100):
        next(heard)
        if index >= 7 and index % 5 != 2:  # some frames are lost
            recorder.write(frame(index))
    recorder.close()
    found = find(tmp_path / name)
    assert (found.flashes, found.beeps, found.unmatched, found.frames) == (3, 3, 0, 74)
    assert found.share(0.99) < 2


def test_a_recording_as_webm_has_its_audio_in_step(tmp_path: Path) -> None:
    row, heard = audio(50)
    options = SinkOptions(codec="av1", preset="13")
    recorder = Recorder(Fraction(FPS), options, path=tmp_path / "out.webm", size=SIZE, audio=row)
    for index, _ in enumerate(heard):
        recorder.write(frame(index))
    recorder.close()
    assert find(tmp_path / "out.webm").share(0.99) < 3


def test_a_recording_begun_later_has_the_audio_of_its_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row, heard = audio(130)
    controls = Controls(["a"], "a")
    recorder = Recorder(Fraction(FPS), controls=controls, audio=row)
    written = queue.SimpleQueue[Frame]()
    for index, _ in enumerate(heard):
        written.put(frame(index))
        if index >= 20:  # frames are late by most of a second
            controls.recording = 30 <= index < 90 or index >= 95
            recorder.write(written.get())
    recorder.close()
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    for path in files:
        found = find(path)
        assert found.beeps >= 1
        assert found.share(0.99) < 2


@pytest.mark.slow
def test_a_stream_out_has_its_audio_in_step_and_goes_on_so_after_the_server_was_away() -> None:
    row, heard = audio(150)
    with tcp_server("once", "read") as server:
        sink = StreamSink(f"tcp://127.0.0.1:{server.port}", None, size=SIZE, audio=row)
        sink._backoff._pauses_s = (0.0,)
        for index, _ in enumerate(heard):
            sink.write(frame(index))
            if index == 5:
                assert server.taken.acquire(timeout=60)
        sink.close()
    assert len(server.received) >= 2
    found = find(bytes(max(server.received, key=len)))
    assert found.flashes >= 3
    assert found.share(0.99) < 2


def open_live(address: str) -> tuple[Source, LiveAudio]:
    source = open_source(address)
    heard = audio_of(source.info)
    assert heard is not None
    return source, heard


@pytest.mark.slow
@pytest.mark.parametrize("container", ["mpegts", "flv", "matroska"])
def test_a_stream_is_heard_in_step_with_its_frames(container: str) -> None:
    with FlashServer(container, (50_000.7,), jitter_s=0.02) as server:
        source, heard = open_live(server.address)
        assert heard.name == "aac 48000 Hz mono"
        heard.wanted = True
        begun_s = []
        for frame in source:
            age = round((BRIGHT - float(frame.rgb.mean())) / STEP)
            if 0 <= age < 8:
                begun_s.append(frame.time_s - age / FPS)
            if frame.time_s > 1.9:
                break
        row = heard.read(0, round(1.6 * RATE))
        source.close()
    beeps_s = beeps([(0.0, row[0])], RATE)
    assert len(beeps_s) >= 1
    offsets_ms = [1000 * min(abs(at_s - beeps_s)) for at_s in begun_s if 0.1 < at_s < 1.4]
    assert len(offsets_ms) >= 4
    assert max(offsets_ms) < 5, offsets_ms


def test_audio_that_nobody_writes_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(AudioQueue, "put", refuse)
    with FlashServer() as server:
        source, _ = open_live(server.address)
        assert [frame.index for frame, _ in zip(source, range(5), strict=False)] == [0, 1, 2, 3, 4]
        source.close()


def live(channels: int = 2) -> LiveInfo:
    return LiveInfo("cam", 48, 64, Fraction(25), None, audio=LiveAudio(channels, "aac 48000 Hz stereo"))


class FakeWindow:
    def write(self, frame: Frame) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


@pytest.mark.parametrize(
    ("outputs", "window", "record", "said"),
    [
        (["out.mp4"], False, None, "encoded for out.mp4"),
        (["null://"], False, "rec.mkv", "encoded for rec.mkv; not in null://"),
        (
            ["frames/", "out.mp4"],
            True,
            None,
            "encoded for out.mp4, recordings begun with r; not in window://, frames/",
        ),
        ([], True, None, "encoded for recordings begun with r; not in window://"),
        (
            ["frames/"],
            False,
            None,
            "heard nowhere: not in frames/; to have it add a recording (--record FILE) or a server (rtmp://...)",
        ),
    ],
)
def test_where_audio_goes_and_where_it_does_not_is_said_at_start(
    outputs: list[str],
    window: bool,
    record: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    shown = FakeWindow() if window else None
    controls = Controls(["a"], "a")
    unwanted = [] if outputs == ["frames/"] else [SinkOptions(audio="none")]  # refused: nothing is encoded
    for options in (SinkOptions(), *unwanted):
        caplog.clear()
        info = live()
        open_outputs(
            outputs, info, options, live=True, window=shown, record=record, controls=controls
        ).abort()
        lines = [text for text in caplog.messages if text.startswith("audio")]
        if options.audio == "none":
            assert lines == []
            assert not info.audio.wanted
        else:
            assert len(lines) == 1
            assert lines[0] == f"audio (aac 48000 Hz stereo): {said}"


@pytest.mark.parametrize("audio", [(Audio(),), ()], ids=["audio", "silent"])
@pytest.mark.parametrize("options", [SinkOptions(), SinkOptions(audio="none")], ids=["copy", "none"])
def test_that_a_files_audio_is_not_sent_to_a_server_is_said(
    audio: tuple[Audio, ...], options: SinkOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(str(write_clip(tmp_path / "clip.mp4", Clip(audio=audio))))
    with tcp_server("read") as server:
        address = f"tcp://127.0.0.1:{server.port}"
        open_outputs([str(tmp_path / "out.mp4"), address], source.info, options, live=False).abort()
    source.close()
    said = [text for text in caplog.messages if "audio" in text]
    line = f"{tmp_path / 'clip.mp4'}: its audio does not go to {redacted(address)}, only that of live sources"
    assert said == ([line] if audio and options.audio == "copy" else [])
