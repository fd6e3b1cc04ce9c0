"""Files that take their name when they are whole; MP4 boxes."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from rt.mp4 import boxes, cut_to_whole_fragments
from rt.replacing import part_of, replacing


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "card.json"
    target.write_text("old")
    with replacing(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
        assert part == tmp_path / "card.json.part"
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


@pytest.mark.parametrize("failure", [OSError, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_left_of_what_fails(tmp_path: Path, failure: type[BaseException], kind: str) -> None:
    target = tmp_path / "out"

    def write_half() -> None:
        with replacing(target) as part:
            part.mkdir() if kind == "folder" else part.write_text("half")
            raise failure

    with pytest.raises(failure):
        write_half()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", ["file", "folder", "link"])
def test_what_a_killed_run_left_is_no_part_of_the_result(tmp_path: Path, left: str) -> None:
    part, elsewhere = part_of(tmp_path / "style"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    if left == "file":
        part.write_text("old")
    elif left == "folder":
        part.mkdir()
        (part / "stale").touch()
    else:
        part.symlink_to(elsewhere)
    with replacing(tmp_path / "style") as fresh:
        fresh.mkdir()
        (fresh / "model.onnx").touch()
    assert [path.name for path in (tmp_path / "style").iterdir()] == ["model.onnx"]
    assert list(elsewhere.iterdir()) == []


def test_a_folder_takes_the_place_of_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "style").mkdir()
    (tmp_path / "style" / "mine").touch()
    with pytest.raises(OSError, match="not empty"), replacing(tmp_path / "style") as part:
        part.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["style"]


def box(name: bytes, content: int, wide: bool = False) -> bytes:
    if wide:
        return struct.pack(">I4sQ", 1, name, content + 16) + bytes(content)
    return struct.pack(">I4s", content + 8, name) + bytes(content)


def test_boxes_are_walked_up_to_the_end_or_what_is_none() -> None:
    whole = box(b"ftyp", 16) + box(b"mdat", 100, wide=True) + box(b"free", 0)
    walked = [(b"ftyp", 0, 24), (b"mdat", 24, 116), (b"free", 140, 8)]
    assert list(boxes(io.BytesIO(whole))) == walked
    assert list(boxes(io.BytesIO(whole + b"\0\0\0\x10" + bytes(12)))) == walked
    assert list(boxes(io.BytesIO(whole[:100]))) == walked[:2]  # the cut box says its whole length
    assert list(boxes(io.BytesIO(b""))) == []


def test_fragments_are_cut_off_behind_the_last_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    kept = box(b"ftyp", 16) + box(b"moof", 40) + box(b"mdat", 100, wide=True)
    path.write_bytes(kept + box(b"moof", 40) + box(b"mdat", 100)[:50])
    assert cut_to_whole_fragments(path)
    assert path.read_bytes() == kept
    path.write_bytes(box(b"ftyp", 16) + box(b"mdat", 100)[:50])
    assert not cut_to_whole_fragments(path)
