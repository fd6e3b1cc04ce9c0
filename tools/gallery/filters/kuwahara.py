"""The generalised Kuwahara filter with eight sectors.

Source: Papari, Petkov and Campisi 2007 (Artistic edge and corner enhancing smoothing).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from rt.frame import Rgb

SECTORS = 8
SHARPNESS = 8.0
"""How much the calmest sector outweighs the others."""


@lru_cache
def _sectors(radius: int) -> tuple[np.ndarray, ...]:
    """Return a Gaussian cut into `SECTORS` soft sectors, float32[2R+1, 2R+1] each, that sum to 1."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    disc = np.exp(-(x * x + y * y) / (2 * (radius / 2) ** 2))
    kernels = []
    for number in range(SECTORS):
        turn = np.arctan2(y, x) - 2 * np.pi * number / SECTORS
        apart = np.abs(np.arctan2(np.sin(turn), np.cos(turn)))
        apart[radius, radius] = 0  # the pixel itself is in every sector
        wedge = np.clip(1.5 - apart * SECTORS / (2 * np.pi), 0, 1) * disc
        kernels.append(wedge / wedge.sum())
    return tuple(kernels)


def kuwahara(rgb: Rgb, radius: int) -> Rgb:
    """Return uint8[H, W, 3]: each pixel the mean of the calmest sectors of a disc of `radius` px."""
    image = rgb.astype(np.float32) / 255
    total, weights = np.zeros_like(image), np.zeros(image.shape[:2], np.float32)
    for kernel in _sectors(radius):
        mean = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT)
        square = cv2.filter2D(image * image, -1, kernel, borderType=cv2.BORDER_REFLECT)
        deviation = np.sqrt(np.maximum(square - mean * mean, 0).sum(axis=2))
        weight = (1 + 255 * deviation / 3) ** -SHARPNESS
        total += weight[:, :, None] * mean
        weights += weight
    return np.asarray(np.clip(total / weights[:, :, None] * 255 + 0.5, 0, 255), np.uint8)
