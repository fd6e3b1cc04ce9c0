"""What a translation is worth, without downloaded weights.

Every figure is given with its floor (what a perfect translation would reach) and its ceiling (what the
untranslated inputs reach): a translation is worth as much as it moves from the ceiling to the floor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.data.images import ImageSet, to_tensor
from train.data.warp import disturb, draw_flow, inside, warp
from train.errors import DataError
from train.metrics.distances import Images, lab_distance, random_kid, sliced_wasserstein, squash
from train.metrics.similarity import ms_ssim, psnr, ssim

DISTANCES: dict[str, Callable[[Images, Images], float]] = {
    "swd": sliced_wasserstein,
    "lab": lab_distance,
    "rkid": random_kid,
}
"""Distances between two sets of images by name; 0 for sets that are alike."""


_TOLD_APART, _TOLD_APART_STEPS = 0.02, 20
"""The classifier's training ends after this many steps in a row of a smaller loss."""

IDENTITY_LEVELS = 2.0
"""A network that changes images by less, on average, is called the identity."""


@dataclass(frozen=True)
class Measured:
    """One metric of the translations, between its floor and its ceiling."""

    translated: float
    floor: float
    ceiling: float


def measure_translation(
    inputs: Images, translated: Images, reals: Images, classifier: nn.Module
) -> dict[str, Any]:
    """Compare translations with real images of the target domain.

    The reals are split in two: one half is the reference of every distance, the other gives the floor, and
    equally many inputs and translations are taken, so that all three figures have the same sampling error.
    The number of images on either side of a distance is returned as `compared`.

    Args:
        inputs: uint8[H, W, 3] RGB images before translation.
        translated: the same images after it.
        reals: images of the target domain, at least 4.
        classifier: from `train_domain_classifier`; its figure is the share classified as target domain.
    """
    count = min(len(reals) // 2, len(inputs))
    reference, held_out = reals[0::2][:count], reals[1::2][:count]
    metrics = _measure_distances(translated[:count], held_out, inputs[:count], reference)
    shares = [share_classified_as_target(classifier, images) for images in (translated, reals, inputs)]
    metrics["classified_as_target"] = Measured(*shares)
    return {**rounded(metrics), "compared": count}


def measure_drawn(drawn: Images, reals: Images) -> dict[str, Any]:
    """Compare images drawn from noise with real ones; the ceiling is what pure noise reaches.

    Args:
        drawn: uint8[H, W, 3] RGB images of a generator.
        reals: images of the set it learned from, at least 4.
    """
    count = min(len(reals) // 2, len(drawn))
    reference, held_out = reals[0::2][:count], reals[1::2][:count]
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, rgb.shape, dtype=np.uint8) for rgb in drawn[:count]]
    return {**rounded(_measure_distances(drawn[:count], held_out, noise, reference)), "compared": count}


def measure_pairs(inputs: Images, translated: Images, wanted: Images) -> dict[str, Any]:
    """Compare each translation with the image it should be: means of L1 (levels), PSNR (dB), SSIM, MS-SSIM.

    The floor is the wanted image against itself, the ceiling the input taken for the translation. For a
    student the wanted images are those of its teacher.

    Args:
        inputs: uint8[H, W, 3] RGB images before translation.
        translated: the same images after it.
        wanted: what they should be, each of its translation's size.

    Raises:
        DataError: there are not as many of each, or two sizes differ.
    """
    if not len(inputs) == len(translated) == len(wanted) > 0:
        raise DataError(
            f"{len(inputs)} inputs, {len(translated)} translations and {len(wanted)} wanted images cannot "
            "be compared: needed are equally many, at least one"
        )
    columns = [
        _compare_all(found, wanted) for found in (translated, wanted, inputs)
    ]  # in the order of the fields of Measured
    return {
        **rounded({name: Measured(*(column[name] for column in columns)) for name in columns[0]}),
        "compared": len(wanted),
    }


