"""Sets of images larger than memory."""

from __future__ import annotations

import logging
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.drawings import COLOURS, draw_image
from train.data import cache
from train.data.cache import ImageCache, free_memory_bytes
from train.data.folders import read_pairs
from train.data.images import save_image
from train.errors import DataError


def test_what_memory_has_no_room_for_is_mapped_from_a_file_that_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "PIECE_BYTES", 1000)
    images = [np.full((10, 10, 3), level, np.uint8) for level in range(8)]  # 300 bytes each
    kept_in = ImageCache(room_bytes=700, folder=tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        kept = [kept_in.keep(rgb) for rgb in images]
    assert [one is other for one, other in zip(kept, images, strict=True)] == [True] * 2 + [False] * 6
    for one, other in zip(kept, images, strict=True):
        assert np.array_equal(one, other)
    assert list((tmp_path / "cache").iterdir()) == []  # nothing that a killed run would leave
    said = f"more images than memory has room for: the others are kept in {tmp_path / 'cache'}"
    assert caplog.messages == [said]  # once, though three files were needed


def test_inputs_made_from_photos_lie_in_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "free_memory_bytes", lambda: 0)
    (tmp_path / "train").mkdir()
    save_image(tmp_path / "train" / "a.png", draw_image(40, 40, 0, COLOURS["A"]))
    for images in read_pairs(tmp_path, "train", "gray", "AtoB", 36):
        assert not images[0].flags.owndata
        assert isinstance(_memory(images[0]), mmap.mmap)


def _memory(array: Any) -> Any:
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array


def test_where_the_disk_is_full_too_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(DataError, match=r"has none either \(No space left on device\): give a smaller"):
        ImageCache(room_bytes=0, folder=tmp_path).keep(np.zeros((4, 4, 3), np.uint8))


def test_free_memory_is_a_number_of_bytes() -> None:
    assert 2**20 < free_memory_bytes() < 2**62


def test_the_cache_lies_where_it_is_told_and_not_beside_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOBRUSH_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("VIDEOBRUSH_CACHE", raising=False)
    assert "engines" not in ImageCache(room_bytes=0).folder.parts
    monkeypatch.setenv("VIDEOBRUSH_CACHE", str(tmp_path / "cache"))
    assert ImageCache(room_bytes=0).folder == tmp_path / "cache" / "images"
