"""Still images: one table of kinds, read by everybody alike."""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from engines.calibration import read_images
from rt.errors import DamagedSource, SinkError, SourceError
from rt.frame import Rgb
from rt.image import (
    KINDS,
    MAX_PIXELS,
    WRITE_SUFFIXES,
    decode_image,
    encode_image,
    image_size,
    is_litter,
    read_image,
    write_image,
)
from rt.sources import open_source
from rt.styles import find_style
from rt.web.jpeg import decode
from rt.web.protocol import Refused
from tests.support.images import HEIGHT, WIDTH, Kind, all_kinds, display_p3, on_white, scene, written
from train.data.images import image_paths, load_image
from train.data.inspection import read_groups

TABLE = all_kinds()


def read_for_run(path: Path) -> Rgb:
    (frame,) = open_source(str(path))
    return frame.rgb


def read_in_a_folder(path: Path) -> Rgb:
    (frame,) = open_source(str(path.parent))
    return frame.rgb


def read_for_training(path: Path) -> Rgb:
    rgb = load_image(path)
    if rgb is None:
        raise SourceError("damaged")
    return rgb


def read_for_calibration(path: Path) -> Rgb:
    ((rgb,),) = read_images([str(path)], find_style("winter").card, 1, (HEIGHT, WIDTH))
    return rgb


def read_for_the_studio(path: Path) -> Rgb:
    return decode(path.read_bytes())


FILE_READERS: tuple[Callable[[Path], Rgb], ...] = (
    read_for_run,
    read_in_a_folder,
    read_for_training,
    read_for_calibration,
    read_for_the_studio,
)
STUDIO = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".HEIC")
"""Names in the table of what a page may send: JPEG, PNG or WebP."""


@pytest.mark.parametrize("name", TABLE)
def test_every_reader_gets_the_same_right_pixels(name: str, tmp_path: Path) -> None:
    kind = TABLE[name]
    path = tmp_path / f"one{kind.suffix}"
    path.write_bytes(kind.content)
    found = {
        reader.__name__: reader(path)
        for reader in FILE_READERS
        if reader is not read_for_the_studio or kind.suffix in STUDIO
    }
    first = found["read_for_run"]
    for reader, rgb in found.items():
        assert np.array_equal(rgb, first), reader  # to the bit, JPEG too
    assert first.shape == kind.right.shape
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert first.flags.writeable
    differences = np.abs(first.astype(int) - kind.right)
    assert differences.mean() <= kind.within
    assert differences.max() <= 12 * kind.within


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("name", [name for name in TABLE if name not in ("JPEG with a video behind it",)])
def test_what_is_cut_off_is_said_by_every_reader(name: str, share: float, tmp_path: Path) -> None:
    kind = TABLE[name]
    path = tmp_path / f"one{kind.suffix}"
    if name == "two JPEGs in one file":  # what is behind the first one does not matter
        path.write_bytes(kind.content[: int(len(kind.content) * share / 3)])
    else:
        path.write_bytes(kind.content[: int(len(kind.content) * share)])
    for reader in FILE_READERS:
        with pytest.raises((SourceError, Refused)) as caught:
            reader(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    turn=st.integers(1, 8),
    kind=st.sampled_from(["PNG", "BMP", "TIFF", "WEBP", "GIF"]),
    mode=st.sampled_from(["RGB", "RGBA", "L", "LA", "1", "P"]),
    seed=st.integers(0, 99),
)
def test_every_size_turn_and_mode_comes_out_as_it_was_drawn(
    height: int, width: int, turn: int, kind: str, mode: str, seed: int
) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)
    levels[..., :3] //= 64  # few colours: a palette holds them all
    levels[..., :3] *= 85
    seen = on_white(levels[..., :3], levels[..., 3])
    image = Image.fromarray(levels)
    if mode in ("RGB", "L", "1", "P"):
        image = Image.fromarray(np.ascontiguousarray(levels[..., :3])).convert(mode)
        seen = np.asarray(image.convert("RGB"))
    elif mode == "LA":
        gray = np.asarray(Image.fromarray(np.ascontiguousarray(levels[..., :3])).convert("L"))
        image = Image.fromarray(np.dstack([gray, levels[..., 3]]))
        seen = on_white(np.repeat(gray[..., None], 3, axis=2), levels[..., 3])
    if (kind == "GIF" and mode not in ("L", "1", "P")) or (kind == "BMP" and mode in ("RGBA", "LA")):
        return  # not without loss
    options: dict[str, Any] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    tags = Image.Exif()
    tags[274] = turn
    if kind in ("PNG", "TIFF", "WEBP"):
        options["exif"] = tags
        seen = TURNED[turn](seen)
    still = decode_image(written(image, kind, **options))
    assert np.array_equal(still.rgb, seen)


