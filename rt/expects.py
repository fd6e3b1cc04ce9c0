"""Whether a frame is plainly not what a style expects."""

from __future__ import annotations

import numpy as np

from rt.card import Card, Expects
from rt.frame import Frame, Rgb

_SIDE_PX = 160
"""Frames are judged at about this size."""
_COLOURS = 16
_LEAST_SHARE = 0.47
"""So much of a label map, also of one kept as JPEG, is of its `_COLOURS` most frequent colours, of 32768."""
_COLOUR_LEVELS = 8.0
"""How far red and blue of a frame that is plainly in colour stray from what its green predicts."""
_ADVICE = {
    "gray photo": "frames in colour come, whose colours it replaces; use another style for them",
    "label map": "other frames come, of which it makes a smear; give it images drawn in the colours of its "
    "previews (videobrush styles --html), or use another style",
}
"""What expects → what is said of frames that are plainly something else."""
_MEANT = {"gray photo": "gray photos", "label map": "label maps, flat areas of few colours"}


class Expectations:
    """Says once for each style that its frames are plainly not what it expects."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def look(self, card: Card, frame: Frame) -> str | None:
        """Return what is to be said of a style's first frame, in one line; None where there is nothing."""
        if card.name in self._seen:
            return None
        self._seen.add(card.name)
        if card.expects == "photo" or fits(
            frame.before if frame.before is not None else frame.rgb, card.expects
        ):
            return None
        return f"style {card.name} is for {_MEANT[card.expects]}: {_ADVICE[card.expects]}"


def is_misfit(text: str) -> bool:
    """Return whether a line is what `Expectations` says."""
    return text.startswith("style ") and text.endswith(tuple(_ADVICE.values()))


def fits(rgb: Rgb, expects: Expects) -> bool:
    """Return whether uint8[H, W, 3] RGB may be what a style expects; False where it plainly is not.

    A `photo` style takes every image.
    """
    step = max(1, min(rgb.shape[:2]) // _SIDE_PX)
    sampled = rgb[::step, ::step]
    if expects == "gray photo":
        return _colourfulness(sampled) <= _COLOUR_LEVELS
    return expects == "photo" or _share_of_few(sampled) >= _LEAST_SHARE


def _colourfulness(rgb: Rgb) -> float:
    """Return how far red and blue stray from a line through green, in levels: a sepia tint has a line too."""
    red, green, blue = np.moveaxis(rgb.reshape(-1, 3).astype(np.float64), 1, 0)
    centred = green - green.mean()
    strays = 0.0
    for channel in (red, blue):
        slope = float(centred @ channel) / max(float(centred @ centred), 1e-6)
        strays += float((channel - channel.mean() - slope * centred).std())
    return strays


def _share_of_few(rgb: Rgb) -> float:
    """Return the share of an image that is of its most frequent colours."""
    bins = (rgb >> 3).astype(np.int32) @ np.array([1024, 32, 1], np.int32)
    counts = np.sort(np.bincount(bins.ravel()))[::-1]
    return float(counts[:_COLOURS].sum() / counts.sum())
