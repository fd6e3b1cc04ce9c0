"""Programs that change photos: the teachers of the styles that are no painter's."""

from __future__ import annotations

from collections.abc import Callable

from rt.frame import Rgb
from tools.gallery.filters.drawing import comic, pencil, watercolour
from tools.gallery.filters.light import autumn, night, winter

FILTERS: dict[str, Callable[[Rgb], Rgb]] = {
    "autumn": autumn,
    "comic": comic,
    "night": night,
    "pencil": pencil,
    "watercolour": watercolour,
    "winter": winter,
}
"""Filters by name: uint8[H, W, 3] RGB in, the same size out."""
