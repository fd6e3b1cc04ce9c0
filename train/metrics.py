"""Distances between sets of pictures that need no downloaded weights.

Every figure is given with its floor (real pictures against other real pictures of the target domain) and its
ceiling (untranslated inputs taken for translations): a translation is worth as much as it moves from the
ceiling to the floor. None of them is comparable with FID or KID figures of papers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.data import PictureSet, to_tensor

Pictures = Sequence[Rgb]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One metric of the translations, between its floor and its ceiling."""

    translated: float
    floor: float
    ceiling: float


def measure_translation(
    inputs: Pictures, translated: Pictures, reals: Pictures, classifier: nn.Module
) -> dict[str, Any]:
    """Compare translations with real pictures of the target domain.

    The reals are split in two: one half is the reference of every distance, the other gives the floor, and
    equally many inputs and translations are taken, so that all three figures have the same sampling error.
    The number of pictures on either side of a distance is returned as `compared`.

    Args:
        inputs: uint8[H, W, 3] RGB pictures before translation.
        translated: the same pictures after it.
        reals: pictures of the target domain, at least 4.
        classifier: from `train_domain_classifier`; its figure is the share called target domain.
    """
    count = min(len(reals) // 2, len(inputs))
    reference, held_back = reals[0::2][:count], reals[1::2][:count]
    metrics: dict[str, Measured] = {}
    distances: dict[str, Callable[[Pictures, Pictures], float]] = {
        "swd": sliced_wasserstein,
        "lab": lab_distance,
        "rkid": random_kid,
    }
    for name, distance in distances.items():
        found, floor, ceiling = (
            distance(pictures[:count], reference) for pictures in (translated, held_back, inputs)
        )
        metrics[name] = Measured(found, floor, ceiling)
    shares = [share_called_target(classifier, pictures) for pictures in (translated, reals, inputs)]
    metrics["called_target"] = Measured(*shares)
    rounded: dict[str, Any] = {
        name: {key: round(value, 4) for key, value in asdict(found).items()}
        for name, found in metrics.items()
    }
    return {**rounded, "compared": count}


def sliced_wasserstein(pictures: Pictures, reals: Pictures) -> float:
    """Mean sliced Wasserstein distance of 7×7 patches over a Laplacian pyramid.

    Patches of both sets are scaled by the mean and deviation of the *real* set alone, so that a shift of
    colour or contrast counts. Source: Karras et al. 2018, section 5, with that change of normalisation.
    """
    rng = np.random.default_rng(0)
    levels = []
    for found, wanted in zip(_patches(pictures), _patches(reals), strict=True):
        mean, deviation = wanted.mean(axis=(0, 1)), wanted.std(axis=(0, 1)) + 1e-8
        directions = rng.standard_normal((found[0].size, 128))
        directions /= np.linalg.norm(directions, axis=0)
        found, wanted = (
            np.sort(((patches - mean) / deviation).reshape(len(patches), -1) @ directions, axis=0)
            for patches in (found, wanted)
        )
        count = min(len(found), len(wanted))
        levels.append(np.abs(_thin(found, count) - _thin(wanted, count)).mean())
    return float(np.mean(levels))


def lab_distance(pictures: Pictures, reals: Pictures) -> float:
    """Mean Wasserstein distance of the L, a and b values of all pixels, in Lab units."""
    found, wanted = _lab(pictures), _lab(reals)
    points = np.linspace(0.0, 1.0, 513)
    per_channel = np.abs(np.quantile(found, points, axis=0) - np.quantile(wanted, points, axis=0))
    return float(per_channel.mean())


def random_kid(pictures: Pictures, reals: Pictures) -> float:
    """Unbiased squared MMD, cubic kernel, on features of a random convolutional network, times 1000.

    Named rKID, never FID or KID: the network's weights are drawn from a fixed seed, not trained.
    Source of estimator and kernel: Binkowski et al. 2018, section 3.
    """
    x, y = _random_features(pictures), _random_features(reals)
    scale = y.std(axis=0) + 1e-8
    mean = y.mean(axis=0)
    x, y = (x - mean) / scale, (y - mean) / scale
    kernel_xx, kernel_yy, kernel_xy = (_cubic(a, b) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    within_x = (kernel_xx.sum() - np.trace(kernel_xx)) / (n * (n - 1))
    within_y = (kernel_yy.sum() - np.trace(kernel_yy)) / (m * (m - 1))
    return float(1000 * (within_x + within_y - 2 * kernel_xy.mean()))


def train_domain_classifier(domain_A: Pictures, domain_B: Pictures, steps: int = 300) -> nn.Module:
    """Train a small network to tell domain B (1) from domain A (0) on pictures shrunk to 64×64."""
    rng = torch.Generator().manual_seed(0)
    set_A, set_B = (PictureSet([_squash(rgb, 72) for rgb in pictures]) for pictures in (domain_A, domain_B))
    torch.manual_seed(0)
    net = _classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    labels = torch.cat([torch.zeros(16), torch.ones(16)])
    for _ in range(steps):
        crops = torch.cat([set_A.crops(16, 64, rng), set_B.crops(16, 64, rng)])
        loss = nn.functional.binary_cross_entropy_with_logits(net(crops).squeeze(1), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def share_called_target(classifier: nn.Module, pictures: Pictures) -> float:
    """Return the share of pictures, in [0, 1], that the classifier takes for domain B."""
    called = [classifier(to_tensor(_squash(rgb, 64))[None]).item() > 0 for rgb in pictures]
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


def _squash(rgb: Rgb, side: int) -> Rgb:
    """Return the picture as a square, whatever its aspect."""
    return cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _patches(pictures: Pictures) -> list[FloatArray]:
    """Return float64[patches, 3, 7, 7] per level of a four-level Laplacian pyramid, 64 per picture."""
    rng = np.random.default_rng(1)
    levels: list[list[FloatArray]] = [[], [], [], []]
    for rgb in pictures:
        rest: npt.NDArray[Any] = rgb.astype(np.float32)
        for index, level in enumerate(levels):
            height, width = rest.shape[:2]
            if index < len(levels) - 1:
                smaller = cv2.pyrDown(rest)
                band, rest = rest - cv2.pyrUp(smaller, dstsize=(width, height)), smaller
            else:
                band = rest
            tops = rng.integers(0, height - 6, 64)
            lefts = rng.integers(0, width - 6, 64)
            level.extend(
                band[top : top + 7, left : left + 7].transpose(2, 0, 1)
                for top, left in zip(tops, lefts, strict=True)
            )
    # Statistics are per colour channel: [patches, 3, 7, 7] -> [patches, 49, 3]
    return [
        np.stack(level).reshape(len(level), 3, 49).transpose(0, 2, 1).astype(np.float64) for level in levels
    ]


def _thin(ordered: FloatArray, count: int) -> FloatArray:
    """Pick `count` evenly spaced rows of sorted values."""
    picked: FloatArray = ordered[np.linspace(0, len(ordered) - 1, count).round().astype(int)]
    return picked


def _lab(pictures: Pictures) -> FloatArray:
    """Return float64[pixels, 3] of Lab values of the pictures shrunk to 64×64."""
    values = []
    for rgb in pictures:
        small = _squash(rgb, 64).astype(np.float32) / 255
        values.append(cv2.cvtColor(small, cv2.COLOR_RGB2Lab).reshape(-1, 3))
    return np.concatenate(values).astype(np.float64)


@torch.no_grad()
def _random_features(pictures: Pictures) -> FloatArray:
    """Return float64[N, 2 * 192]: mean and deviation of each feature map of a random network."""
    drawn = torch.Generator().manual_seed(2)
    features: list[list[Tensor]] = []
    weights = [
        torch.randn(out, count, 4, 4, generator=drawn) / (count * 8) ** 0.5
        for count, out in ((3, 32), (32, 64), (64, 96))
    ]
    for rgb in pictures:
        x, found = to_tensor(rgb)[None], []
        for weight in weights:
            x = torch.relu(nn.functional.conv2d(x, weight, stride=2, padding=1))
            found += [x.mean(dim=(2, 3))[0], x.std(dim=(2, 3))[0]]
        features.append(found)
    return np.stack([torch.cat(found).double().numpy() for found in features])


def _cubic(x: FloatArray, y: FloatArray) -> FloatArray:
    kernel: FloatArray = (x @ y.T / x.shape[1] + 1.0) ** 3
    return kernel
