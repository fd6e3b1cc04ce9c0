from __future__ import annotations

import logging
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from rt.errors import DamagedSource, SourceError
from rt.frame import Frame, Rgb
from rt.image import KINDS, READ_SUFFIXES, read_image
from rt.sources import SourceOptions, open_source
from tests.support.exif import with_exif
from tests.support.media import Clip, drawn, write_clip

NOTHING_ASKED = SourceOptions()
LOSSLESS = (".png", ".bmp", ".tif", ".tiff")


def write(path: Path, image: npt.NDArray[np.generic]) -> Path:
    """Write RGB, RGBA or gray pixels; the suffix chooses the format."""
    turned = image if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]]
    ok, content = cv2.imencode(path.suffix, np.ascontiguousarray(turned))
    assert ok
    path.write_bytes(content.tobytes())
    return path


def write_row(folder: Path, count: int, size: tuple[int, int] = (24, 32)) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(count):
        write(folder / f"img_{index}.png", drawn(index, *size))
    return folder


def read_one(path: Path) -> Rgb:
    return read_image(path).rgb


def read(address: Path | str, options: SourceOptions = NOTHING_ASKED) -> list[Frame]:
    return list(open_source(str(address), options))


def read_damaged(address: Path, options: SourceOptions = NOTHING_ASKED) -> tuple[list[Frame], str]:
    """Return the frames and what is said behind the last one."""
    frames: list[Frame] = []
    try:
        for frame in open_source(str(address), options):
            frames.append(frame)
    except DamagedSource as error:
        return frames, str(error)
    raise AssertionError(f"{address} is not called damaged")


def refusal(address: Path | str, options: SourceOptions = NOTHING_ASKED) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(str(address), options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_folder_is_read_in_natural_order_at_25_frames_a_second(tmp_path: Path) -> None:
    folder = write_row(tmp_path / "row", 12)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"")
    source = open_source(str(folder))
    frames = list(source)
    assert source.live is False
    assert (source.info.frame_rate, source.info.frame_count) == (Fraction(25), 12)
    assert [frame.pts for frame in frames] == list(range(12))
    assert {frame.time_base for frame in frames} == {Fraction(1, 25)}
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.rgb, drawn(index, 24, 32))


def test_another_rate_start_and_duration_can_be_asked(tmp_path: Path) -> None:
    folder = write_row(tmp_path / "row", 20)
    options = SourceOptions(fps=Fraction(10), start_s=0.45, duration_s=0.7)
    frames = read(folder, options)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert np.array_equal(frames[0].rgb, drawn(5, 24, 32))
    assert np.array_equal(frames[-1].rgb, drawn(11, 24, 32))


def test_a_start_behind_the_end_is_refused(tmp_path: Path) -> None:
    folder = write_row(tmp_path / "row", 5)
    assert refusal(folder, SourceOptions(start_s=0.2)) == (
        f"cannot start {folder} at 0.2 s: its 5 images at 25 fps end at 0.2 s"
    )


def test_numbered_images_are_read_by_number_and_gaps_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (9, 10, 12, 1000):
        write(tmp_path / f"img_{number:04d}.png", drawn(number, 24, 32))
    write(tmp_path / "img_11.png", drawn(0, 24, 32))
    frames = read(tmp_path / "img_%04d.png", SourceOptions(duration_s=1))
    assert len(frames) == 4
    for number, frame in zip((9, 10, 12, 1000), frames, strict=True):
        assert np.array_equal(frame.rgb, drawn(number, 24, 32))
    assert warnings(caplog) == [
        f"{tmp_path / 'img_%04d.png'}: 988 numbers are missing; the images follow one another without them"
    ]


def test_numbers_without_zeros_are_found_too(tmp_path: Path) -> None:
    write_row(tmp_path, 11)
    assert np.array_equal(read(tmp_path / "img_%d.png")[10].rgb, drawn(10, 24, 32))


def test_a_pattern_without_images_is_refused(tmp_path: Path) -> None:
    pattern = tmp_path / "img_%04d.png"
    assert refusal(pattern) == f"cannot read {pattern}: there is no such image, whatever the number"
    missing = tmp_path / "nowhere" / "img_%04d.png"
    assert refusal(missing) == f"cannot read {missing}: no such file or directory"


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert refusal(tmp_path) == (
        f"cannot read {tmp_path}: it is a folder without images ({' '.join(READ_SUFFIXES)}); "
        "the name of a video file or of a folder with images is needed"
    )


