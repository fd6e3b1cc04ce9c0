from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import socket
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rt.errors import DamagedSource, SourceError
from rt.frame import Frame, Rgb
from rt.media import packet_time
from rt.sources import SourceOptions, open_source
from rt.sources.file import FileSource
from tests.support.exif import with_exif
from tests.support.media import (
    TURNS,
    Audio,
    Clip,
    audio_only,
    cut_short,
    drawn,
    header_only,
    video,
    write_changing_size,
    write_clip,
)
from train.data.images import save_image


def read(path: Path) -> list[Frame]:
    source = FileSource(path)
    try:
        return list(source)
    finally:
        source.close()


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(str(path))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_frame_comes_with_the_exact_time_of_the_file(tmp_path: Path) -> None:
    irregular = [0, 7, 8, 100, 1000, 1001]
    path = write_clip(tmp_path / "vfr.mp4", Clip(unit=Fraction(1, 600), rate=Fraction(30), pts=irregular))
    frames = read(path)
    seen = video(path)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(pts, 600) for pts in irregular]
    assert [frame.pts for frame in frames] == seen.pts
    assert {frame.time_base for frame in frames} == {seen.unit}
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4, 5]


def test_the_first_frame_may_be_late(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mp4", Clip(unit=Fraction(1, 12800), pts=[127995, 128507, 129019]))
    frames = list(FileSource(path, options=SourceOptions(keep_clock=True)))
    assert [frame.pts for frame in frames] == video(path).pts
    assert frames[0].time_s == pytest.approx(127995 / 12800, abs=0.001)
    assert [frame.pts for frame in read(path)] == [0, 512, 1024]


def test_the_facts_are_known_before_the_first_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", Clip(size=(50, 70), rate=Fraction(30000, 1001), frames=30))
    source = FileSource(path)
    assert (source.info.height, source.info.width) == (50, 70)
    assert source.info.frame_rate == Fraction(30000, 1001)
    assert source.info.frame_count == 30
    assert source.info.name == str(path)
    assert not source.live
    source.close()


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("ten_bit.mkv", Clip(codec="ffv1", pixels="yuv420p10le")),
        ("odd.mkv", Clip(codec="ffv1", pixels="yuv420p", size=(37, 51))),
        ("half.mkv", Clip(codec="ffv1", pixels="yuv422p")),
        ("full.mkv", Clip(codec="ffv1", pixels="yuv444p")),
        ("rgb.mkv", Clip(codec="ffv1", pixels="bgr0")),
        ("alpha.mov", Clip(codec="qtrle", pixels="argb")),
        ("png_alpha.mov", Clip(codec="png", pixels="rgba")),
        ("jpeg.avi", Clip(codec="mjpeg", pixels="yuvj420p", options={"qmin": "1", "qmax": "1"})),
    ],
)
def test_any_pixel_format_becomes_the_drawn_rgb(tmp_path: Path, name: str, clip: Clip) -> None:
    smooth = Clip(**{**vars(clip), "image": smooth_ramp, "frames": 3})
    frames = read(write_clip(tmp_path / name, smooth))
    assert len(frames) == 3
    for frame in frames:
        wanted = smooth_ramp(frame.index, *clip.size)
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.flags.c_contiguous
        assert np.abs(frame.rgb.astype(int) - wanted).mean() < 2


def smooth_ramp(index: int, height: int, width: int) -> Rgb:
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([40 + 2 * x, 60 + 2 * y, 90 + x + y + 4 * index], axis=-1)
    return rgb.clip(0, 255).astype(np.uint8)