TURNED: dict[int, Callable[[Rgb], Rgb]] = {
    1: lambda rgb: rgb,
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.transpose(1, 0, 2),
    6: lambda rgb: rgb.transpose(1, 0, 2)[:, ::-1],
    7: lambda rgb: rgb.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda rgb: rgb.transpose(1, 0, 2)[::-1],
}


def bomb(kind: str) -> bytes:
    """Return a file whose header claims more pixels than are read."""
    content = bytearray(written(Image.new("RGB", (WIDTH, HEIGHT)), kind))
    large, small = 60_000, {"PNG": ">II", "JPEG": ">HH", "GIF": "<HH", "BMP": "<ii"}[kind]
    order = (HEIGHT, WIDTH) if kind == "JPEG" else (WIDTH, HEIGHT)
    at = content.index(struct.pack(small, *order))
    content[at : at + struct.calcsize(small)] = struct.pack(small, large, large)
    if kind == "PNG":
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_an_image_that_is_too_large_is_refused_by_its_header(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def decoded(*arguments: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    content = bomb(kind)
    with pytest.raises(SourceError, match=f"^it is 60000x60000: at most {MAX_PIXELS} pixels are read$"):
        decode_image(content)
    with pytest.raises(SourceError, match="60000x60000"):
        image_size(content)
    path = tmp_path / f"bomb{KINDS[kind][0]}"
    path.write_bytes(content)
    assert load_image(path) is None
    with pytest.raises(SourceError, match="60000x60000"):
        open_source(str(path))


def test_large_images_below_the_limit_are_read_without_a_word() -> None:
    wide = Image.new("L", (100_000, 900))  # Pillow would warn of 90 megapixels
    assert decode_image(written(wide, "PNG")).size == (900, 100_000)


@pytest.mark.parametrize("suffix", sorted(WRITE_SUFFIXES))
def test_what_is_written_is_read_again(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"one{suffix}"
    write_image(scene(), path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    still = read_image(path)
    assert still.kind == WRITE_SUFFIXES[suffix]
    assert still.size == (HEIGHT, WIDTH)
    difference = np.abs(still.rgb.astype(int) - scene()).mean()
    assert difference <= (0 if still.kind in ("PNG", "BMP", "TIFF") else 4)


def test_an_image_of_another_suffix_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=re.escape("an image's name ends in one of .jpg, .jpeg")):
        write_image(scene(), tmp_path / "one.heic")
    assert list(tmp_path.iterdir()) == []


def exif_of_a_camera() -> Image.Exif:
    tags = Image.Exif()
    tags[271], tags[272], tags[306], tags[274] = "Maker", "Model 1", "2026:01:31 17:59:59", 6
    tags.get_ifd(0x8769)[36867] = "2026:01:31 17:59:59"
    tags.get_ifd(0x8825)[1] = "N"
    return tags


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_is_kept_upright_and_without_a_thumbnail(source: str, target: str) -> None:
    image = Image.fromarray(scene())
    with_thumbnail = exif_of_a_camera().tobytes()
    still = decode_image(written(image, source, exif=with_thumbnail))
    assert still.size == (WIDTH, HEIGHT)  # turned
    kept = Image.open(io.BytesIO(encode_image(still.rgb, target, still))).getexif()
    assert (kept[271], kept[272], kept[306]) == ("Maker", "Model 1", "2026:01:31 17:59:59")
    assert kept.get(274, 1) == 1
    details = kept.get_ifd(0x8769)
    assert details[36867] == "2026:01:31 17:59:59"
    assert (details[0xA002], details[0xA003]) == (HEIGHT, WIDTH)  # width, height of the upright image
    assert kept.get_ifd(0x8825)[1] == "N"
    assert not kept.get_ifd(1)


XMP_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'


def xmp_of(body: str) -> bytes:
    return f'{XMP_HEAD}<rdf:RDF>{body}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'.encode()


def with_xmp(kind: str, xmp: bytes, **options: Any) -> bytes:
    """Return an image of a kind with XMP, as others write it."""
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    else:
        options |= {"tiffinfo": {700: xmp}} if kind == "TIFF" else {"xmp": xmp}
    return written(Image.fromarray(scene()), kind, **options)


WITH_XMP = ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"]


@pytest.mark.parametrize("source", WITH_XMP)
@pytest.mark.parametrize("target", [*WITH_XMP, "GIF", "BMP"])
def test_xmp_is_kept_upright_where_the_kind_holds_it(source: str, target: str) -> None:
    body = (
        '<rdf:Description tiff:Orientation="6"/><tiff:Orientation>8</tiff:Orientation><dc:title>é</dc:title>'
    )
    still = decode_image(with_xmp(source, xmp_of(body)))
    found = encode_image(still.rgb, target, still)
    assert (XMP_HEAD.encode() in found) == (target in WITH_XMP)
    assert ("<dc:title>é</dc:title>".encode() in found) == (target in WITH_XMP)
    assert set(re.findall(rb"tiff:Orientation[^0-9/]+([0-9])", found)) <= {b"1"}


@pytest.mark.parametrize(
    "namespace",
    [
        "http://ns.google.com/photos/1.0/camera/",
        "http://ns.google.com/photos/1.0/container/",
        "http://ns.adobe.com/hdr-gain-map/1.0/",
        "http://ns.adobe.com/xmp/note/",
    ],
)
def test_xmp_of_what_the_file_no_longer_holds_is_dropped(namespace: str) -> None:
    still = decode_image(with_xmp("JPEG", xmp_of(f'<rdf:Description xmlns:a="{namespace}"/>')))
    assert still.xmp == b""
    assert "xmp" not in Image.open(io.BytesIO(encode_image(still.rgb, "JPEG", still))).info


def test_xmp_that_is_too_long_for_a_jpeg_is_left_out_there() -> None:
    still = decode_image(with_xmp("PNG", xmp_of("x" * 70_000)))
    assert "xmp" not in Image.open(io.BytesIO(encode_image(still.rgb, "JPEG", still))).info
    assert Image.open(io.BytesIO(encode_image(still.rgb, "WEBP", still))).info["xmp"] == still.xmp


TEXTS = {
    "Title": ("tEXt", "A lake"),
    "Long": ("zTXt", "word " * 500),
    "Comment": ("iTXt", "héllo 雪"),
    "parameters": ("tEXt", "steps: 20, seed: 1"),
    "Plain": ("iTXt", "no language"),
}


def test_texts_of_a_png_are_kept_in_a_png() -> None:
    info = PngImagePlugin.PngInfo()
    for key, (chunk, words) in TEXTS.items():
        if chunk == "iTXt":
            language, translated = ("de", "Bemerkung") if key == "Comment" else ("", "")
            info.add_itxt(key, words, language, translated, zip=True)
        else:
            info.add_text(key, words, zip=chunk == "zTXt")
    info.add_text("Raw profile type xmp", "\nxmp\n 0\n")
    still = decode_image(written(Image.fromarray(scene()), "PNG", pnginfo=info))
    kept = Image.open(io.BytesIO(encode_image(still.rgb, "PNG", still)))
    assert isinstance(kept, PngImagePlugin.PngImageFile)
    assert {key: str(words) for key, words in kept.text.items()} == {
        k: words for k, (_, words) in TEXTS.items()
    }
    comment = kept.text["Comment"]
    assert isinstance(comment, PngImagePlugin.iTXt)
    assert (comment.lang, comment.tkey) == ("de", "Bemerkung")
    for kind in ("JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP"):
        assert encode_image(still.rgb, kind, still)


def thumbnail_exif() -> bytes:
    """Return EXIF with a second directory, in which cameras keep a thumbnail."""
    first = struct.pack("<HHHII", 1, 274, 3, 1, 6) + struct.pack("<I", 26)
    second = struct.pack("<H", 2) + struct.pack("<HHII", 513, 4, 1, 56) + struct.pack("<HHII", 514, 4, 1, 4)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + bytes(4) + b"THUM"


def test_a_thumbnail_of_the_untranslated_image_is_dropped() -> None:
    content = written(Image.fromarray(scene()), "JPEG", exif=thumbnail_exif())
    assert b"THUM" in content
    still = decode_image(content)
    assert b"THUM" not in encode_image(still.rgb, "JPEG", still)


@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_colours_of_another_profile_become_srgb_and_say_so(target: str) -> None:
    still = decode_image(written(Image.fromarray(scene()), "PNG", icc_profile=display_p3()))
    icc = Image.open(io.BytesIO(encode_image(still.rgb, target, still))).info["icc_profile"]
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    assert icc == still.icc
    assert icc[24:36] == bytes.fromhex("07d000010001000000000000")  # the same bytes every day


@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_profile_that_is_srgb_is_kept_as_it_is(target: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    still = decode_image(written(Image.fromarray(scene()), "PNG", icc_profile=profile))
    assert np.array_equal(still.rgb, scene())
    assert Image.open(io.BytesIO(encode_image(still.rgb, target, still))).info["icc_profile"] == profile


def test_an_image_without_facts_gets_none() -> None:
    still = decode_image(written(Image.fromarray(scene()), "PNG"))
    assert (still.exif, still.icc) == (b"", b"")
    assert set(Image.open(io.BytesIO(encode_image(still.rgb, "PNG", still))).info) == set()


@pytest.mark.parametrize(
    "name", ["._1.jpg", ".DS_Store", "__MACOSX", "Thumbs.db", "THUMBS.DB", "desktop.ini"]
)
def test_what_systems_leave_in_folders_is_litter(name: str) -> None:
    assert is_litter(Path("folder") / name)
    assert not is_litter(Path("folder") / f"a{name}")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"not an image", "^it is damaged or not an image"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "^it is not an image$"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "^it is (HEIC, which is read with one more package|damaged)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "^it is damaged or not an image"),
    ],
)
def test_what_is_no_image_is_told(content: bytes, found: str) -> None:
    with pytest.raises(SourceError, match=found):
        decode_image(content)


def test_the_stored_form_is_told() -> None:
    stored: dict[str, Any] = {name: decode_image(kind.content).stored for name, kind in TABLE.items()}
    assert {name for name, form in stored.items() if form == "16-bit"} == {
        name for name in TABLE if name.startswith(("16-bit", "float"))
    }
    assert {name for name, form in stored.items() if form == "alpha"} == {
        name for name in TABLE if ("alpha" in name and "gray" not in name) or "hole" in name
    }


def kinds_of(table: dict[str, Kind]) -> set[str]:
    return {decode_image(kind.content).kind for kind in table.values()}


def test_the_table_holds_every_kind_that_needs_no_further_package() -> None:
    assert kinds_of(TABLE) >= {"JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM"}


def test_what_systems_leave_is_passed_over_in_every_folder(tmp_path: Path) -> None:
    content = written(Image.fromarray(scene()), "JPEG")
    for domain in ("trainA", "trainB"):
        (tmp_path / domain / "__MACOSX").mkdir(parents=True)
        for number in range(3):
            (tmp_path / domain / f"{number}.jfif").write_bytes(content + bytes([number]))
            (tmp_path / domain / f"._{number}.jfif").write_bytes(b"\0\5\x16\7" + bytes(200))
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/._0.jpg"):
            (tmp_path / domain / name).write_bytes(b"\0\5\x16\7")
    assert len(list(open_source(str(tmp_path / "trainA")))) == 3
    assert len(read_images([str(tmp_path / "trainA")], find_style("winter").card, 9)) == 3
    assert [path.name for path in image_paths(tmp_path / "trainA")] == ["0.jfif", "1.jfif", "2.jfif"]
    groups = read_groups(tmp_path, lambda done, total: None)
    assert [(group.name, len(group.images), group.damaged) for group in groups] == [
        ("trainA", 3, []),
        ("trainB", 3, []),
    ]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_heic_is_named_with_what_to_install_where_its_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    with pytest.raises(SourceError, match=r"it is HEIC, .* one more package: pip install .*\[heic\]"):
        open_source(str(tmp_path / "IMG_1.HEIC"))
    (tmp_path / "IMG_2.jpg").write_bytes(written(Image.fromarray(scene()), "JPEG"))
    with pytest.raises(DamagedSource, match="1 of 2 images cannot be read: .*IMG_1.HEIC: it is HEIC"):
        list(open_source(str(tmp_path)))


def test_heic_is_read_where_its_package_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = written(Image.fromarray(scene()), "PNG")
    package = SimpleNamespace(HeifImageFile=lambda file: PngImagePlugin.PngImageFile(io.BytesIO(decoded)))
    monkeypatch.setitem(sys.modules, "pi_heif", package)  # the decoder is faked, what is around it is not
    assert np.array_equal(decode_image(HEIC).rgb, scene())
