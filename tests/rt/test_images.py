"""Frames as numbered images."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rt.errors import SinkError
from rt.frame import Frame, Rgb, SourceInfo
from rt.image import write_image
from rt.sinks import Sink, SinkOptions, open_sink
from rt.sources import open_source
from tests.support.disk import files_limited_to
from tests.support.media import drawn


def frame(index: int, size: tuple[int, int] = (20, 31)) -> Frame:
    return Frame(drawn(index, *size), index, Fraction(1, 25), index)


def opened(address: Path | str, overwrite: bool = False, source: str | None = None) -> Sink:
    like = SourceInfo(source, 20, 31, None, None) if source else None
    return open_sink(str(address), like, SinkOptions(overwrite=overwrite))


def written(address: Path | str, count: int = 3, overwrite: bool = False) -> None:
    sink = opened(address, overwrite)
    for index in range(count):
        sink.write(frame(index))
    sink.close()


def read(path: Path) -> Rgb:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)


@pytest.mark.parametrize("address", ["frames/", "frames/%06d.png", "made"])
def test_a_folder_gets_every_frame_pixel_for_pixel(tmp_path: Path, address: str) -> None:
    (tmp_path / "made").mkdir()
    written(str(tmp_path) + "/" + address)
    folder = tmp_path / address.split("/")[0]
    assert sorted(path.name for path in folder.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    for index in range(3):
        assert np.array_equal(read(folder / f"00000{index}.png"), drawn(index, 20, 31))


def test_the_pattern_names_the_images_and_its_suffix_says_jpeg(tmp_path: Path) -> None:
    rgb: Rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:20, :30], rgb[20:, 30:] = (250, 20, 40), (30, 200, 90)
    sink = opened(tmp_path / "img_%02d.jpg")
    sink.write(Frame(rgb, 0, Fraction(1), 0))
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["img_00.jpg"]
    assert (tmp_path / "img_00.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    difference = np.abs(read(tmp_path / "img_00.jpg").astype(int) - rgb)
    assert difference[[10, 30], [10, 50]].max() <= 2  # in the middle of the patches
    assert difference.mean() < 2


def test_existing_images_are_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "img_0007.png").write_bytes(b"precious")
    with pytest.raises(SinkError) as caught:
        opened(tmp_path / "img_%04d.png")
    assert str(caught.value) == (
        f"cannot write {tmp_path}/img_%04d.png: {tmp_path}/img_0007.png exists; "
        "add --overwrite to replace such images"
    )
    assert (tmp_path / "img_0007.png").read_bytes() == b"precious"


def test_images_of_other_names_do_not_matter(tmp_path: Path) -> None:
    names = ["img_7.png", "img_0007.jpg", "cat.png", "img_00007.png.bak"]
    for name in names:
        (tmp_path / name).write_bytes(b"precious")
    written(tmp_path / "img_%04d.png", 1)
    assert all((tmp_path / name).read_bytes() == b"precious" for name in names)


def test_a_number_padded_with_spaces_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(SinkError) as caught:
        opened(tmp_path / "img_%4d.png")
    assert str(caught.value).endswith(
        f"the name of images needs one number such as %04d; type {tmp_path}/img_4d_%04d.png"
    )


def test_the_one_image_of_a_source_may_have_a_plain_name(tmp_path: Path) -> None:
    write_image(rgb := drawn(0, 48, 64), tmp_path / "photo.png")
    source = open_source(str(tmp_path / "photo.png"))
    sink = open_sink(str(tmp_path / "painted.png"), source.info)
    sink.write(frame(0, (48, 64)))
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["painted.png", "photo.png"]
    assert np.array_equal(read(tmp_path / "painted.png"), rgb)
    with pytest.raises(SinkError, match=r"painted.png exists; add --overwrite"):
        open_sink(str(tmp_path / "painted.png"), source.info)
    with pytest.raises(SinkError, match="its images are the input"):
        open_sink(str(tmp_path / "photo.png"), source.info, SinkOptions(overwrite=True))
    again = open_sink(str(tmp_path / "painted.png"), source.info, SinkOptions(overwrite=True))
    again.write(frame(1, (48, 64)))
    again.close()
    assert np.array_equal(read(tmp_path / "painted.png"), drawn(1, 48, 64))
    more = open_sink(str(tmp_path / "more.png"), source.info)
    more.write(frame(0, (48, 64)))
    with pytest.raises(SinkError, match="there is more than one frame; type a name such as .*/more_%04d.png"):
        more.write(frame(1, (48, 64)))
    more.abort()


def test_overwriting_leaves_the_new_images_alone(tmp_path: Path) -> None:
    written(tmp_path / "img_%04d.png", 5)
    (tmp_path / "note.txt").write_text("mine")
    written(tmp_path / "img_%04d.png", 2, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["img_0000.png", "img_0001.png", "note.txt"]


def test_more_frames_than_the_pattern_has_digits_go_on(tmp_path: Path) -> None:
    written(tmp_path / "%d.png", 12)
    assert len(list(tmp_path.glob("*.png"))) == 12
    with pytest.raises(SinkError, match="exists"):
        opened(tmp_path / "%d.png")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("frames", "frames/"),
        ("frames/img_%02d.png", "frames/img_%02d.png"),
        ("frames/1.png", "frames/%d.png"),
    ],
)
@pytest.mark.parametrize("link", [False, True])
def test_the_input_is_never_replaced(tmp_path: Path, source: str, target: str, link: bool) -> None:
    (tmp_path / "frames").mkdir()
    write_image(drawn(0, 8, 8), tmp_path / "frames" / "1.png")
    if link:
        (tmp_path / "link").symlink_to("frames")
        target = target.replace("frames", "link")
    with pytest.raises(SinkError, match="its images are the input; type another folder for the output$"):
        opened(f"{tmp_path}/{target}", overwrite=True, source=f"{tmp_path}/{source}")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("nowhere/frames/", "there is no folder {}/nowhere; create it first"),
        ("img.png", "the name of images needs one number such as %04d; type {}/img_%04d.png"),
        ("img_%04d_%02d.png", "needs one number such as %04d; type {}/img_04d_02d_%04d.png"),
        ("img_%s.jpg", "needs one number such as %04d; type {}/img_s_%04d.jpg"),
        ("file/", "not a directory"),
        ("file/img_%d.png", "not a directory"),
    ],
)
def test_an_impossible_target_is_refused_in_one_line(tmp_path: Path, address: str, found: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError) as caught:
        opened(f"{tmp_path}/{address}")
    assert str(caught.value).startswith("cannot write ")
    assert str(caught.value).endswith(found.format(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_unwritable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)  # root may write anywhere
    with pytest.raises(SinkError, match=f"no permission to write in the folder {tmp_path}"):
        opened(f"{tmp_path}/")


def test_nothing_is_left_of_an_aborted_run_but_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for address in (f"{tmp_path}/img_%d.jpg", f"{tmp_path}/frames/"):
        sink = opened(address)
        sink.write(frame(0))
        sink.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_no_frame_is_no_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        opened(f"{tmp_path}/frames/").close()
    assert list(tmp_path.iterdir()) == []
    assert "no frame was written" in caplog.text


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    sink = opened(f"{tmp_path}/frames/")
    sink.write(frame(0))
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    with files_limited_to(100_000), pytest.raises(SinkError) as caught:
        sink.write(Frame(noise, 1, Fraction(1, 25), 1))
    assert str(caught.value) == f"cannot write {tmp_path}/frames/000001.png: file too large"
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["000000.png"]
    sink.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("renamed", [False, True])
def test_an_interrupted_image_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    replace = Path.replace

    def interrupted(part: Path, target: Path) -> None:
        if renamed:
            replace(part, target)
        raise KeyboardInterrupt

    sink = opened(f"{tmp_path}/frames/")
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sink.write(frame(0))
    assert len(list((tmp_path / "frames").iterdir())) == renamed
    sink.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_image_that_could_not_be_replaced_is_kept(tmp_path: Path) -> None:
    written(f"{tmp_path}/frames/", 1)
    sink = opened(f"{tmp_path}/frames/", overwrite=True)
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    with files_limited_to(100_000), pytest.raises(SinkError, match="file too large"):
        sink.write(Frame(noise, 0, Fraction(1, 25), 0))
    sink.abort()
    assert np.array_equal(read(tmp_path / "frames" / "000000.png"), drawn(0, 20, 31))


def test_an_unknown_address_is_refused_with_what_is_known() -> None:
    with pytest.raises(SinkError) as caught:
        open_sink("nul://", None)
    assert str(caught.value) == (
        "cannot write nul://: there is no output nul://; did you mean 'null'?; known: null://, virtual://, "
        "window://, rtmp://, rtmps://, rtsp://, tcp://, udp://, files and folders"
    )
    with pytest.raises(SinkError, match="^cannot write srt://host:1: PyAV comes without SRT; use udp://"):
        open_sink("srt://host:1", None)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("srt://me:key@host:1?passphrase=key", "srt://host:1: PyAV comes"),
        ("rtpm://live/app/key", "rtpm://live: there is no output rtpm://; did you mean "),
        ("rtmp://[::1/live/key", "rtmp://[::1: this is no address of a server; type rtmp://HOST:PORT/"),
        ("tcp://me:se/key", "tcp://me:se: this is no address of a server; type tcp://HOST:PORT/"),
    ],
)
def test_a_refused_address_is_not_said_whole(address: str, found: str) -> None:
    with pytest.raises(SinkError) as caught:
        open_sink(address, None, size=(8, 8))
    assert str(caught.value).startswith(f"cannot write {found}")
    assert "key" not in str(caught.value)