@torch.no_grad()
def measure_steadiness(
    translate: Callable[[Tensor], Tensor], images: Images, seed: int = 0
) -> dict[str, Any]:
    """Measure how far a generator is from moving with its input: the warping error under synthetic motion.

    Each image x is moved by a seeded flow W and disturbed by a seeded noise n. `warping` is the mean of
    |G(W x + n) - W G(x)| in levels of 0 to 255, over the pixels W takes from inside the image. Its floor is
    the error of the identity, |W x + n - W x|; its ceiling |G(W x + n) - G(x)|, the same motion left alone.

    Args:
        translate: the generator, float32[1, 3, H, W] in [-1, 1] to the same.
        images: uint8[H, W, 3] RGB of sizes the generator takes.
        seed: of motion and noise.
    """
    rng = torch.Generator().manual_seed(seed)
    errors = []
    for rgb in images:
        real = to_tensor(rgb)[None]
        flow = draw_flow(1, real.shape[-2], real.shape[-1], rng)
        moved, mask = warp(real, flow), inside(flow)
        disturbed = disturb(moved, rng)
        fake, found = translate(real), translate(disturbed)
        errors.append(
            [
                _levels(found, warp(fake, flow), mask),
                _levels(disturbed, moved, mask),
                _levels(found, fake, mask),
            ]
        )
    return rounded({"warping": Measured(*np.mean(errors, axis=0).tolist())})


def train_domain_classifier(domain_A: Images, domain_B: Images, steps: int = 300) -> nn.Module:
    """Train a small network to tell domain B (1) from domain A (0) on images shrunk to 64×64.

    It ends before `steps` where the domains have been told apart for a while.
    """
    rng = torch.Generator().manual_seed(0)
    set_A, set_B = (ImageSet([squash(rgb, 72) for rgb in images]) for images in (domain_A, domain_B))
    with torch.random.fork_rng(devices=()):  # a run that validates in its middle goes on as if it had not
        torch.manual_seed(0)
        return _train_classifier(_classifier(), set_A, set_B, rng, steps)


def rounded(metrics: dict[str, Measured]) -> dict[str, Any]:
    """Return the metrics as a JSON object, to four digits behind the point."""
    return {
        name: {key: round(value, 4) for key, value in asdict(found).items()}
        for name, found in metrics.items()
    }


def _train_classifier(
    net: nn.Module, set_A: ImageSet, set_B: ImageSet, rng: torch.Generator, steps: int
) -> nn.Module:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    labels = torch.cat([torch.zeros(16), torch.ones(16)])
    losses: deque[float] = deque([1.0] * _TOLD_APART_STEPS, maxlen=_TOLD_APART_STEPS)
    for _ in range(steps):
        crops = torch.cat([set_A.crops(16, 64, rng), set_B.crops(16, 64, rng)])
        loss = nn.functional.binary_cross_entropy_with_logits(net(crops).squeeze(1), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if max(losses) < _TOLD_APART:
            break
    return net.eval()


@torch.no_grad()
def share_classified_as_target(classifier: nn.Module, images: Images) -> float:
    """Return the share of images, in [0, 1], that the classifier takes for domain B."""
    called = [classifier(to_tensor(squash(rgb, 64))[None]).item() > 0 for rgb in images]
    return float(np.mean(called))


def _classifier() -> nn.Module:
    layers: list[nn.Module] = []
    for channels_in, channels in ((3, 32), (32, 64), (64, 128)):
        layers += [
            nn.Conv2d(channels_in, channels, 3, stride=2, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 1)]
    return nn.Sequential(*layers)


def _measure_distances(
    translated: Images, held_out: Images, inputs: Images, reference: Images
) -> dict[str, Measured]:
    return {
        name: Measured(*(distance(images, reference) for images in (translated, held_out, inputs)))
        for name, distance in DISTANCES.items()
    }


def _compare_all(found: Images, wanted: Images) -> dict[str, float]:
    compared = [_compare(one, other) for one, other in zip(found, wanted, strict=True)]
    return {name: float(np.mean([values[name] for values in compared])) for name in compared[0]}


def _compare(found: Rgb, wanted: Rgb) -> dict[str, float]:
    if found.shape != wanted.shape:
        raise DataError(
            f"an image of {found.shape[0]}×{found.shape[1]} cannot be compared with one of "
            f"{wanted.shape[0]}×{wanted.shape[1]}"
        )
    x, y = to_tensor(found)[None], to_tensor(wanted)[None]
    return {
        "l1": 127.5 * (x - y).abs().mean().item(),
        "psnr": psnr(x, y),
        "ssim": ssim(x, y).item(),
        "ms_ssim": ms_ssim(x, y).item(),
    }


def _levels(found: Tensor, wanted: Tensor, mask: Tensor) -> float:
    """Return the mean absolute difference in levels where the mask is 1."""
    difference = (found.float() - wanted.float()).abs() * mask
    return 127.5 * (difference.sum() / (mask.sum() * found.shape[1]).clamp_min(1.0)).item()
