"""Losses and pool of the trainer."""

from __future__ import annotations

import pytest
import torch

from train.data.pool import Pool
from train.recipes.losses import grid, l1, lsgan_discriminator, lsgan_generator


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
    elsewhere = pattern * (torch.arange(128) < 64)  # half the image: still half the energy
    assert grid(elsewhere).item() == pytest.approx(0.5 * grid(pattern).item(), rel=1e-5)


def test_the_pool_fills_first_and_then_returns_half_of_the_time_an_older_fake() -> None:
    pool, rng = Pool(50), torch.Generator().manual_seed(0)
    fakes = torch.arange(2000.0).view(-1, 1, 1, 1)
    assert torch.equal(pool.exchange(fakes[:50], rng), fakes[:50])
    returned = torch.cat([pool.exchange(fake[None], rng) for fake in fakes[50:]])
    older = (returned.flatten() != fakes[50:].flatten()).float().mean().item()
    assert older == pytest.approx(0.5, abs=0.04)
    assert len(pool.images) == 50


def test_past_fakes_out_of_a_checkpoint_go_where_the_new_ones_are() -> None:
    pool, rng = Pool(2), torch.Generator().manual_seed(0)
    pool.images = [torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)]  # as a checkpoint is read: in memory
    for _ in range(8):
        returned = pool.exchange(torch.zeros(3, 1, 4, 4, device="meta"), rng)
        assert returned.device.type == "meta"


def test_a_pool_of_zero_returns_the_newest_fakes() -> None:
    fakes = torch.rand(3, 3, 4, 4)
    assert torch.equal(Pool(0).exchange(fakes, torch.Generator()), fakes)
