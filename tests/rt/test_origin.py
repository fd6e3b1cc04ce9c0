"""Files whose clock begins anywhere: the output begins at zero."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest

from rt.frame import Frame
from rt.media import rational
from rt.sources.base import SourceOptions
from rt.sources.file import FileSource
from tests.support.copying import copy
from tests.support.media import Audio, Clip, write_clip

STARTS_S = [0, 0.48, 1.4, 3600.04, 50001.4, 95442.5]
"""The last one is where the clock of a transport stream, 33 bits at 90 kHz, starts again."""
GAPS_S = [-0.24, 0, 0.36]
"""How much later the audio begins than the video."""
CONTAINERS = {
    ".ts": ("libx264", "yuv420p", "aac"),
    ".mts": ("libx264", "yuv420p", "ac3"),
    ".vob": ("mpeg2video", "yuv420p", "mp2"),
    ".mkv": ("libx264", "yuv420p", "flac"),
    ".mp4": ("libx264", "yuv420p", "aac"),
    ".mov": ("libx264", "yuv420p", "pcm_s16le"),
    ".flv": ("flv", "yuv420p", "mp3"),
}
EVERY = list(itertools.product(CONTAINERS, STARTS_S, GAPS_S))


UNITS = {".vob": Fraction(1, 25), ".flv": Fraction(1, 1000)}
"""Of what is not counted in 1/90000 s: MPEG-2 counts frames."""


def clip_at(path: Path, start_s: float, gap_s: float) -> Path:
    """Write six frames and 0.3 s of audio, on a clock that begins at `start_s`."""
    codec, pixels, audio = CONTAINERS[path.suffix]
    unit = UNITS.get(path.suffix, Fraction(1, 90000))
    late_s = Fraction(str(max(0.0, -gap_s)))
    clip = Clip(
        codec=codec,
        pixels=pixels,
        unit=unit,
        pts=[round((late_s + Fraction(index, 25)) / unit) for index in range(6)],
        audio=[Audio(audio, 0.3, max(0.0, gap_s), rate=48000)],
        container_options={"output_ts_offset": str(start_s), "avoid_negative_ts": "disabled"},
    )
    return write_clip(path, clip)


def starts(path: Path) -> dict[str, list[Fraction]]:
    """Return the times of all packets by the kind of their stream, as plain PyAV reads them."""
    times: dict[str, list[Fraction]] = {"video": [], "audio": []}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.size:
                times[packet.stream.type].append(packet.pts * (rational(packet.time_base) or Fraction(0)))
    return {kind: sorted(stamps) for kind, stamps in times.items()}


@pytest.mark.parametrize(("suffix", "start_s", "gap_s"), EVERY)
@pytest.mark.parametrize("target", [".mkv", ".mp4"])
def test_the_output_begins_at_zero_with_audio_and_video_as_far_apart_as_before(
    tmp_path: Path, suffix: str, start_s: float, gap_s: float, target: str
) -> None:
    if CONTAINERS[suffix][2] == "pcm_s16le" and target == ".mp4":
        target = ".mov"
    source = clip_at(tmp_path / f"in{suffix}", start_s, gap_s)
    copy(source, tmp_path / f"out{target}")
    read, written = starts(source), starts(tmp_path / f"out{target}")
    tick_s = 0.0011  # of Matroska
    assert len(written["video"]) == len(read["video"]) == 6
    gaps = [float(times["audio"][0] - times["video"][0]) for times in (read, written)]
    assert gaps[1] == pytest.approx(gaps[0], abs=2 * tick_s)
    lengths = [float(times["video"][-1] - times["video"][0]) for times in (read, written)]
    assert lengths[1] == pytest.approx(lengths[0], abs=2 * tick_s)
    # The run-in of an encoder may lie before zero, by less than a block of audio.
    assert written["video"][0] >= 0
    assert -0.03 < min(written["video"][0], written["audio"][0]) < tick_s


@pytest.mark.parametrize("suffix", [".ts", ".vob", ".mkv", ".mp4"])
@pytest.mark.parametrize("start_s", [0.08, 0.12])
def test_a_part_of_a_late_clock_is_counted_from_its_start(
    tmp_path: Path, suffix: str, start_s: float
) -> None:
    source = clip_at(tmp_path / f"in{suffix}", 50001.4, 0)
    copy(source, tmp_path / "out.mkv", options=SourceOptions(start_s=start_s))
    written = starts(tmp_path / "out.mkv")
    assert 0 <= written["video"][0] < 0.045
    assert 0 <= written["audio"][0] < 0.1  # the length of a block of FLAC


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
@pytest.mark.parametrize("start_s", [0.0, 0.08])
def test_the_clock_can_be_kept(tmp_path: Path, suffix: str, start_s: float) -> None:
    source = clip_at(tmp_path / f"in{suffix}", 50001.4, 0)
    kept = SourceOptions(keep_clock=True)
    frames: list[Frame] = list(FileSource(source, start_s, options=kept))
    read = starts(source)
    begin_s = min(read["video"][0], read["audio"][0]) + Fraction(str(start_s))
    assert [frame.pts * frame.time_base for frame in frames] == [
        time_s for time_s in read["video"] if time_s >= begin_s
    ]
    copy(source, tmp_path / "out.mkv", options=kept)
    assert float(starts(tmp_path / "out.mkv")["video"][0]) == pytest.approx(
        float(starts(source)["video"][0]), abs=0.001
    )
