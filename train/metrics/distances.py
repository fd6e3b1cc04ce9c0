"""Distances between sets of images that need no downloaded weights.

None of them is comparable with FID or KID figures of papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.data.images import to_tensor
from train.errors import DataError

Images = Sequence[Rgb]
"""uint8[H, W, 3] RGB each, of any sizes."""
PATCH_PX = 7
FloatArray = npt.NDArray[np.float64]


def sliced_wasserstein(images: Images, reals: Images) -> float:
    """Mean sliced Wasserstein distance of 7×7 patches over a Laplacian pyramid of four levels.

    Of images too small for four, as many levels as have 7 px on their shorter side in both sets.

    Patches of both sets are scaled by the mean and deviation of the *real* set alone, so that a shift of
    colour or contrast counts. Source: Karras et al. 2018, section 5, with that change of normalisation.
    """
    rng = np.random.default_rng(0)
    levels = []
    smallest = min(min(rgb.shape[:2]) for rgb in [*images, *reals])
    depth = sum(smallest >= PATCH_PX * 2**level for level in range(4))
    if depth == 0:
        raise DataError(f"images of {smallest} px are too small to compare: needed are {PATCH_PX}")
    for found, wanted in zip(_patches(images, depth), _patches(reals, depth), strict=True):
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


def lab_distance(images: Images, reals: Images) -> float:
    """Mean Wasserstein distance of the L, a and b values of all pixels, in Lab units."""
    found, wanted = _lab(images), _lab(reals)
    points = np.linspace(0.0, 1.0, 513)
    per_channel = np.abs(np.quantile(found, points, axis=0) - np.quantile(wanted, points, axis=0))
    return float(per_channel.mean())


def random_kid(images: Images, reals: Images) -> float:
    """Unbiased squared MMD, cubic kernel, on features of a random convolutional network, times 1000.

    Named rKID, never FID or KID: the network's weights are drawn from a fixed seed, not trained.
    Source of estimator and kernel: Binkowski et al. 2018, section 3.
    """
    x, y = _random_features(images), _random_features(reals)
    scale = y.std(axis=0) + 1e-8
    mean = y.mean(axis=0)
    x, y = (x - mean) / scale, (y - mean) / scale
    kernel_xx, kernel_yy, kernel_xy = (_cubic(a, b) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    within_x = (kernel_xx.sum() - np.trace(kernel_xx)) / (n * (n - 1))
    within_y = (kernel_yy.sum() - np.trace(kernel_yy)) / (m * (m - 1))
    return float(1000 * (within_x + within_y - 2 * kernel_xy.mean()))


def squash(rgb: Rgb, side: int) -> Rgb:
    """Return the image as a square, whatever its aspect."""
    return cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _patches(images: Images, depth: int) -> list[FloatArray]:
    """Return float64[patches, 49, 3] per level of a Laplacian pyramid of `depth` levels, 64 per image."""
    rng = np.random.default_rng(1)
    levels: list[list[FloatArray]] = [[] for _ in range(depth)]
    for rgb in images:
        rest: npt.NDArray[Any] = rgb.astype(np.float32)
        for index, level in enumerate(levels):
            height, width = rest.shape[:2]
            if index < len(levels) - 1:
                smaller = cv2.pyrDown(rest)
                band, rest = rest - cv2.pyrUp(smaller, dstsize=(width, height)), smaller
            else:
                band = rest
            tops = rng.integers(0, height - PATCH_PX + 1, 64)
            lefts = rng.integers(0, width - PATCH_PX + 1, 64)
            level.extend(
                np.asarray(band[top : top + PATCH_PX, left : left + PATCH_PX].transpose(2, 0, 1), np.float64)
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


def _lab(images: Images) -> FloatArray:
    """Return float64[pixels, 3] of Lab values of the images shrunk to 64×64."""
    values = []
    for rgb in images:
        small = squash(rgb, 64).astype(np.float32) / 255
        values.append(cv2.cvtColor(small, cv2.COLOR_RGB2Lab).reshape(-1, 3))
    return np.concatenate(values).astype(np.float64)


@torch.no_grad()
def _random_features(images: Images) -> FloatArray:
    """Return float64[N, 2 * 192]: mean and deviation of each feature map of a random network."""
    drawn = torch.Generator().manual_seed(2)
    features: list[list[Tensor]] = []
    weights = [
        torch.randn(out, count, 4, 4, generator=drawn) / (count * 8) ** 0.5
        for count, out in ((3, 32), (32, 64), (64, 96))
    ]
    for rgb in images:
        x, found = to_tensor(rgb)[None], []
        for weight in weights:
            x = torch.relu(nn.functional.conv2d(x, weight, stride=2, padding=1))
            found += [x.mean(dim=(2, 3))[0], x.std(dim=(2, 3))[0]]
        features.append(found)
    return np.stack([torch.cat(found).double().numpy() for found in features])


def _cubic(x: FloatArray, y: FloatArray) -> FloatArray:
    kernel: FloatArray = (x @ y.T / x.shape[1] + 1.0) ** 3
    return kernel
