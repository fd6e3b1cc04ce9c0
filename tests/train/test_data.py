"""Images, their folders and the batches made of them."""

from __future__ import annotations

import logging
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.support.drawings import COLOURS, draw_image, make_domains
from tests.support.training import CPU, make_classes, make_pairs, tiny
from train.config import Cgan, CycleGan, Gan, Pix2Pix
from train.data.feed import Batches, Order
from train.data.folders import open_classes, open_pairs, open_unpaired, read_pairs
from train.data.images import (
    image_paths,
    load_image,
    load_images,
    save_image,
    scale_short_side,
    to_rgb,
    to_tensor,
)
from train.device import World
from train.errors import DataError, RunError


def test_a_image_survives_the_way_to_a_tensor_and_back_exactly() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_rgb(to_tensor(levels)), levels)
    assert to_tensor(levels).min().item() == -1.0
    assert to_tensor(levels).max().item() == pytest.approx(1.0)


def test_scaling_keeps_the_aspect_and_never_undercuts_the_short_side() -> None:
    assert scale_short_side(np.zeros((100, 333, 3), np.uint8), 64).shape == (64, 213, 3)
    assert scale_short_side(np.zeros((333, 100, 3), np.uint8), 128).shape == (426, 128, 3)


def test_damaged_images_are_named_counted_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_image(tmp_path / "good.png", draw_image(40, 40, 0, COLOURS["A"]))
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image by name")
    with caplog.at_level(logging.WARNING):
        assert len(load_images(tmp_path, 40)) == 1
    assert "2 damaged images" in caplog.text
    assert "bad.jpg, empty.png" in caplog.text


