"""What a file keeps of its source's audio, videos, covers and timecode."""

from __future__ import annotations

import io
import logging
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from rt.errors import SinkError
from rt.media import rational
from rt.sinks import DEFAULTS, SinkOptions
from rt.sinks.file import FileSink
from rt.sinks.trial import holds, holds_timecode
from rt.sources.file import FileSource
from tests.support.media import Audio, Clip, drawn, side_streams, video, write_clip

ONSET_S = 0.3


def copy(source: Path, target: Path, options: SinkOptions = DEFAULTS) -> None:
    read = FileSource(source)
    try:
        sink = FileSink(target, read.info, options)
        for frame in read:
            sink.write(frame)
        sink.close()
    finally:
        read.close()


def write_beep(path: Path, codec: str, rate: int, layout: str = "mono", video: str = "mpeg4") -> Path:
    """Write a second of video with audio that is silent for `ONSET_S`, then a tone."""
    with av.open(str(path), "w") as out:
        images: Any = out.add_stream(video, rate=25)
        images.height, images.width, images.pix_fmt = 48, 64, "yuv420p"
        audio: Any = out.add_stream(codec, rate=rate)
        audio.layout = layout
        audio.bit_rate = 32000 if rate == 8000 else 128_000
        packets = []
        for index in range(25):
            image = av.VideoFrame.from_ndarray(drawn(index, 48, 64), "rgb24").reformat(format="yuv420p")
            image.pts, image.time_base = index, Fraction(1, 25)
            packets += images.encode(image)
        packets += images.encode(None)
        at = np.arange(rate)
        tone = (12000 * np.sin(at * 2 * np.pi * 440 / rate) * (at >= ONSET_S * rate)).astype(np.int16)
        channels = audio.layout.nb_channels
        for start in range(0, rate, 1000):
            block = av.AudioFrame.from_ndarray(
                np.repeat(tone[np.newaxis, start : start + 1000], channels, axis=0).T.reshape(1, -1),
                "s16",
                layout,
            )
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            packets += audio.encode(block)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return path


def heard(path: Path) -> tuple[str, float, float]:
    """Return codec, loudness and the time from the first frame to where the tone begins, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        first_s = min(
            float(frame.pts * (rational(container.streams.video[0].time_base) or 0))
            for frame in av.open(str(path)).decode(video=0)
            if frame.pts is not None
        )
        resampler = av.AudioResampler("flt", "mono", 48000)
        times, levels, next_s = [], [], 0.0
        for block in container.decode(stream):
            if block.pts is not None and block.time_base is not None:
                next_s = float(block.pts * block.time_base)
            start_s, next_s = next_s, next_s + block.samples / block.sample_rate
            for even in resampler.resample(block):
                samples = np.abs(even.to_ndarray()[0])
                times.append(start_s + np.arange(samples.size) / 48000)
                levels.append(samples)
        level, time_s = np.concatenate(levels), np.concatenate(times)
        onset_s = float(time_s[level > 0.1][0])
        loud = level[time_s > onset_s + 0.1]
        return str(stream.codec_context.name), float(np.sqrt((loud**2).mean())), onset_s - first_s


AUDIO = {
    "wmav1": ("in.wmv", 44100),
    "wmav2": ("in.wmv", 44100),
    "adpcm_ima_wav": ("in.avi", 44100),
    "adpcm_ms": ("in.avi", 22050),
    "adpcm_yamaha": ("in.avi", 44100),
    "adpcm_swf": ("in.flv", 22050),
    "nellymoser": ("in.flv", 22050),
    "adpcm_ima_qt": ("in.mov", 44100),
    "g726": ("in.mkv", 8000),
    "libopencore_amrnb": ("in.3gp", 8000),
    "pcm_dvd": ("in.vob", 48000),
    "pcm_bluray": ("in.m2ts", 48000),
    "pcm_u8": ("in.avi", 44100),
    "pcm_alaw": ("in.mov", 8000),
    "pcm_mulaw": ("in.mov", 8000),
    "pcm_s16le": ("in.avi", 44100),
    "pcm_s24le": ("in.mov", 48000),
    "flac": ("in.mkv", 44100),
    "alac": ("in.mov", 44100),
    "wavpack": ("in.mkv", 44100),
    "ac3": ("in.ts", 48000),
    "eac3": ("in.ts", 48000),
    "libmp3lame": ("in.flv", 44100),
    "mp2": ("in.mpg", 48000),
    "libopus": ("in.mkv", 48000),
    "aac": ("in.mp4", 96000),
}
"""Encoder → a file that people have it in, and a rate."""
VIDEOS = {".vob": "mpeg2video", ".mpg": "mpeg2video", ".m2ts": "mpeg2video", ".flv": "flv"}
"""Suffix → what encodes video for it; MPEG-4 for others."""


class Beeps:
    """A file of each of `AUDIO`, written when it is asked for first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, codec: str) -> Path:
        name, rate = AUDIO[codec]
        path = self._folder / codec / name
        if not path.exists():
            if codec != "g726" and codec not in av.codecs_available:
                pytest.skip(f"this FFmpeg has no encoder {codec}")
            path.parent.mkdir(exist_ok=True)
            layout = "stereo" if codec in ("pcm_bluray", "pcm_dvd", "pcm_s16le") else "mono"
            if codec == "g726":  # FFmpeg writes it into Matroska, PyAV's list of codecs lacks it
                plain = write_beep(path.with_name("plain.mkv"), "pcm_s16le", rate)
                words = f"ffmpeg -v error -i {plain} -c:v copy -c:a g726 {path}"
                subprocess.run(words.split(), check=True)
            else:
                write_beep(path, codec, rate, layout, VIDEOS.get(path.suffix, "mpeg4"))
        return path


