"""Fingerprints of images: to find the same image twice, and nearly the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rt.frame import Rgb

THUMBNAIL_PX = 16
NEAR_LEVELS = 6.0
"""Root mean square difference, in levels, that thumbnails of nearly equal images may have.

Measured on photographs of 256 px: re-encoded twins stay below 5, the next unlike pair lies above 8; pairs of
shoes on white come down to 6.2.
"""
NEAR_SHARE = 0.25
"""The same as a share of the thumbnail's own deviation: fog looks like other fog."""
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What tells an image from others without its pixels."""

    pixels: bytes
    """Hash of size and pixels: equal for the same decoded image, whatever file it comes from."""
    thumbnail: npt.NDArray[np.float32]
    """float32[16 * 16 * 3] RGB in levels: much the same for an image re-encoded or scaled."""


def take_fingerprint(rgb: Rgb) -> Fingerprint:
    """Return the fingerprint of a uint8[H, W, 3] RGB image of any size."""
    content = np.ascontiguousarray(rgb)
    digest = hashlib.sha256(f"{content.shape}".encode())
    digest.update(content.data)
    thumbnail = cv2.resize(content, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return Fingerprint(digest.digest(), thumbnail.astype(np.float32).ravel())


def are_near(one: Fingerprint, other: Fingerprint) -> bool:
    """Tell whether two images are nearly the same: re-encoded, scaled, the next frame of a still scene."""
    apart = float(np.sqrt(np.square(one.thumbnail - other.thumbnail).mean()))
    contrast = min(float(one.thumbnail.std()), float(other.thumbnail.std()))
    return apart <= max(1.0, min(NEAR_LEVELS, NEAR_SHARE * contrast))


def find_near(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Return the numbers (i, j), i < j, of all pairs that are nearly or exactly the same."""
    if not prints:
        return []
    levels = np.stack([one.thumbnail for one in prints]) - 128.0  # centred, so that float32 keeps differences
    lengths = np.square(levels).sum(axis=1)
    # |a - b|² = |a|² + |b|² - 2ab; one level more than allowed makes up for rounding
    limit = levels.shape[1] * (NEAR_LEVELS + 1.0) ** 2
    pairs = []
    for start in range(0, len(prints), BLOCK):
        block = slice(start, start + BLOCK)
        squares = lengths[block, None] + lengths - 2.0 * levels[block] @ levels.T
        pairs += [(start + int(i), int(j)) for i, j in zip(*np.nonzero(squares <= limit), strict=True)]
    return [(i, j) for i, j in pairs if i < j and are_near(prints[i], prints[j])]