def test_a_folder_without_readable_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder .*trainX: needed is a folder with images"):
        load_images(tmp_path / "trainX", 64)
    with pytest.raises(DataError, match=r"no image in .*: needed is one of \.jpg"):
        load_images(tmp_path, 64)
    (tmp_path / "bad.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="all 1 are damaged"):
        load_images(tmp_path, 64)


def test_grey_images_are_read_as_rgb_and_transparent_ones_on_white(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((8, 8), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "alpha.png"), np.full((8, 8, 4), (10, 20, 30, 128), np.uint8))
    grey, alpha = load_image(tmp_path / "grey.png"), load_image(tmp_path / "alpha.png")
    assert grey is not None
    assert grey.tolist()[0][0] == [77, 77, 77]
    assert alpha is not None
    # Half of the colour, half of the white it lies on.
    assert alpha.tolist()[0][0] == [142, 137, 132]


def test_crops_are_the_same_for_the_same_seed_and_flipped_half_of_the_time(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    save_image(tmp_path / "ramp.png", ramp)
    images = load_images(tmp_path, 64)
    crops = images.crops(400, 32, torch.Generator().manual_seed(3))
    assert crops.shape == (400, 3, 32, 32)
    assert torch.equal(crops, images.crops(400, 32, torch.Generator().manual_seed(3)))
    falling = (crops[:, 0, 0, 0] > crops[:, 0, 0, -1]).float().mean().item()
    assert falling == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give one of --steps, --epochs and --minutes"),
        ({"steps": 1, "minutes": 1.0}, "give one of --steps, --epochs and --minutes"),
        ({"epochs": 0.0}, r"--epochs is 0\.0: needed is more than 0"),
        ({"steps": 1, "crop_size": 102}, "--crop-size is 102: needed is a multiple of 4, at least 32 with"),
        ({"steps": 1, "crop_size": 28}, "--crop-size is 28: needed is a multiple of 4, at least 32 with"),
        ({"steps": 1, "ema": 1.0}, r"--ema is 1\.0: needed is 0 or more and less than 1"),
        ({"steps": 1, "crop_size": 320}, "--crop-size 320 is larger than --load-size 286"),
        ({"steps": 1, "batch": 0}, "--batch is 0: needed is 1 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(RunError, match=message):
        CycleGan(data=Path("data"), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": -1.0}, "--learning-rate is -1.0: needed is 0 or more"),
        ({"learning_rate": math.nan}, "--learning-rate is nan"),
        ({"beta1": 2.0}, "--beta1 is 2.0: needed is 0 to 1"),
        ({"beta1": 1.0}, "--beta1 is 1.0: needed is 0 or more and less than 1"),
        ({"generator_width": 0}, "--generator-width is 0: needed is 1 or more"),
        ({"threads": -1}, "--threads is -1: needed is 0 to "),
        ({"threads": 99999}, "--threads is 99999: needed is 0 to "),
        ({"pool": -1}, "--pool is -1: needed is 0 or more"),
        ({"seed": 10**20}, "--seed is 100000000000000000000: needed is 0 to "),
        ({"identity_until": 5.0}, "--identity-until is 5.0: needed is 0 to 1"),
        ({"cycle_weight": -1.0}, "--cycle-weight is -1.0: needed is 0 or more"),
        ({"sample_minutes": -1.0}, "--sample-minutes is -1.0"),
        ({"checkpoint_steps": -1}, "--checkpoint-steps is -1"),
        ({"minutes": math.nan, "steps": None}, "--minutes is nan"),
        ({"minutes": math.inf, "steps": None}, "--minutes is inf"),
    ],
)
def test_numbers_beyond_what_a_setting_can_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError) as caught:
        CycleGan(data=Path("data"), **{"steps": 1, **settings})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_image_that_is_cut_off_counts_as_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"whole{suffix}"
    save_image(path, draw_image(64, 64, 0, COLOURS["A"]))
    assert load_image(path) is not None
    content = path.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(content[: len(content) * 9 // 10])
    assert load_image(cut) is None


def test_what_a_phone_hangs_behind_a_jpeg_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "moving.jpg"
    save_image(path, draw_image(64, 64, 0, COLOURS["A"]))
    alone = load_image(path)
    assert alone is not None
    path.write_bytes(path.read_bytes() + bytes(100) + b"ftypmp42" * 2000)
    moving = load_image(path)
    assert moving is not None
    assert np.array_equal(moving, alone)


def test_what_cannot_be_read_counts_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert load_image(tmp_path / "gone.png") is None
    save_image(tmp_path / "huge.png", draw_image(64, 64, 0, COLOURS["A"]))
    content = bytearray((tmp_path / "huge.png").read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "huge.png").write_bytes(content)
    with pytest.raises(cv2.error):
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert load_image(tmp_path / "huge.png") is None
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_paths(tmp_path)] == ["gone.png", "huge.png"]


def test_a_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    rgb = np.zeros((16, 32, 3), np.uint8)
    rgb[:, :16] = 255  # white on the left
    path = tmp_path / "turned.jpg"
    save_image(path, rgb)
    content = path.read_bytes()
    # APP1 with one entry: orientation (0x0112) 6, the camera was held a quarter turn to the right
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    path.write_bytes(content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:])
    turned = load_image(path)
    assert turned is not None
    assert turned.shape == (32, 16, 3)
    assert turned[2].mean() > 250  # white is on top now
    assert turned[-2].mean() < 5


def test_images_of_16_bits_and_with_a_palette_keep_their_colours(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((8, 8, 3), (257 * 10, 257 * 20, 257 * 30), np.uint16))
    deep = load_image(tmp_path / "deep.png")
    assert deep is not None
    assert deep.dtype == np.uint8
    assert deep[0, 0].tolist() == [30, 20, 10]


def test_the_order_is_a_permutation_each_epoch_and_another_one_the_next() -> None:
    order = Order(7, 0, "A")
    first, second = ([order.at(position) for position in range(start, start + 7)] for start in (0, 7))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second
    assert [Order(7, 0, "A").at(position) for position in (9, 3)] == [second[2], first[3]]


def test_processes_share_a_batch_without_overlap(tmp_path: Path) -> None:
    data = make_domains(tmp_path / "data", size=(36, 40))
    whole_config = tiny(CycleGan, data, tmp_path / "run", batch=2)
    part_config = tiny(CycleGan, data, tmp_path / "run", batch=1)
    assert isinstance(whole_config, CycleGan)
    feed = open_unpaired(whole_config, 8)
    worlds = [World(torch.device("cpu"), rank, 2) for rank in (0, 1)]
    readers = [Batches(feed, part_config, world) for world in worlds]
    whole = Batches(feed, whole_config, CPU)
    for step in (0, 1, 5):
        parts = [reader.at(step) for reader in readers]
        wanted = whole.at(step)
        for name in ("A", "B"):
            assert torch.equal(torch.cat([part[name] for part in parts]), wanted[name])
            assert wanted[name].is_contiguous(memory_format=torch.channels_last)
            assert all(part[name].is_contiguous() for part in parts)  # single images
    for reader in (*readers, whole):
        reader.close()


def test_pairs_are_cut_at_the_same_place_and_turned_about_on_request(tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "pairs")
    for direction in ("AtoB", "BtoA"):
        config = tiny(Pix2Pix, data, tmp_path / "run", direction=direction)
        assert isinstance(config, Pix2Pix)
        feed = open_pairs(config, 8)
        batches = Batches(feed, config, CPU)
        batch = batches.at(0)
        batches.close()
        # B is A with red and blue exchanged, then all turned to their opposite.
        assert torch.allclose(batch["B"], -batch["A"].flip(1), atol=0.01)
    assert [image.shape for image in feed.held["A"][:1]] == [(32, 32, 3)]


def test_two_folders_make_pairs_by_name_and_tell_which_do_not(tmp_path: Path) -> None:
    for domain, names in (("A", ("x", "y")), ("B", ("x", "y", "z"))):
        (tmp_path / f"train{domain}").mkdir()
        for name in names:
            save_image(tmp_path / f"train{domain}" / f"{name}.png", draw_image(40, 40, 0, COLOURS["A"]))
    with pytest.raises(DataError, match=r"1 image\(s\) are in one folder alone, the first is z"):
        read_pairs(tmp_path, "train", "none", "AtoB", 40)
    (tmp_path / "trainB" / "z.png").unlink()
    inputs, wanted = read_pairs(tmp_path, "train", "none", "AtoB", 40)
    assert (len(inputs), len(wanted)) == (2, 2)
    save_image(tmp_path / "trainB" / "y.png", draw_image(40, 60, 0, COLOURS["A"]))
    with pytest.raises(DataError, match=r"wrong pair y\.png .* A is 40×40 and B 60×40 pixels"):
        read_pairs(tmp_path, "train", "none", "AtoB", 40)


def test_single_images_are_no_pairs_but_may_become_some(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    photo = draw_image(41, 41, 0, COLOURS["A"])
    save_image(tmp_path / "train" / "photo.png", photo)
    with pytest.raises(DataError, match=r"wrong pair .*photo\.png: 41×41 pixels are no two images"):
        read_pairs(tmp_path, "train", "none", "AtoB", 40)
    inputs, wanted = read_pairs(tmp_path, "train", "gray", "AtoB", 41)
    assert np.array_equal(wanted[0], photo)
    assert np.array_equal(inputs[0][..., 0], cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))


def test_classes_are_the_folders_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    data = make_classes(tmp_path / "shapes", 4, side=20)
    config = tiny(Cgan, data, tmp_path / "run")
    assert isinstance(config, Cgan)
    feed = open_classes(config)
    assert feed.counts == {"cross": 4, "disc": 4, "square": 4}
    assert feed.classes == [0] * 4 + [1] * 4 + [2] * 4
    for path in (data / "disc").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no image in .*disc: needed is one of"):
        open_classes(config)


def test_the_settings_of_another_recipe_are_no_setting() -> None:
    with pytest.raises(TypeError, match="cycle_weight"):
        Gan(data=Path("data"), steps=1, cycle_weight=1.0)  # type: ignore[call-arg]