@pytest.fixture(scope="session")
def beeps(tmp_path_factory: pytest.TempPathFactory) -> Beeps:
    return Beeps(tmp_path_factory.mktemp("beeps"))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("codec", AUDIO)
def test_no_audio_is_lost(
    beeps: Beeps, codec: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / f"out{suffix}"
    with caplog.at_level(logging.INFO):
        copy(beeps[codec], target)
    before, after = heard(beeps[codec]), heard(target)
    copied = side_streams(target)[0].sha256 == side_streams(beeps[codec])[0].sha256
    encoded = "it is encoded as AAC" in caplog.text
    assert copied or after[0] == "aac"
    assert encoded == (not copied)
    assert "left out" not in caplog.text
    assert after[1] == pytest.approx(before[1], rel=0.1)
    assert after[2] == pytest.approx(before[2], abs=0.012 if copied or codec != "libmp3lame" else 0.03)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("wmav2", ".mkv"), ("adpcm_ima_wav", ".mkv"), ("adpcm_ms", ".mkv"), ("g726", ".mkv"), ("flac", ".mp4")],
)
def test_audio_is_copied_where_ffmpeg_can(beeps: Beeps, codec: str, suffix: str, tmp_path: Path) -> None:
    copy(beeps[codec], tmp_path / f"out{suffix}")
    assert side_streams(tmp_path / f"out{suffix}")[0].sha256 == side_streams(beeps[codec])[0].sha256


