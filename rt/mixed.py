"""Two styles at once: `--style monet+wave`.

Both networks look at the same image, and what they make is averaged. A network whose share is nothing is not
computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rt.backends import Backend, Pending
from rt.card import Card
from rt.errors import StyleError
from rt.fit import blend, network_size, style_size

SIGN = "+"
"""Stands between the names of two styles."""


def style_names(typed: str) -> tuple[str, ...]:
    """Return the names that `monet+wave` is made of; one that is no mix alone, a folder with a + too.

    Raises:
        StyleError: it names more than two, one twice, or one is missing.
    """
    if SIGN not in typed or Path(typed).expanduser().exists():
        return (typed,)
    names = tuple(name.strip() for name in typed.split(SIGN))
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise StyleError(f"style {typed!r} is no mix of two: type for example --style monet+wave")
    return names


def mixed_size(
    cards: Sequence[Card], height: int, width: int, short_px: int | None = None
) -> tuple[int, int]:
    """Return the (height, width) at which networks look at images of `height` x `width` together.

    It is that of one style as `rt.fit.style_size` has it, of two the larger, in multiples of both.

    Raises:
        StyleError: a style cannot work at the size asked for, or two cannot at any.
    """
    sizes = [style_size(card, height, width, short_px) for card in cards]
    if len(set(sizes)) == 1:
        return sizes[0]
    if any(card.fixed_size is not None for card in cards):
        names = " and ".join(card.name for card in cards)
        raise StyleError(f"styles {names} cannot be mixed: one of them takes images of one size alone")
    least = max(card.minimum_px for card in cards)
    multiple = math.lcm(*(card.multiple for card in cards))
    largest = short_px or max(card.size_px for card in cards)
    return network_size(height, width, largest, multiple, least)


class Mixed:
    """Two backends of one size as one; owns both."""

    def __init__(self, first: Backend, second: Backend, share: Callable[[], float]) -> None:
        """`share` says for each image how much of the second one is shown, in [0, 1]."""
        self._parts, self._share = (first, second), share
        one, other = first.info, second.info
        self.info = replace(
            one,
            precision=one.precision
            if one.precision == other.precision
            else f"{one.precision}, {other.precision}",
            slots=min(one.slots, other.slots),
            detail="keep" if one.detail == other.detail == "keep" else "network",
            frame_size=None,
        )

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB."""
        share = self._share()
        if share in (0, 1):
            return self._parts[int(share)].translate(rgb)
        first, second = self._parts
        return blend(first.translate(rgb), second.translate(rgb), share)

    def start(self, rgb: npt.NDArray[np.uint8]) -> Pending:
        """Begin to translate uint8[1, H, W, 3] RGB by both, or by the one that is shown alone."""
        share = self._share()
        if share in (0, 1):
            return self._parts[int(share)].start(rgb)
        first, second = self._parts
        return _Both(first.start(rgb), second.start(rgb), share)

    def close(self) -> None:
        """Close both; works twice."""
        for part in self._parts:
            part.close()


class _Both:
    """An image in flight in two networks."""

    def __init__(self, first: Pending, second: Pending, share: float) -> None:
        self._first, self._second, self._share = first, second, share

    def result(self) -> npt.NDArray[np.uint8]:
        return blend(self._first.result(), self._second.result(), self._share)
