"""Photos keep their names, sizes and kinds; the frames of a video do not."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rt.commands import Run
from rt.errors import SinkError, SourceError
from rt.image import decode_image, read_image
from rt.job import run_job
from rt.pipeline import Stop
from rt.sources.images import is_sequence
from tests.support.images import written
from tests.support.media import drawn

SIZES = ((48, 64), (64, 48), (37, 51), (20, 90))
LOSSLESS = (".png", ".bmp", ".tif", ".tiff")


def put(folder: Path, name: str, size: tuple[int, int], kind: str = "") -> None:
    suffix = Path(name).suffix
    kind = kind or ("JPEG" if suffix == ".HEIC" else Image.registered_extensions()[suffix])
    folder.mkdir(exist_ok=True)
    image = Image.fromarray(drawn(sum(map(ord, name)), *size))
    (folder / name).write_bytes(written(image, kind))


def run(folder: Path, out: Path | str, **options: object) -> None:
    run_job(Run(str(folder), "winter", (str(out),), backend="identity", **options), Stop())  # type: ignore[arg-type]


def test_a_folder_of_photos_keeps_names_sizes_and_kinds(tmp_path: Path) -> None:
    folder, names = tmp_path / "photos", []
    suffixes = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
    for number, (suffix, size) in enumerate(zip(suffixes, itertools.cycle(SIZES), strict=False)):
        put(folder, f"IMG_{number}{suffix}", size)
        names.append(f"IMG_{number}{suffix}")
    for litter in ("._IMG_0.jpg", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (folder / litter).write_bytes(b"\0\5\x16\7" + bytes(100))
    (folder / "__MACOSX").mkdir()
    run(folder, f"{tmp_path}/out/", strength=0.0)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    for name in names:
        before, after = read_image(folder / name), read_image(out / name)
        assert (after.kind, after.size) == (before.kind, before.size), name
        difference = np.abs(after.rgb.astype(int) - before.rgb)
        assert difference.mean() <= (0 if Path(name).suffix in LOSSLESS else 12), name


def test_a_kind_that_is_not_written_becomes_a_jpeg_of_its_own_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.HEIC", "b.HEIC", "b.jpg"):
        put(tmp_path / "photos", name, (40, 56))
    run(tmp_path / "photos", f"{tmp_path}/out/")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "b.heic.jpg", "b.jpg"]
    assert "a.HEIC becomes a.jpg: images of that kind are not written" in caplog.text


def test_one_photo_into_a_folder_keeps_its_name(tmp_path: Path) -> None:
    put(tmp_path, "me.webp", (40, 56))
    run(tmp_path / "me.webp", f"{tmp_path}/out/")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["me.webp"]


def test_a_damaged_photo_is_named_and_the_others_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(tmp_path / "photos", name, (40, 56))
    torn = tmp_path / "photos" / "b.jpg"
    torn.write_bytes(torn.read_bytes()[:-200])
    with caplog.at_level(logging.WARNING), pytest.raises(SourceError, match="1 of 3 images cannot be read"):
        run(tmp_path / "photos", f"{tmp_path}/out/")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "c.jpg"]


def test_photos_that_exist_are_refused_and_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        put(tmp_path / "photos", name, (40, 56))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "z.jpg").write_bytes(b"precious")
    run(tmp_path / "photos", tmp_path / "out")
    with pytest.raises(SinkError, match=r"out/a.jpg exists; add --overwrite"):
        run(tmp_path / "photos", tmp_path / "out")
    run(tmp_path / "photos", tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "b.png", "z.jpg"]
    assert (tmp_path / "out" / "z.jpg").read_bytes() == b"precious"
    with pytest.raises(SinkError, match="its images are the input"):
        run(tmp_path / "photos", tmp_path / "photos", overwrite=True)
    with pytest.raises(SinkError, match="its images are the input"):
        run(tmp_path / "photos" / "a.jpg", tmp_path / "photos", overwrite=True)


def test_photos_are_not_steadied(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        put(tmp_path / "photos", name, (40, 56))
    with pytest.raises(SourceError, match="cannot use --steady with .*photos: its images are no frames"):
        run(tmp_path / "photos", f"{tmp_path}/out/", steady=0.5)
    assert not (tmp_path / "out").exists()


def test_a_numbered_sequence_stays_a_video(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / "row", f"frame_{number:04}.png", (48, 64))
    run(tmp_path / "row", f"{tmp_path}/out/")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    for options in ({"fps": 10.0}, {"duration": 1.0}):  # asked for as a video
        put(tmp_path / "row", "zebra.png", (48, 64))
        run(tmp_path / "row", f"{tmp_path}/out/", overwrite=True, **options)
        assert (tmp_path / "out" / "000003.png").exists()


@pytest.mark.parametrize(
    ("names", "sequence"),
    [
        (("0.png", "1.png", "2.png"), True),
        (("img_9.png", "img_10.png", "img_11.png"), True),
        (("a001.jpg", "a004.jpg", "a009.jpg"), True),  # some are missing, padded as programs do
        (("take2_001.jpg", "take2_002.jpg"), True),
        (("a1.jpg", "a4.jpg", "a9.jpg"), False),
        (("IMG_1.jpg", "IMG_2.jpg"), False),
        (("IMG_0001.JPG", "IMG_0002.JPG"), False),
        (("DSC00001.jpg", "DSC00002.jpg"), False),
        (("P1010001.jpg", "P1010002.jpg"), False),
        (("PXL_20260131_1.jpg", "PXL_20260131_2.jpg"), False),
        (("1.png", "2.jpg"), False),
        (("cat.png", "dog.png"), False),
        (("a1.png", "b2.png"), False),
        (("1.png",), False),
    ],
)
def test_a_sequence_is_told_from_photos_by_its_names(
    names: tuple[str, ...], sequence: bool, tmp_path: Path
) -> None:
    for name in names:
        put(tmp_path / "row", name, (24, 32), "PNG")
    assert is_sequence([tmp_path / "row" / name for name in names]) is sequence


def test_photos_of_different_sizes_or_of_a_camera_are_no_sequence(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path, size in zip(paths, SIZES, strict=False):
        put(tmp_path, path.name, size)
    assert not is_sequence(paths)
    tags = Image.Exif()
    tags[271] = "Maker"
    for path in paths:
        path.write_bytes(written(Image.new("RGB", (32, 24)), "JPEG", exif=tags))
    assert not is_sequence(paths)
    assert decode_image(paths[0].read_bytes()).exif


def test_of_a_moving_image_among_photos_the_first_frame_is_taken_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "photos", "a.jpg", (40, 56))
    frames = [Image.fromarray(drawn(number, 40, 56)) for number in range(3)]
    frames[0].save(tmp_path / "photos" / "b.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / "photos" / "c.tif", save_all=True, append_images=frames[1:])
    run(tmp_path / "photos", f"{tmp_path}/out/")
    said = [record.getMessage() for record in caplog.records if "holds" in record.getMessage()]
    folder = tmp_path / "photos"
    assert said == [
        f"{folder}/b.webp holds 3 images, of which the first is taken; it moves; for all of it type: "
        f"videobrush run {folder}/b.webp OUTPUT.gif",
        f"{folder}/c.tif holds 3 images, of which the first is taken",
    ]
    assert np.array_equal(read_image(tmp_path / "out" / "c.tif").rgb, drawn(0, 40, 56))
