"""DiffAugment: change real and fake images alike before the discriminator sees them.

The discriminator cannot learn a small set by heart; the changes are differentiable, so the generator learns
through them and never draws them. Source: Zhao et al. 2020, section 3.2 and appendix B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rt.errors import nearest
from train.errors import RunError


def diff_augment(images: Tensor, policy: Sequence[str], rng: torch.Generator) -> Tensor:
    """Change every image at random: float[N, 3, H, W] in, the same shape out, differentiable.

    Args:
        images: reals or fakes; draw for each on its own.
        policy: which changes, in their order: colour, translation, cutout. Leave out colour where
            colour is what tells the domains apart.
        rng: CPU generator; the same draws on every device.

    Raises:
        RunError: there is no such change.
    """
    for name in policy:
        if name not in POLICIES:
            raise RunError(
                f"no augmentation {name!r}: there are {', '.join(POLICIES)}{nearest(name, POLICIES)}"
            )
        images = POLICIES[name](images, rng)
    return images


def _colour(images: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness ±0.5 on the scale of [-1, 1], saturation times 0 to 2, contrast times 0.5 to 1.5."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, generator=rng).to(images)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2.0 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = (images - mean) * (contrast + 0.5) + mean
    return changed


def _translation(images: Tensor, rng: torch.Generator) -> Tensor:
    """Shift by up to 1/8 of the size each way; what comes in is 0."""
    count, _, height, width = images.shape
    rows, columns = (
        _places(size, _whole(count, -round(size / 8), round(size / 8), rng), images.device)
        for size in (height, width)
    )
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    numbers = torch.arange(count, device=images.device).view(-1, 1, 1)
    shifted = padded.permute(0, 2, 3, 1)[numbers, rows[:, :, None], columns[:, None, :]]  # [N, H, W, C]
    return shifted.permute(0, 3, 1, 2)


def _places(size: int, shifts: Tensor, device: torch.device) -> Tensor:
    """Return int64[N, size]: which row or column of the padded image comes to each place."""
    places = torch.arange(size) + 1 + shifts[:, None]
    return places.clamp(0, size + 1).to(device)


def _cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """Set a rectangle of half the height and width to 0; it may reach over the edge."""
    count, _, height, width = images.shape
    covered = []
    for size in (height, width):
        half = size // 2
        starts = _whole(count, 0, size - half % 2, rng) - half // 2
        places = torch.arange(size)
        covered.append((places >= starts[:, None]) & (places < starts[:, None] + half))
    rows, columns = covered
    hole = rows[:, None, :, None] & columns[:, None, None, :]  # [N, 1, H, W]
    return images * (~hole).to(images)


def _whole(count: int, lowest: int, highest: int, rng: torch.Generator) -> Tensor:
    return torch.randint(lowest, highest + 1, (count,), generator=rng)


POLICIES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "colour": _colour,
    "translation": _translation,
    "cutout": _cutout,
}
"""The changes by name."""
