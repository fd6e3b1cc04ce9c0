"""High dynamic range is kept where it stays true."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt.hdr import Hdr, merged
from rt.sinks import SinkOptions
from rt.sinks.file import FileSink
from rt.sources.file import FileSource
from tests.support.media import Clip, write_clip

P3 = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
BT2020 = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(40000000,50)"
SAID = {
    "mastering and light": f"master-display={P3}:max-cll=1000,400",
    "another display": f"master-display={BT2020}:max-cll=4000,1",
    "mastering alone": f"master-display={P3}",
    "light alone": "max-cll=10000,65535",
}
ENCODERS = {"x264": "h264", "x265": "hevc", "svtav1": "av1"}
PQ, HLG, BT709, NONE = 16, 18, 1, 2


def clip_of(path: Path, said: str, transfer: int) -> Path:
    options = {"x265-params": f"log-level=none:{said}"}
    colour = (9, 1, 9, transfer)
    return write_clip(
        path, Clip((64, 96), 3, codec="libx265", pixels="yuv420p10le", options=options, colour=colour)
    )


def copied(source: Path, target: Path, encoder: str) -> Hdr | None:
    reader = FileSource(source)
    writer = FileSink(target, reader.info, SinkOptions(codec=ENCODERS[encoder], encoder=encoder))
    for frame in reader:
        writer.write(frame)
    writer.close()
    return first_of(target)


def first_of(path: Path) -> Hdr | None:
    with av.open(str(path)) as container:
        return Hdr.beside(next(container.decode(video=0)))


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("names", [("in.mp4", "out.mkv"), ("in.mkv", "out.mp4")])
def test_what_is_said_of_the_display_and_the_light_is_kept(
    tmp_path: Path, said: str, encoder: str, names: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source = clip_of(tmp_path / names[0], SAID[said], HLG if said == "light alone" else PQ)
    before, after = first_of(source), copied(source, tmp_path / names[1], encoder)
    assert before is not None
    assert after is not None
    assert after.light == before.light
    assert (after.mastering is None) == (before.mastering is None)
    for found, wanted in zip(after.mastering or (), before.mastering or (), strict=True):
        assert float(found) == pytest.approx(float(wanted), abs=1 / 16384)  # AV1 counts darkness so
    assert "left out" not in caplog.text
    assert caplog.text.count("not tone mapped") == 1


@pytest.mark.parametrize("transfer", [BT709, NONE])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_frames_of_no_high_range_are_not_said_to_have_one(
    tmp_path: Path, transfer: int, encoder: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source = clip_of(tmp_path / "in.mp4", SAID["mastering and light"], transfer)
    assert copied(source, tmp_path / "out.mp4", encoder) is None
    assert "the source's HDR metadata is left out: mastering display, content light level" in caplog.text
    assert "tone mapped" not in caplog.text


def test_nothing_is_said_of_other_videos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert copied(write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", "x264") is None
    assert "HDR" not in caplog.text


@pytest.mark.parametrize("encoder", ["h264_nvenc", "hevc_qsv", "h264_v4l2m2m"])
def test_what_an_encoder_cannot_write_is_said(encoder: str) -> None:
    found = Hdr(tuple(Fraction(n, 20) for n in range(1, 11)), (1000, 400), ("HDR10+",))
    assert found.options(encoder, PQ) == {}
    assert found.lost(encoder, PQ) == "mastering display, content light level, HDR10+"
    assert found.lost("libx265", PQ) == "HDR10+"


@given(
    st.lists(st.fractions(0, 1, max_denominator=50000), min_size=8, max_size=8),
    st.integers(0, 50_000),
    st.integers(1, 100_000_000 - 50_000),
    st.tuples(st.integers(1, 65535), st.integers(0, 65535)),
)
def test_the_words_for_an_encoder_tell_the_numbers(
    points: list[Fraction], darkest: int, more: int, light: tuple[int, int]
) -> None:
    mastering = (*points, Fraction(darkest, 10_000), Fraction(darkest + more, 10_000))
    options = Hdr(mastering, light).options("libx265", PQ)
    assert options == {
        "x265-params": "master-display="
        + "".join(
            f"{name}({round(50_000 * mastering[at])},{round(50_000 * mastering[at + 1])})"
            for name, at in (("G", 2), ("B", 4), ("R", 0), ("WP", 6))
        )
        + f"L({darkest + more},{darkest}):max-cll={light[0]},{light[1]}"
    }
    assert merged({"x265-params": "log-level=none", "g": "5"}, options) == {
        "x265-params": "log-level=none:" + options["x265-params"],
        "g": "5",
    }