def test_gray_frames_are_gray(tmp_path: Path) -> None:
    frame = read(write_clip(tmp_path / "gray.mkv", Clip(codec="ffv1", pixels="gray", frames=1)))[0]
    assert np.array_equal(frame.rgb[..., 0], frame.rgb[..., 1])
    assert np.array_equal(frame.rgb[..., 0], frame.rgb[..., 2])
    assert frame.rgb.std() > 20


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 90), (91, 2)])
def test_the_smallest_images_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = read(write_clip(tmp_path / "tiny.mkv", Clip(codec="ffv1", pixels="bgr0", size=size, frames=2)))
    assert [frame.rgb.shape for frame in frames] == [(*size, 3)] * 2


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_frames_stand_upright(tmp_path: Path, turn: int, suffix: str) -> None:
    clip = Clip(size=(48, 64), matrix=TURNS[turn], frames=2)
    source = FileSource(write_clip(tmp_path / f"turned{suffix}", clip))
    frames = list(source)
    wanted = np.rot90(drawn(0, 48, 64), -turn // 90)
    assert (source.info.height, source.info.width) == wanted.shape[:2]
    assert frames[0].rgb.shape == wanted.shape
    assert np.abs(frames[0].rgb.astype(int) - wanted).mean() < 8
    source.close()


@pytest.mark.parametrize(("turn", "quarters"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_a_stream_of_jpegs_stands_upright_as_their_exif_tags_say(
    tmp_path: Path, turn: int, quarters: int
) -> None:
    save_image(tmp_path / "one.jpg", drawn(0, 48, 64))
    jpeg = (tmp_path / "one.jpg").read_bytes()
    (tmp_path / "many.mjpeg").write_bytes(with_exif(jpeg, turn) * 3)
    frames = read(tmp_path / "many.mjpeg")
    wanted = np.rot90(drawn(0, 48, 64), quarters)
    assert [frame.rgb.shape for frame in frames] == [wanted.shape] * 3
    assert np.abs(frames[0].rgb.astype(int) - wanted).mean() < 8


@pytest.mark.slow
def test_a_image_of_8k_is_read(tmp_path: Path) -> None:
    def halves(index: int, height: int, width: int) -> Rgb:
        image = np.full((height, width, 3), 40, np.uint8)
        image[:, width // 2 :] = 200
        return image

    clip = Clip(size=(4320, 7680), frames=1, codec="mjpeg", pixels="yuvj420p", image=halves)
    (frame,) = read(write_clip(tmp_path / "huge.mkv", clip))
    assert frame.rgb.shape == (4320, 7680, 3)
    assert frame.rgb[2000, 100].tolist() == pytest.approx([40] * 3, abs=2)
    assert frame.rgb[2000, 7000].tolist() == pytest.approx([200] * 3, abs=2)


@pytest.mark.parametrize(
    ("height", "tag", "matrix"),
    [(480, None, 6), (720, None, 1), (480, (1, 1, 1, 1), 1), (720, (9, 1, 9, 16), 9)],
)
def test_the_matrix_is_the_tag_else_the_convention(
    tmp_path: Path, height: int, tag: tuple[int, int, int, int] | None, matrix: int
) -> None:
    colour = (200, 40, 90)
    painted = Clip(
        size=(height, 32),
        frames=1,
        codec="ffv1",
        pixels="yuv444p",
        tagged=tag is not None,
        colour=tag or (matrix, 1, 2, 2),
        image=lambda index, h, w: np.full((h, w, 3), colour, np.uint8),
    )
    path = write_clip(tmp_path / "flat.mkv", painted)
    source = FileSource(path)
    frame = next(iter(source))
    assert source.info.video.colour.matrix == matrix
    assert np.abs(frame.rgb.astype(int) - colour).max() <= 2
    source.close()


def test_a_size_change_in_mid_stream_is_scaled_to_the_first_size(tmp_path: Path) -> None:
    path = write_changing_size(tmp_path / "changing.mkv", [(48, 64), (48, 64), (96, 128), (30, 20)])
    frames = read(path)
    assert [frame.rgb.shape for frame in frames] == [(48, 64, 3)] * 4
    small = frames[2].rgb.astype(int)
    assert np.abs(small - frames[0].rgb)[4:20, 4:28].mean() < 60


def test_the_parts_of_a_joined_recording_follow_one_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part = write_clip(tmp_path / "part.ts", Clip(frames=50, audio=[Audio("mp2", seconds=2.0)]))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(2 * part.read_bytes())
    source = FileSource(joined)
    packets = source.info.side.subscribe()
    times = []
    with caplog.at_level(logging.WARNING), contextlib.suppress(DamagedSource):
        for frame in source:
            times.append(frame.pts * frame.time_base)
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert len(times) == 100
    assert min(steps) > Fraction(1, 50)
    assert max(steps) < Fraction(1, 8)
    audio = [packet_time(packet) or 0 for packet in packets]
    assert audio == sorted(audio)
    assert "starts again 1 time(s)" in caplog.text
    source.close()


def test_equal_and_backward_times_are_moved_by_the_least(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "clip.mkv", Clip(codec="mjpeg", pixels="yuvj420p", frames=6))
    stamps = [0, 40, 80, 120, 160, 200]
    data = bytearray(path.read_bytes())
    for index, stamp in zip((2, 4), (40, 20), strict=True):  # write other relative times into the blocks
        at = data.index(b"\x81" + stamps[index].to_bytes(2, "big") + b"\x80")
        data[at + 1 : at + 3] = stamp.to_bytes(2, "big")
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        frames = read(path)
    assert [frame.pts for frame in frames] == [0, 40, 41, 120, 121, 200]
    assert "2 time stamps" in caplog.text


def test_the_empty_packets_of_an_avi_are_passed_over(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "gaps.avi", Clip(codec="mpeg4", pts=[0, 1, 2, 6, 7, 8]))
    assert [frame.pts for frame in read(path)] == [0, 1, 2, 6, 7, 8]


def test_a_list_of_addresses_does_not_reach_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/part.ts"
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n")
        assert "it is text, not a video" in refusal(playlist)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write_clip(tmp_path / "holiday.mp4", Clip(frames=1))
    assert "no such file; did you mean 'holiday.mp4'?" in refusal(tmp_path / "holidy.mp4")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path / 'nowhere'}" in refusal(tmp_path / "nowhere" / "clip.mp4")


def test_a_folder_that_may_not_be_listed_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refusal(tmp_path / "clip.mp4") == f"cannot read {tmp_path / 'clip.mp4'}: no such file"


def test_an_unknown_scheme_is_refused_with_the_nearest() -> None:
    with pytest.raises(SourceError, match="^cannot read patern://: patern:// is not known; did you mean"):
        open_source("patern://")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "it is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("empty.mp4", b"", "the file is empty (0 bytes)"),
        ("notes.txt", b"dear diary\n" * 90, "it is text, not a video"),
        ("notes.mp4", "über\n".encode() * 90, "it is text, not a video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n", "it is text, not a video"),
        ("random.mp4", np.random.default_rng(1).bytes(5000), "it is not a video file"),
        ("zeros.mkv", bytes(5000), "it is not a video file"),
    ],
)
def test_what_is_not_a_video_is_refused(tmp_path: Path, name: str, content: bytes, found: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert found in refusal(path)


def test_audio_alone_is_refused_with_its_codec(tmp_path: Path) -> None:
    assert "it holds only audio (aac)" in refusal(audio_only(tmp_path / "song.m4a"))


def test_a_header_without_frames_is_refused(tmp_path: Path) -> None:
    assert "it has a h264 header but no video frames" in refusal(header_only(tmp_path / "bare.mp4"))


def test_a_refused_file_is_let_go(tmp_path: Path) -> None:
    gc.collect()  # what other tests left open is not counted
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        refusal(header_only(tmp_path / "bare.mp4"))
        refusal(audio_only(tmp_path / "song.m4a"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_closing_within_a_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FileSource(write_clip(tmp_path / "whole.mp4", Clip(frames=100, audio=[Audio(seconds=4.0)])))
    frames = iter(source)
    next(frames)
    decode, packets = source._decode, itertools.count()

    def interrupted(packet: Any) -> list[av.VideoFrame]:
        if next(packets) == 20:
            source._closed = True  # what `close` says before it waits for this read
        decode(packet)
        return []  # the read goes on: no frame comes in between

    monkeypatch.setattr(source, "_decode", interrupted)
    assert list(frames) == []
    assert next(packets) < 30
    assert not source.info.side.ended
    source.close()


def test_an_mp4_without_its_index_is_told_from_other_files(tmp_path: Path) -> None:
    path = cut_short(write_clip(tmp_path / "unfinished.mp4", Clip(frames=20)), 0.8)
    assert "it is an mp4 without its index: cut short, or never finished" in refusal(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("long_audio.mkv", Clip(frames=10, audio=[Audio(seconds=5.0)])),
        ("long_audio.mp4", Clip(frames=10, audio=[Audio(seconds=5.0)])),
        ("long_frame.mkv", Clip(frames=50, audio=[Audio(seconds=0.2)])),
        ("slow.mkv", Clip(frames=4, rate=Fraction(1, 2), unit=Fraction(1, 1000))),
        ("pause.mp4", Clip(rate=Fraction(25), unit=Fraction(1, 1000), pts=[0, 40, 80, 5000])),
        ("late.mkv", Clip(unit=Fraction(1, 1000), pts=[9000, 9040, 9080])),
        ("one.mp4", Clip(frames=1)),
        ("stream.ts", Clip(audio=[Audio("mp2", seconds=2.0)])),
        ("old.avi", Clip(codec="mpeg4", audio=[Audio("mp2", seconds=2.0)])),
        ("b_frames.mp4", Clip(frames=60, options={"bf": "3", "preset": "veryfast"})),
        ("live.mkv", Clip(container_options={"live": "1"})),
        ("interlaced.ts", Clip(codec="mpeg2video", options={"flags": "+ildct+ilme"})),
        ("fragments.mp4", Clip(frames=50, container_options={"movflags": "frag_keyframe+empty_moov"})),
    ],
)
def test_a_whole_file_of_odd_length_is_not_called_damaged(tmp_path: Path, name: str, clip: Clip) -> None:
    path = write_clip(tmp_path / name, clip)
    assert len(read(path)) == len(video(path).pts)


def test_a_cover_image_is_not_taken_for_the_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "covered.mp4", Clip(size=(48, 64), cover=True))
    assert {frame.rgb.shape for frame in read(path)} == {(48, 64, 3)}


def test_close_from_another_thread_ends_the_reading(tmp_path: Path) -> None:
    source = FileSource(write_clip(tmp_path / "clip.mp4", Clip(frames=50)))
    frames = iter(source)
    next(frames)
    closer = threading.Thread(target=source.close)
    closer.start()
    closer.join()
    assert list(frames) == []
    source.close()


def test_a_frame_outlives_its_source(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(frames=5))
    first, *rest = read(path)
    kept = first.rgb.copy()
    del rest
    assert np.array_equal(first.rgb, kept)


def test_a_source_is_read_once(tmp_path: Path) -> None:
    source = FileSource(write_clip(tmp_path / "clip.mp4", Clip(frames=2)))
    assert len(list(source)) == 2
    with pytest.raises(RuntimeError, match="iterated once"):
        next(iter(source))
    source.close()