def test_webm_gets_opus(beeps: Beeps, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        copy(beeps["aac"], tmp_path / "out.webm", SinkOptions(codec="av1"))
    assert "it is encoded as Opus" in caplog.text
    before, after = heard(beeps["aac"]), heard(tmp_path / "out.webm")
    assert after[0] == "opus"
    assert after[1:] == pytest.approx(before[1:], rel=0.1, abs=0.012)


def test_audio_is_encoded_or_left_out_as_asked(
    beeps: Beeps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        copy(beeps["ac3"], tmp_path / "out.mkv", SinkOptions(audio="aac"))
        copy(beeps["ac3"], tmp_path / "none.mkv", SinkOptions(audio="none"))
    assert heard(tmp_path / "out.mkv")[0] == "aac"
    assert side_streams(tmp_path / "none.mkv") == []
    assert "left out" not in caplog.text
    with pytest.raises(SinkError, match="WebM cannot hold AAC; type .*out.mkv instead"):
        copy(beeps["ac3"], tmp_path / "out.webm", SinkOptions(audio="aac", codec="av1"))


def test_audio_of_many_channels_and_of_changing_form_is_encoded(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", Clip(frames=25, audio=[Audio("flac", 1.0, layout="5.1")]))
    copy(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as written:
        assert (written.streams.audio[0].codec_context.name, written.streams.audio[0].layout.name) == (
            "aac",
            "5.1",
        )


def test_audio_that_nothing_decodes_is_refused_before_the_run(
    beeps: Beeps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.sinks.trial.Samples.decoder", lambda *_: None)
    with pytest.raises(SinkError) as caught:
        copy(beeps["pcm_dvd"], tmp_path / "out.mp4")
    assert str(caught.value) == (
        f"cannot write {tmp_path}/out.mp4: the source's pcm_dvd audio (stream 1) can be neither copied nor "
        "decoded; to leave it out type --audio none"
    )
    copy(beeps["pcm_dvd"], tmp_path / "out.mp4", SinkOptions(audio="none"))


def write_videos(path: Path, covers: str, cover_first: bool, marked: str) -> Path:
    """Write a video of 20 frames, a tone, and beside it another video or a lone image."""
    with av.open(str(path), "w") as out:

        def image_stream() -> Any:
            stream: Any = out.add_stream("mjpeg" if covers else "mpeg4", rate=25)
            stream.height, stream.width = (96, 128)
            stream.pix_fmt = "yuvj420p" if covers else "yuv420p"
            return stream

        other = image_stream() if cover_first else None
        main: Any = out.add_stream("mpeg4", rate=25)
        main.height, main.width, main.pix_fmt = 48, 64, "yuv420p"
        other = other or image_stream()
        main.disposition = Disposition.default
        if marked == "default":
            other.disposition = Disposition.default
        elif marked == "cover":
            other.disposition = Disposition.attached_pic
        packets = []
        for stream, count in ((other, 1 if covers else 20), (main, 20)):
            for index in range(count):
                image = av.VideoFrame.from_ndarray(drawn(index, stream.height, stream.width), "rgb24")
                image = image.reformat(format=stream.pix_fmt)
                image.pts, image.time_base = index, Fraction(1, 25)
                packets += stream.encode(image)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return path


def videos(path: Path) -> list[tuple[int, bool, bool]]:
    """Return width, whether it is marked default and whether it is a cover, of each video stream."""
    with av.open(str(path)) as container:
        return [
            (
                stream.width,
                bool(stream.disposition & Disposition.default),
                bool(stream.disposition & Disposition.attached_pic),
            )
            for stream in container.streams.video
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("read", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("marked", ["default", "plain"])
def test_of_several_videos_the_translated_one_alone_is_kept(
    read: str, suffix: str, marked: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_videos(tmp_path / f"in{read}", "", cover_first=False, marked=marked)
    chosen = FileSource(source)
    width, index = chosen.info.width, 1 if chosen.info.width == 64 else 0
    chosen.close()
    target = tmp_path / f"out{suffix}"
    with caplog.at_level(logging.WARNING):
        copy(source, target)
    assert videos(target) == [(width, True, False)]
    assert f"the other video (stream {index}) is left out; to keep it type --other-videos keep" in caplog.text
    copy(source, tmp_path / f"kept{suffix}", SinkOptions(other_videos="keep"))
    assert videos(tmp_path / f"kept{suffix}") == [(width, True, False), (192 - width, False, False)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("read", "marked"),
    [
        *((read, marked) for read in (".mkv", ".mp4") for marked in ("default", "plain", "cover")),
        *((".mov", marked) for marked in ("default", "plain")),  # QuickTime files hold no marked cover
    ],
)
def test_covers_stay_covers_marked_or_not(
    read: str, suffix: str, first: bool, marked: str, tmp_path: Path
) -> None:
    source = write_videos(tmp_path / f"in{read}", "covers", first, marked)
    copy(source, tmp_path / f"out{suffix}")
    assert len(video(tmp_path / f"out{suffix}").pts) == 20
    assert videos(tmp_path / f"out{suffix}") == [(64, True, False), (128, False, True)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("text", ["01:02:03:04", "10:00:00;00"])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(1000, 37), Fraction(300)])
def test_a_timecode_is_kept_or_said_to_be_left_out(
    suffix: str, text: str, rate: Fraction, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = Clip(frames=5, rate=rate, metadata={"timecode": text})
    source = write_clip(tmp_path / "in.mkv", clip)
    target = tmp_path / f"out{suffix}"
    with caplog.at_level(logging.WARNING):
        copy(source, target)
    with av.open(str(target)) as written:
        tags = {name.lower(): value for name, value in written.streams.video[0].metadata.items()}
    kept = tags.get("timecode") == text
    assert len(video(target).pts) == 5
    assert kept != ("does not fit" in caplog.text)
    assert kept or (suffix != ".mkv" and (";" in text or rate > 255))


def test_a_timecode_track_is_written_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_clip(tmp_path / "in.mov", Clip(frames=5, metadata={"timecode": "01:02:03:04"}))
    with av.open(str(source)) as read:
        assert [stream.type for stream in read.streams] == ["video", "data"]
    for suffix in (".mov", ".mp4"):
        copy(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as written:
            assert [stream.type for stream in written.streams] == ["video", "data"]
            assert written.streams[1].metadata["timecode"] == "01:02:03:04"
    assert "left out" not in caplog.text


def test_a_trial_writes_a_packet_and_a_trailer(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", Clip(audio=[Audio("pcm_s16le", layout="stereo")]))
    with av.open(str(source)) as read:
        audio = read.streams.audio[0]
        packet: Any = next(packet for packet in read.demux(audio) if packet.size)
        assert not holds("mp4", audio, packet)
        assert holds("mov", audio, packet)
        trial = av.open(io.BytesIO(), "w", format="mp4")
        packet.stream = trial.add_stream_from_template(audio, opaque=True)
        trial.start_encoding()  # nothing is said here, nor when the packet is written
        trial.mux_one(packet)
        with pytest.raises(av.error.FFmpegError):
            trial.close()
    assert not holds_timecode("mov", Fraction(60000), "00:00:00:00")
