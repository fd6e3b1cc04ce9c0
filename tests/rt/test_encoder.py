"""What codes the video, and how the user's words reach it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkOptions, encoder
from rt.sinks.encoder import KINDS, SOFTWARE, choose_encoder, encoder_names
from rt.sinks.file import FileSink
from rt.sources.file import FileSource
from tests.support.media import Audio, Clip, drawn, side_streams, video, write_clip

RATE = Fraction(25)
SIZE = (48, 64)
DECODERS = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d"}


@pytest.fixture(autouse=True)
def nothing_tried_before() -> Iterator[None]:
    encoder._tried.cache_clear()
    yield
    encoder._tried.cache_clear()


@pytest.fixture
def with_nvenc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with NVENC: only the trial is replaced."""
    monkeypatch.setattr(encoder, "probe_encoder", lambda name, *rest: None if "nvenc" in name else "none")


@pytest.fixture
def without_nvenc(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = encoder.probe_encoder
    monkeypatch.setattr(
        encoder,
        "probe_encoder",
        lambda name, *rest: "it is not there" if "nvenc" in name else probe(name, *rest),
    )


def write(path: Path, options: SinkOptions, size: tuple[int, int] = SIZE, frames: int = 30) -> None:
    sink = FileSink(path, None, options, size=size, frame_rate=RATE)
    for index in range(frames):
        sink.write(Frame(drawn(index, *size), 40 * index, Fraction(1, 1000), index))
    sink.close()


def tag(path: Path) -> str:
    with av.open(str(path)) as container:
        return str(container.streams.video[0].codec_context.codec_tag)


def codec(path: Path) -> str:
    with av.open(str(path)) as container:
        return str(container.streams.video[0].codec_context.name)


@pytest.mark.usefixtures("without_nvenc")
@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("h264", ".mp4"),
        ("hevc", ".mp4"),
        ("hevc", ".mov"),
        ("hevc", ".mkv"),
        ("av1", ".mp4"),
        ("av1", ".mkv"),
    ],
)
@pytest.mark.parametrize("size", [SIZE, (37, 57)])
def test_every_codec_keeps_times_size_and_colours(
    tmp_path: Path, name: str, suffix: str, size: tuple[int, int]
) -> None:
    path = tmp_path / f"out{suffix}"
    write(path, SinkOptions(codec=name), size)
    found = video(path)
    assert codec(path) == DECODERS[name]
    assert found.times == [Fraction(index, 25) for index in range(30)]
    assert (found.size, found.colour[:2]) == (size, (6, 1))
    *_, last = FileSource(path)
    assert np.abs(last.rgb.astype(int) - drawn(29, *size)).mean() < 12
    if name == "hevc" and suffix != ".mkv":
        assert tag(path) == "hvc1"


@pytest.mark.usefixtures("without_nvenc")
def test_webm_takes_av1_with_opus(tmp_path: Path) -> None:
    source = FileSource(
        write_clip(tmp_path / "in.mkv", Clip(frames=30, audio=[Audio("libopus", 1.2, rate=48000)]))
    )
    sink = FileSink(tmp_path / "out.webm", source.info, SinkOptions(codec="av1"))
    for read in source:
        sink.write(read)
    sink.close()
    source.close()
    assert len(video(tmp_path / "out.webm").pts) == 30
    assert side_streams(tmp_path / "out.webm")[0].sha256 == side_streams(tmp_path / "in.mkv")[0].sha256


