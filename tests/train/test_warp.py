"""Synthetic motion, the equivariance loss, and DiffAugment."""

from __future__ import annotations

import pytest
import torch

from tests.support.drawings import COLOURS, draw_image
from train.data.augment import diff_augment
from train.data.images import to_tensor
from train.data.warp import disturb, draw_flow, equivariance, inside, warp
from train.errors import RunError


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 2, size: tuple[int, int] = (64, 80)) -> torch.Tensor:
    return torch.stack([to_tensor(draw_image(*size, seed, COLOURS["A"])) for seed in range(count)])


def test_a_whole_shift_moves_every_pixel_and_the_mirror_fills_the_edge() -> None:
    ramp = torch.arange(6.0).expand(1, 1, 3, 6)
    flow = torch.zeros(1, 2, 3, 6)
    flow[:, 0] = 2.0
    assert warp(ramp, flow)[0, 0, 0].tolist() == pytest.approx([2.0, 3.0, 4.0, 5.0, 5.0, 4.0], abs=1e-5)
    assert inside(flow)[0, 0, 0].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    flow[:, 0], flow[:, 1] = 0.5, 0.0
    assert warp(ramp, flow)[0, 0, 0, :4].tolist() == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=1e-5)
    down = torch.arange(3.0).view(1, 1, 3, 1).expand(1, 1, 3, 6)
    flow[:, 0], flow[:, 1] = 0.0, 1.0
    assert warp(down, flow)[0, 0, :, 0].tolist() == pytest.approx([1.0, 2.0, 2.0], abs=1e-5)


def test_no_motion_changes_nothing() -> None:
    real = images()
    assert torch.allclose(warp(real, torch.zeros(2, 2, 64, 80)), real, atol=1e-5)


def test_motion_is_drawn_from_the_seed_and_has_the_asked_size() -> None:
    flow = draw_flow(64, 96, 128, rng())
    assert torch.equal(flow, draw_flow(64, 96, 128, rng()))
    assert not torch.equal(flow, draw_flow(64, 96, 128, rng(1)))
    assert flow.shape == (64, 2, 96, 128)
    still = draw_flow(64, 96, 128, rng(), sigma_px=0.0, zoom=0.0)
    assert torch.equal(still, still[:, :, :1, :1].expand_as(still))
    assert 9.0 < still.abs().max() <= 10.0
    zoomed = draw_flow(64, 96, 128, rng(), sigma_px=0.0, shift_px=0.0)
    assert zoomed[:, 0].abs().max() <= 0.03 * 63.5
    assert zoomed.mean(dim=(2, 3)).abs().max() < 1e-4  # about the centre
    wavy = draw_flow(64, 96, 128, rng(), shift_px=0.0, zoom=0.0)
    assert 3.0 < wavy.std() < 8.0  # blurred, so less than the 8 px of the corners
    assert wavy.diff(dim=3).abs().max() < 0.6  # and smooth


def test_a_camera_disturbs_each_image_a_little_and_keeps_the_range() -> None:
    real = images(8)
    found = disturb(real, rng())
    assert found.abs().max() <= 1.0
    change = (found - real).abs().mean(dim=(1, 2, 3))
    assert change.min() > 0.0
    assert change.max() < 0.1
    assert torch.allclose(disturb(real, rng(), noise=0.0, gain=0.0, gamma=0.0), real, atol=3e-4)


def test_the_equivariance_loss_is_zero_for_pointwise_nets_and_sees_what_sticks_to_the_screen() -> None:
    real = images()
    quiet = equivariance(lambda x: x, real, real, rng()).item()
    assert quiet < 0.03  # the noise n alone
    stuck = torch.zeros(1, 3, 64, 80)
    stuck[..., 32:] = 0.5  # an edge that does not move with the image
    loud = equivariance(lambda x: x + stuck, real, real + stuck, rng()).item()
    assert loud > quiet + 0.02
    constant = equivariance(lambda x: torch.full_like(x, 0.25), real, torch.zeros_like(real), rng()).item()
    assert constant == pytest.approx(0.25, rel=1e-4)


def test_the_gradient_of_equivariance_reaches_both_translations() -> None:
    real = images(1)
    scale = torch.ones((), requires_grad=True)
    fake = (real * 0.5).requires_grad_(True)
    equivariance(lambda x: scale * x, real, fake, rng()).backward()  # type: ignore[no-untyped-call]
    assert scale.grad is not None
    assert scale.grad.abs() > 0
    assert fake.grad is not None
    assert fake.grad.abs().max() > 0


def test_translation_moves_by_up_to_an_eighth_and_fills_with_grey() -> None:
    ones = torch.ones(200, 3, 32, 64)
    moved = diff_augment(ones, ("translation",), rng())
    rows, columns = moved[:, 0].amax(dim=2).sum(dim=1), moved[:, 0].amax(dim=1).sum(dim=1)
    assert (rows.min().item(), rows.max().item()) == (28, 32)
    assert (columns.min().item(), columns.max().item()) == (56, 64)
    assert ((moved == 0.0) | (moved == 1.0)).all()
    ramp = torch.arange(1.0, 65.0).expand(1, 3, 32, 64)
    shifted = diff_augment(ramp, ("translation",), rng(3))[0, 0].amax(dim=0)
    steps = shifted.diff()
    assert ((steps == 1.0) | (shifted[:-1] == 0.0) | (shifted[1:] == 0.0)).all()


def test_cutout_takes_a_rectangle_of_half_the_size() -> None:
    cut = diff_augment(torch.ones(200, 3, 32, 64), ("cutout",), rng())
    taken = (cut == 0).float().mean(dim=(1, 2, 3))
    assert taken.max().item() == 0.25
    assert taken.min().item() >= 0.25 / 4  # a quarter of it where its centre is a corner
    assert torch.equal(cut[:, 0], cut[:, 2])


def test_colour_changes_brightness_saturation_and_contrast_of_each_image() -> None:
    real = images(50, (16, 16))
    changed = diff_augment(real, ("colour",), rng())
    shift = (changed - real).mean(dim=(1, 2, 3))
    assert shift.abs().max() <= 0.5 + 1e-5
    assert shift.abs().max() > 0.3
    grey = torch.full((1, 3, 4, 4), 0.2)
    assert diff_augment(grey, ("colour",), rng()).std() < 1e-6


def test_augmentation_is_differentiable_seeded_and_refuses_unknown_names() -> None:
    real = images().requires_grad_(True)
    policy = ("colour", "translation", "cutout")
    found = diff_augment(real, policy, rng())
    assert found.shape == real.shape
    assert torch.equal(found, diff_augment(real, policy, rng()))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert real.grad is not None
    assert torch.equal(diff_augment(real, (), rng()), real)
    with pytest.raises(RunError, match="no augmentation 'color': .*did you mean 'colour'"):
        diff_augment(real, ("color",), rng())
