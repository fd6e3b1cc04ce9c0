"""A sheet of samples: what a run has learned to draw, at one time."""

from __future__ import annotations

from dataclasses import dataclass

from rt.frame import Rgb


@dataclass(frozen=True)
class Sheet:
    """An image of rows × columns equal cells."""

    rows: tuple[str, ...]
    """What each row shows, from the top: real_A, fake_B, rec_A, ...

    In a report rows named real... or teacher do not change with time and are shown once.
    """
    columns: int
    """How many samples lie side by side."""
    rgb: Rgb
    """uint8[H, W, 3] RGB."""
    step: int = 0
    """When it was drawn."""