def test_one_image_is_one_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "one.png", drawn(3, 25, 33))
    (frame,) = read(path)
    assert np.array_equal(frame.rgb, drawn(3, 25, 33))


def test_one_image_looped_is_a_still_camera(tmp_path: Path) -> None:
    path = write(tmp_path / "one.png", drawn(3, 24, 32))
    frames = read(path, SourceOptions(loop=True, duration_s=2, fps=Fraction(30)))
    assert [frame.pts for frame in frames] == list(range(60))
    assert [frame.index for frame in frames] == list(range(60))
    assert all(np.array_equal(frame.rgb, drawn(3, 24, 32)) for frame in frames)


def test_a_looped_row_begins_again_and_its_times_go_on(tmp_path: Path) -> None:
    frames = read(write_row(tmp_path / "row", 3), SourceOptions(loop=True, duration_s=0.28))
    assert [frame.pts for frame in frames] == list(range(7))
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.rgb, drawn(index % 3, 24, 32))


def test_a_missing_image_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write_row(tmp_path, 1)
    missing = tmp_path / "img_O.png"
    assert refusal(missing) == f"cannot read {missing}: no such file; did you mean 'img_0.png'?"


@pytest.mark.parametrize("suffix", [*LOSSLESS, ".jpg", ".jpeg", ".webp", ".PNG"])
def test_every_format_is_read(suffix: str, tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(drawn(0, 48, 64), (0, 0), 4).astype(np.uint8)
    rgb = read_one(write(tmp_path / f"one{suffix}", smooth))
    difference = np.abs(rgb.astype(int) - smooth)
    assert difference.max() <= (0 if suffix.lower() in LOSSLESS else 12)
    assert difference.mean() < 2


def test_a_tiff_that_holds_a_jpeg_is_read_and_one_that_lies_about_it_is_refused(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(drawn(0, 48, 64), (0, 0), 4).astype(np.uint8)
    path = tmp_path / "scan.tif"
    Image.fromarray(smooth).save(path, compression="jpeg", quality=95)
    assert np.abs(read_image(path).rgb.astype(int) - smooth).max() <= 12  # it is not black
    cv2.imwrite(str(path), drawn(0, 48, 64), [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    assert np.array_equal(read_image(path).rgb[..., ::-1], drawn(0, 48, 64))
    tag, content = struct.pack("<HHI", 259, 3, 1), path.read_bytes()
    assert content.count(tag) == 1
    path.write_bytes(content.replace(tag + b"\x01", tag + b"\x07"))
    with pytest.raises(SourceError, match="^it is damaged"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_eight(suffix: str, tmp_path: Path) -> None:
    deep = drawn(0, 24, 32).astype(np.uint16) * 257
    rgb = read_one(write(tmp_path / f"deep{suffix}", deep))
    assert np.abs(rgb.astype(int) - drawn(0, 24, 32)).max() <= 1


def test_gray_alpha_and_palette_become_rgb(tmp_path: Path) -> None:
    rgb = drawn(0, 24, 32)
    gray = read_one(write(tmp_path / "gray.png", rgb[..., 0]))
    assert np.array_equal(gray, np.repeat(rgb[..., :1], 3, axis=2))
    alpha = np.dstack([rgb, np.full((24, 32), 40, np.uint8)])
    on_white = np.rint(rgb * (40 / 255) + 255 * (1 - 40 / 255))
    assert np.array_equal(read_one(write(tmp_path / "alpha.png", alpha)), on_white)
    (tmp_path / "palette.png").write_bytes(palette_png(rgb[..., 1] // 64))
    assert np.array_equal(read_one(tmp_path / "palette.png"), PALETTE[rgb[..., 1] // 64])


PALETTE = np.array([[250, 10, 20], [30, 240, 40], [5, 6, 230], [255, 255, 0]], np.uint8)


def palette_png(indices: npt.NDArray[np.uint8]) -> bytes:
    """Return a PNG of uint8[H, W] places in `PALETTE`."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = indices.shape
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (chunk(b"IHDR", head), chunk(b"PLTE", PALETTE.tobytes()), chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


STORED = np.repeat(np.repeat(np.arange(1, 7, dtype=np.uint8).reshape(2, 3) * 40, 16, 0), 16, 1)
UPRIGHT: dict[int, Rgb] = {
    1: STORED,
    2: STORED[:, ::-1],
    3: STORED[::-1, ::-1],
    4: STORED[::-1],
    5: STORED.T,
    6: STORED.T[:, ::-1],
    7: STORED.T[::-1, ::-1],
    8: STORED.T[::-1],
    9: STORED,
}


@pytest.mark.parametrize("turn", UPRIGHT)
@pytest.mark.parametrize("order", ["little", "big"])
def test_a_image_stands_upright_as_its_exif_tag_says(turn: int, order: str, tmp_path: Path) -> None:
    path = write(tmp_path / "turned.jpg", np.repeat(STORED[..., None], 3, axis=2))
    path.write_bytes(with_exif(path.read_bytes(), turn, order))
    rgb = read_one(path)
    assert rgb.shape[:2] == UPRIGHT[turn].shape
    assert rgb.flags.c_contiguous
    assert np.abs(rgb[..., 0].astype(int) - UPRIGHT[turn]).mean() < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_exif_tag_is_found_in_every_format(kind: str, turn: int, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[274] = turn
    path = tmp_path / f"turned{KINDS[kind][0]}"
    Image.fromarray(np.repeat(STORED[..., None], 3, axis=2)).save(path, kind, exif=tags)
    rgb = read_one(path)
    assert rgb.shape[:2] == UPRIGHT[turn].shape
    assert np.abs(rgb[..., 0].astype(int) - UPRIGHT[turn]).mean() < 4


def test_a_image_of_another_size_is_named_and_fitted_into_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_row(tmp_path / "row", 1)
    odd = write(folder / "img_1.png", np.full((12, 48, 3), 200, np.uint8))
    frames = read(folder)
    assert frames[1].rgb.shape == (24, 32, 3)
    assert (frames[1].rgb[8:16] == 200).all()
    assert (frames[1].rgb[:8] == 0).all()
    assert (frames[1].rgb[16:] == 0).all()
    assert warnings(caplog) == [f"{odd} is 48x12; it is fitted into the first size, 32x24"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("keep", [0.4, 0.98])
def test_a_image_cut_short_is_left_out_and_named(
    suffix: str, keep: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "row"
    folder.mkdir()
    rough = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for index in range(4):
        write(folder / f"{index}{suffix}", rough)
    torn = folder / f"2{suffix}"
    torn.write_bytes(torn.read_bytes()[: int(torn.stat().st_size * keep)])
    frames, message = read_damaged(folder)
    assert [frame.pts for frame in frames] == [0, 1, 3]  # its place stays empty
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert message.startswith(f"{folder}: 1 of 4 images cannot be read: {torn}: it is ")
    assert "\n" not in message
    assert warnings(caplog)[0].startswith(f"{torn} is left out: it is ")


def test_damaged_images_at_the_beginning_are_passed_over(tmp_path: Path) -> None:
    folder = write_row(tmp_path / "row", 3)
    (folder / "img_0.png").write_bytes(b"")
    frames, message = read_damaged(folder)
    assert "img_0.png: the file is empty" in message
    assert [frame.pts for frame in frames] == [1, 2]


def test_a_damaged_row_is_not_begun_again(tmp_path: Path) -> None:
    folder = write_row(tmp_path / "row", 3)
    (folder / "img_1.png").write_text("not an image")
    frames, message = read_damaged(folder, SourceOptions(loop=True))
    assert "1 of 3 images" in message
    assert [frame.pts for frame in frames] == [0, 2]


def test_where_no_image_can_be_read_that_is_said_before_the_first_frame(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_text("not an image")
    message = refusal(tmp_path)
    assert message.startswith(
        f"cannot read {tmp_path}: none of its images can be read: {tmp_path / '0.png'}: "
    )
    assert message.endswith("; and 2 more")
    one = tmp_path / "0.png"
    assert refusal(one).startswith(f"cannot read {one}: it is damaged or not an image (")


def test_a_video_in_the_clothes_of_a_image_is_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", Clip(frames=2)).rename(tmp_path / "clip.png")
    assert refusal(path) == f"cannot read {path}: it is not an image"


def test_what_images_cannot_do_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_row(tmp_path / "row", 1)
    assert refusal(folder, SourceOptions(width=64)) == (
        f"cannot use --width with {folder}: it is images; leave --width out"
    )