@pytest.mark.usefixtures("without_nvenc")
@pytest.mark.parametrize(("name", "suffix"), [("hevc", ".mp4"), ("av1", ".mp4"), ("av1", ".webm")])
def test_a_killed_run_leaves_a_playable_part(tmp_path: Path, name: str, suffix: str) -> None:
    program = (
        "import os, sys\n"
        "from fractions import Fraction\n"
        "from rt.frame import Frame\n"
        "from rt.sinks import SinkOptions, open_sink\n"
        "from tests.support.media import drawn\n"
        "sink = open_sink(sys.argv[1], None, SinkOptions(codec=sys.argv[2]), size=(48, 64))\n"
        "for index in range(200):\n"
        "    sink.write(Frame(drawn(index, 48, 64), index, Fraction(1, 25), index))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    target = tmp_path / f"out{suffix}"
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", program, str(target), name], cwd=root, check=False)
    assert killed.returncode == -9
    assert len(video(tmp_path / f"out{suffix}.part").times) >= 75


@pytest.mark.usefixtures("without_nvenc")
@pytest.mark.parametrize("word", ["x264", "x265", "svtav1"])
def test_quality_and_speed_reach_the_encoder(tmp_path: Path, word: str) -> None:
    name = next(iter(KINDS[word].names))
    fast = {"x264": "ultrafast", "x265": "ultrafast", "svtav1": "12"}[word]
    sizes = []
    for crf in (10, 45):
        path = tmp_path / f"{crf}.mkv"
        write(path, SinkOptions(codec=name, encoder=word, crf=crf, preset=fast), (144, 192), 10)
        sizes.append(path.stat().st_size)
    assert sizes[0] > 1.5 * sizes[1]
    chosen = choose_encoder(SinkOptions(codec=name, encoder=word, crf=10, preset=fast), SIZE, RATE)
    assert chosen.said.endswith(f"by {word}, crf 10, preset {fast}")
    assert chosen.why == "as asked"


@pytest.mark.usefixtures("with_nvenc")
@pytest.mark.parametrize(
    ("options", "name", "found"),
    [
        (SinkOptions(), "h264_nvenc", {"cq": "21", "preset": "p4", "rc": "vbr"}),
        (SinkOptions(codec="hevc", crf=30, preset="p7"), "hevc_nvenc", {"cq": "30", "preset": "p7"}),
        (SinkOptions(codec="av1", encoder="nvenc"), "av1_nvenc", {"cq": "30"}),
    ],
)
def test_nvenc_is_taken_where_a_frame_was_coded_with_it(
    options: SinkOptions, name: str, found: dict[str, str]
) -> None:
    chosen = choose_encoder(options, SIZE, RATE)
    assert chosen.name == name
    assert dict(chosen.options).items() >= found.items()
    assert "crf" not in chosen.options


@pytest.mark.usefixtures("with_nvenc")
def test_the_software_encoder_is_taken_where_nvenc_does_not_know_the_words() -> None:
    chosen = choose_encoder(SinkOptions(preset="veryslow", crf=0), SIZE, RATE)
    assert chosen.name == "libx264"
    assert chosen.why.startswith("auto: ")


@pytest.mark.usefixtures("without_nvenc")
def test_what_was_taken_and_why_is_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    taken = f"{tmp_path}/out.mp4: H.264 by x264, crf 19, preset veryfast"
    with caplog.at_level(logging.INFO):
        write(tmp_path / "out.mp4", SinkOptions())
    assert caplog.messages == [taken]
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="rt"):
        write(tmp_path / "out.mp4", SinkOptions(overwrite=True))
    why = f"{tmp_path}/out.mp4: auto: NVENC does not work here, it is not there"
    assert [message for message in caplog.messages if "out.mp4" in message] == [taken, why]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SinkOptions(codec="h265"), "there is no codec h265; did you mean 'h264'?; known: h264, hevc, av1"),
        (
            SinkOptions(encoder="x263"),
            "there is no encoder x263; did you mean 'x265'?; "
            "known: auto, x264, x265, svtav1, nvenc, qsv, v4l2m2m",
        ),
        (
            SinkOptions(codec="av1", encoder="x264"),
            "x264 does not code AV1; type --encoder svtav1, or --codec h264",
        ),
        (SinkOptions(encoder="x264", crf=52), "--crf is 52, not within 0..51, the scale of x264"),
        (
            SinkOptions(codec="av1", encoder="svtav1", crf=0),
            "--crf is 0, not within 1..63, the scale of svtav1",
        ),
        (
            SinkOptions(encoder="x264", preset="very-fast"),
            "x264 has no preset very-fast; did you mean 'veryfast'?; known: ultrafast, superfast, veryfast, "
            "faster, fast, medium, slow, slower, veryslow, placebo",
        ),
        (
            SinkOptions(encoder="v4l2m2m", crf=20),
            "v4l2m2m knows no --crf, it works at a fixed rate; leave it out",
        ),
        (SinkOptions(encoder="v4l2m2m", preset="fast"), "v4l2m2m knows no --preset; leave it out"),
    ],
)
def test_words_that_do_not_fit_are_refused(options: SinkOptions, message: str) -> None:
    with pytest.raises(SinkError) as caught:
        choose_encoder(options, SIZE, RATE)
    assert str(caught.value) == message


def test_an_odd_size_is_refused_where_the_encoder_cannot_code_it() -> None:
    with pytest.raises(SinkError, match="qsv cannot code 51x37, an odd size; type --encoder x264"):
        choose_encoder(SinkOptions(encoder="qsv"), (37, 51), RATE)


@pytest.mark.usefixtures("without_nvenc")
def test_images_too_small_for_a_codec_are_refused_before_the_run() -> None:
    with pytest.raises(SinkError, match=r"x265 cannot code frames of 8x8 as HEVC \(.*\); type --codec h264$"):
        choose_encoder(SinkOptions(codec="hevc"), (8, 8), RATE)
    with pytest.raises(SinkError, match="--encoder x265 does not work here for frames of 8x8: .*doctor$"):
        choose_encoder(SinkOptions(codec="hevc", encoder="x265"), (8, 8), RATE)


@pytest.mark.usefixtures("without_nvenc")
def test_an_encoder_that_was_named_and_does_not_work_is_not_replaced() -> None:
    with pytest.raises(
        SinkError, match="--encoder nvenc does not work here .*: it is not there; leave it out"
    ):
        choose_encoder(SinkOptions(encoder="nvenc"), SIZE, RATE)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("out.webm", SinkOptions(codec="hevc"), "WebM cannot hold HEVC video; type {}/out.mkv instead, or"),
        ("out.mov", SinkOptions(codec="av1"), "QuickTime files cannot hold AV1; type {}/out.mp4 instead"),
    ],
)
def test_a_container_that_cannot_hold_the_codec_is_refused(
    tmp_path: Path, name: str, options: SinkOptions, message: str
) -> None:
    with pytest.raises(SinkError) as caught:
        FileSink(tmp_path / name, None, options, size=SIZE)
    assert message.format(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_every_name_is_one_that_ffmpeg_has() -> None:
    assert set(encoder_names()) <= av.codecs_available
    assert {KINDS[word].names[name] for name, word in SOFTWARE.items()} == {"libx264", "libx265", "libsvtav1"}
    for kind in KINDS.values():
        assert kind.preset == "" or kind.preset in kind.presets
