"""Fit an image to the network and its answer back to the image.

The network works small: the frame is shrunk in one pass, and the residual, what the network changed, is
added to the full frame, whose own fine detail stays.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from rt.card import Card, Detail
from rt.errors import StyleError
from rt.frame import Rgb

_MOST_ROWS = 65535 // 255
"""Rows of full brightness whose sum fits into 16 bits."""
_WORTH = 16384
"""Values that must be added at once for `_sum_rows` to be quicker than OpenCV."""


def network_size(height: int, width: int, short_px: int, multiple: int, minimum_px: int) -> tuple[int, int]:
    """Return the (height, width) at which a network sees images of `height` x `width`.

    The short side becomes `short_px`, the aspect is kept to the nearest multiple. A side never grows, except
    to reach the network's minimum.
    """
    short = min(height, width)
    target = min(short_px, short)
    least = -(-minimum_px // multiple) * multiple

    def side(length: int) -> int:
        # length * target / short, to the nearest multiple; whole numbers, so that halves always go up.
        nearest = (2 * length * target // (short * multiple) + 1) // 2 * multiple
        return max(least, min(nearest, length // multiple * multiple))

    return side(height), side(width)


def style_size(card: Card, height: int, width: int, short_px: int | None = None) -> tuple[int, int]:
    """Return the (height, width) at which a style sees images of `height` x `width`.

    `short_px` is the short side asked for, None the style's own. A network of one fixed size sees every
    image at that size, whatever its aspect.

    Raises:
        StyleError: the style cannot work at the size asked for.
    """
    if card.fixed_size is not None:
        if short_px is not None:
            raise StyleError(
                f"style {card.name} cannot work at --size {short_px}: its network takes "
                f"{card.fixed_size[0]}x{card.fixed_size[1]} alone; leave --size away"
            )
        return card.fixed_size
    asked_px = card.size_px if short_px is None else short_px
    if asked_px < card.minimum_px:
        raise StyleError(
            f"style {card.name} cannot work at --size {asked_px}: it needs at least {card.minimum_px}; "
            f"type --size {card.size_px}"
        )
    return network_size(height, width, asked_px, card.multiple, card.minimum_px)


def shrink(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    """Return uint8[H, W, 3] RGB resized to `size` = (height, width) in one pass.

    Where the size is right already the image itself comes back: read it, never write to it.
    """
    height, width = size
    if rgb.shape[:2] == size:
        return rgb
    if height > rgb.shape[0] or width > rgb.shape[1]:
        # Area averaging is for shrinking; an image below the network's minimum grows.
        return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    rows = rgb.shape[0] // math.gcd(rgb.shape[0], height)
    if not 1 < rows <= _MOST_ROWS or rgb.size // rows < _WORTH:
        return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    sums = _sum_rows(rgb, height, rows).astype(np.float32)
    small = cv2.resize(sums, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.convertScaleAbs(small, alpha=1 / rows), np.uint8)


def _sum_rows(rgb: Rgb, height: int, rows: int) -> npt.NDArray[np.uint16]:
    """Return the area averages of `rgb` down to `height` rows, times `rows`: uint16[height, W, 3], exact.

    Of every `rows` rows `kept` are left. In parts of 1/kept of a row, each of them covers `rows` parts; the
    rows at its two ends it may share with its neighbours. OpenCV averages both directions at once, value by
    value; whole rows are summed several times as quickly, and that leaves OpenCV little to do.
    """
    groups = rgb.shape[0] // rows
    kept = height // groups
    source = rgb.reshape(groups, rows, -1)  # [groups, rows, W * 3]
    sums = np.zeros((groups, kept, source.shape[2]), np.uint16)
    for number in range(kept):
        begin, end = number * rows, (number + 1) * rows  # in parts
        total = sums[:, number]
        first, last = -(-begin // kept), end // kept  # the rows that are covered whole
        for row in range(first, last):
            np.add(total, source[:, row], out=total)
        total *= np.uint16(kept)
        if before := first * kept - begin:
            total += source[:, first - 1] * np.uint16(before)
        if after := end - last * kept:
            total += source[:, last] * np.uint16(after)
    return sums.reshape(height, rgb.shape[1], 3)


def apply_residual(rgb: Rgb, small_in: Rgb, small_out: Rgb, strength: float, detail: Detail) -> Rgb:
    """Return the frame uint8[H, W, 3] RGB with the network's residual applied, as a new array.

    `keep` adds what the network changed, `small_out - small_in`, enlarged: fine detail survives. `network`
    takes the network's own image, enlarged. `strength` in [0, 1] goes from the frame to the full effect.
    Sums saturate at 0 and 255.
    """
    if strength == 0:
        return np.array(rgb)
    size_wh = (rgb.shape[1], rgb.shape[0])
    if detail == "network":
        image = cv2.resize(small_out, size_wh, interpolation=cv2.INTER_CUBIC)
        blended = image if strength == 1 else cv2.addWeighted(rgb, 1 - strength, image, strength, 0)
        return np.asarray(blended, np.uint8)
    delta = cv2.addWeighted(small_out, strength, small_in, -strength, 0, dtype=cv2.CV_16S)
    delta = cv2.resize(delta, size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(rgb, delta, dtype=cv2.CV_8U), np.uint8)


def blend(one: Rgb, other: Rgb, share: float) -> Rgb:
    """Return two uint8 arrays of one shape averaged, `share` in [0, 1] of the second, as a new array."""
    return np.asarray(cv2.addWeighted(one, 1 - share, other, share, 0), np.uint8).reshape(one.shape)


def side_by_side(left: Rgb, right: Rgb) -> Rgb:
    """Return two images of one height next to each other: uint8[H, W_left + W_right, 3] RGB."""
    return np.asarray(np.concatenate([left, right], axis=1), np.uint8)
