"""Losses, pool, data, configuration and metrics of the trainer."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.pictures import COLOURS, draw_picture
from train.config import CycleGan
from train.data import load_pictures, read_picture, scale_short_side, to_rgb, to_tensor, write_picture
from train.errors import DataError, RunError
from train.losses import grid, l1, lsgan_discriminator, lsgan_generator
from train.pool import Pool


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


def test_lsgan_losses_have_the_papers_values() -> None:
    logits = torch.tensor([0.5, 1.0])
    assert lsgan_generator(logits).item() == pytest.approx(0.125)
    assert lsgan_discriminator(torch.tensor([1.0]), torch.tensor([1.0])).item() == pytest.approx(0.5)
    assert lsgan_discriminator(torch.tensor([1.0]), torch.tensor([0.0])).item() == 0.0


def test_l1_is_quadratic_below_beta_and_has_no_kink_at_equality() -> None:
    wanted = torch.zeros(1)
    assert l1(torch.tensor([0.1]), wanted).item() == pytest.approx(0.1)
    assert l1(torch.tensor([0.1]), wanted, beta=0.2).item() == pytest.approx(0.5 * 0.1**2 / 0.2)
    assert l1(torch.tensor([0.5]), wanted, beta=0.2).item() == pytest.approx(0.5 - 0.1)


def test_the_grid_loss_sees_what_repeats_from_block_to_block_and_nothing_else() -> None:
    rng = torch.Generator().manual_seed(0)
    tile = torch.randn(1, 3, 4, 4, generator=rng)
    tile -= tile.mean(dim=(2, 3), keepdim=True)
    pattern = tile.repeat(1, 1, 32, 32)
    assert grid(pattern).item() == pytest.approx(tile.square().mean().item(), rel=1e-5)
    assert grid(torch.full((1, 3, 128, 128), 0.7)).item() < 1e-12
    noise = torch.randn(1, 3, 128, 128, generator=rng)
    assert grid(noise).item() < 0.02 * noise.square().mean().item()
    elsewhere = pattern * (torch.arange(128) < 64)  # half the picture: still half the energy
    assert grid(elsewhere).item() == pytest.approx(0.5 * grid(pattern).item(), rel=1e-5)


def test_the_pool_fills_first_and_then_returns_half_of_the_time_an_older_fake() -> None:
    pool, rng = Pool(50), torch.Generator().manual_seed(0)
    fakes = torch.arange(2000.0).view(-1, 1, 1, 1)
    assert torch.equal(pool.exchange(fakes[:50], rng), fakes[:50])
    returned = torch.cat([pool.exchange(fake[None], rng) for fake in fakes[50:]])
    older = (returned.flatten() != fakes[50:].flatten()).float().mean().item()
    assert older == pytest.approx(0.5, abs=0.04)
    assert len(pool.pictures) == 50


def test_a_pool_of_zero_returns_the_newest_fakes() -> None:
    fakes = torch.rand(3, 3, 4, 4)
    assert torch.equal(Pool(0).exchange(fakes, torch.Generator()), fakes)


def test_a_picture_survives_the_way_to_a_tensor_and_back_exactly() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_rgb(to_tensor(levels)), levels)
    assert to_tensor(levels).min().item() == -1.0
    assert to_tensor(levels).max().item() == pytest.approx(1.0)


def test_scaling_keeps_the_aspect_and_never_undercuts_the_short_side() -> None:
    assert scale_short_side(np.zeros((100, 333, 3), np.uint8), 64).shape == (64, 213, 3)
    assert scale_short_side(np.zeros((333, 100, 3), np.uint8), 128).shape == (426, 128, 3)


def test_damaged_pictures_are_named_counted_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_picture(tmp_path / "good.png", draw_picture(40, 40, 0, COLOURS["A"]))
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture by name")
    with caplog.at_level(logging.WARNING):
        assert len(load_pictures(tmp_path, 40)) == 1
    assert "2 damaged pictures" in caplog.text
    assert "bad.jpg, empty.png" in caplog.text


def test_a_folder_without_readable_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder .*trainX.*needs trainA and trainB"):
        load_pictures(tmp_path / "trainX", 64)
    with pytest.raises(DataError, match=r"no picture in .*: needed is one of \.jpg"):
        load_pictures(tmp_path, 64)
    (tmp_path / "bad.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="all 1 are damaged"):
        load_pictures(tmp_path, 64)


def test_grey_and_alpha_pictures_are_read_as_rgb(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "grey.png"), np.full((8, 8), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "alpha.png"), np.full((8, 8, 4), (10, 20, 30, 128), np.uint8))
    grey, alpha = read_picture(tmp_path / "grey.png"), read_picture(tmp_path / "alpha.png")
    assert grey is not None
    assert grey.tolist()[0][0] == [77, 77, 77]
    assert alpha is not None
    assert alpha.tolist()[0][0] == [30, 20, 10]


def test_crops_are_the_same_for_the_same_seed_and_flipped_half_of_the_time(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    write_picture(tmp_path / "ramp.png", ramp)
    pictures = load_pictures(tmp_path, 64)
    crops = pictures.crops(400, 32, torch.Generator().manual_seed(3))
    assert crops.shape == (400, 3, 32, 32)
    assert torch.equal(crops, pictures.crops(400, 32, torch.Generator().manual_seed(3)))
    falling = (crops[:, 0, 0, 0] > crops[:, 0, 0, -1]).float().mean().item()
    assert falling == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give either --steps or --minutes"),
        ({"steps": 1, "minutes": 1.0}, "give either --steps or --minutes"),
        ({"steps": 1, "crop_size": 100}, "--crop-size is 100: needed is a multiple of 8"),
        ({"steps": 1, "crop_size": 320}, "--crop-size 320 is larger than --load-size 286"),
        ({"steps": 1, "batch": 0}, "--batch is 0: needed is 1 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(RunError, match=message):
        CycleGan(data=Path("data"), **settings)  # type: ignore[arg-type]
