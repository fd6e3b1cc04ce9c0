"""The styles that are installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._runtime import runtime


@dataclass(frozen=True)
class Style:
    """One installed style."""

    name: str
    """What `load` and `run` take."""
    folder: Path
    title: str
    """What it does, in one line; empty where it is damaged."""
    size_px: int
    """Short side in pixels of the image its network was trained for; 0 where it is damaged."""
    precisions: tuple[str, ...]
    """Its models: `fp32`, `fp16`, `int8`."""
    expects: str
    """What images it was made for: `photo`, `gray photo`, `label map`."""
    known_faults: tuple[str, ...]
    """What is known to be wrong with it, one sentence each."""
    damaged: str | None
    """Why it cannot be used; None where it can."""


def styles() -> list[Style]:
    """Return every style by name: your own and the bundled ones, damaged ones too.

    Raises:
        StyleError: a folder of styles is there and cannot be read.
    """
    return [_described(entry) for entry in runtime("styles").list_styles()]


def _described(entry: Any) -> Style:
    if entry.style is None:
        return Style(entry.name, entry.folder, "", 0, (), "", (), entry.fault)
    card = entry.style.card
    return Style(
        entry.name,
        entry.folder,
        card.title,
        card.size_px,
        tuple(sorted(card.models)),
        card.expects,
        card.faults,
        None,
    )
