"""Closed captions: what stands beside the frames of a file stands beside those of its translation."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import pytest
from av.video.reformatter import VideoReformatter

from rt.captions import Captions, has_captions, side_data_kinds
from rt.sinks import SinkOptions
from rt.sinks.file import FileSink
from rt.sources.base import DEFAULTS, SourceOptions
from rt.sources.file import FileSource
from tests.support.captioned import TEXT, captions_of, write_captioned


def copied(source: Path, target: Path, sink: SinkOptions, options: SourceOptions = DEFAULTS) -> int:
    reader = FileSource(source, options.start_s, options.duration_s, options=options)
    writer = FileSink(target, reader.info, sink)
    count = 0
    for count, frame in enumerate(reader, start=1):  # noqa: B007
        writer.write(frame)
    writer.close()
    reader.close()
    return count


@pytest.mark.parametrize("source", ["in.ts", "in.mkv", "in.mp4"])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.mov"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_every_frame_keeps_its_captions(tmp_path: Path, source: str, target: str, codec: str) -> None:
    path = write_captioned(tmp_path / source)
    before = captions_of(path)
    assert len([each for each in before if each]) == len(TEXT)
    copied(path, tmp_path / target, SinkOptions(codec=codec, encoder="x264" if codec == "h264" else "x265"))
    assert captions_of(tmp_path / target) == before


def test_a_part_keeps_the_captions_of_its_frames(tmp_path: Path) -> None:
    path = write_captioned(tmp_path / "in.mkv")
    copied(path, tmp_path / "out.mp4", SinkOptions(encoder="x264"), SourceOptions(start_s=0.08))
    assert captions_of(tmp_path / "out.mp4") == captions_of(path)[2:]


def test_deinterlaced_frames_keep_them_and_of_two_fields_the_first(tmp_path: Path) -> None:
    path = write_captioned(tmp_path / "in.ts", interlaced=True)
    before = captions_of(path)
    assert copied(path, tmp_path / "one.mkv", SinkOptions(encoder="x264")) == len(TEXT)
    assert captions_of(tmp_path / "one.mkv") == before
    both = SourceOptions(fields=True)
    assert copied(path, tmp_path / "two.mkv", SinkOptions(encoder="x264"), both) == 2 * len(TEXT)
    after = captions_of(tmp_path / "two.mkv")
    assert after[::2] == before
    assert after[1::2] == [None] * len(TEXT)


def test_it_is_said_where_the_codec_has_no_captions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_captioned(tmp_path / "in.mkv")
    copied(path, tmp_path / "out.mkv", SinkOptions(codec="av1", encoder="svtav1"))
    assert caplog.text.count("closed captions are left out: libsvtav1 cannot code them") == 1


EVEN = [(2, 2), (6, 10), (48, 64), (270, 480)]
SHAPES = [(pixels, size) for pixels in ("yuv420p", "yuv444p", "yuv420p10le", "nv12") for size in EVEN]


@pytest.mark.parametrize(("pixels", "size"), [*SHAPES, ("yuv444p", (51, 37)), ("yuv444p", (1, 3))])
def test_the_pixels_beside_captions_are_those_given(
    tmp_path: Path, pixels: str, size: tuple[int, int]
) -> None:
    with av.open(str(write_captioned(tmp_path / "in.ts"))) as container:
        captions = Captions(next(container.decode(video=0)), VideoReformatter())
    drawn = av.VideoFrame(size[1], size[0], pixels)
    for number, plane in enumerate(drawn.planes):
        plane.update(bytes((number * 50 + index) % 251 for index in range(plane.buffer_size)))
    made = captions.beside(drawn, VideoReformatter())
    assert has_captions(made)
    assert (made.to_ndarray() == drawn.to_ndarray()).all()


def test_everything_beside_a_frame_is_found_where_a_kind_stands_there_twice() -> None:
    """PyAV 19 counts each kind once: what lay behind the second was not seen."""

    class Data:
        def __init__(self, name: str) -> None:
            self.type = SimpleNamespace(name=name)

    class Kept(list[Data]):
        def __len__(self) -> int:
            return len({data.type.name for data in self})

    names = ["SEI_UNREGISTERED", "SEI_UNREGISTERED", "A53_CC"]
    frame = SimpleNamespace(side_data=Kept(map(Data, names)))
    assert side_data_kinds(cast(av.VideoFrame, frame)) == names
