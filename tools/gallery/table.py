"""Print the README's table of the gallery, from the cards: `python -m tools.gallery.table [--write]`.

`--write` puts it into README.md, between the lines that mark its place.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from rt.card import Card
from rt.styles import GALLERY, find_style
from tools.bench.result import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- styles: python -m tools.gallery.table --write -->\n", "<!-- /styles -->\n"
HEADINGS = (
    "style",
    "what it does",
    "against real images (its teacher)",
    "SSIM to its teacher",
    "warping error (its teacher's)",
    "INT8 to FP32",
    "size",
)


def main() -> int:
    """Print the table, or write it."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--write", action="store_true", help="put it into README.md")
    if not made.parse_args().write:
        print(make_table(), end="")
        return 0
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}{make_table()}{END}{after}", encoding="utf-8")
    return 0


def make_table() -> str:
    """Return the table of all styles of the gallery, in Markdown."""
    cards = [find_style(path).card for path in sorted(GALLERY.iterdir()) if path.is_dir()]
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row(card) for card in cards)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def row(card: Card) -> tuple[str, ...]:
    """Return the cells of one style."""
    metrics = card.metrics
    itself: Mapping[str, Any] = metrics.get("teacher_itself", {})
    size_mb = sum(model.size_bytes for model in card.models.values()) / 1e6
    warping = metrics.get("warping", {})
    return (
        f"`{card.name}`",
        card.title,
        "–" if to_teacher(card) is metrics else against_real(metrics, itself),
        figure(to_teacher(card).get("ssim", {}).get("translated"), ".3f"),
        beside(warping.get("translated"), itself.get("warping", {}).get("translated"), ".2f"),
        figure(metrics.get("int8", {}).get("psnr_db"), ".1f", " dB"),
        f"{size_mb:.1f} MB",
    )


def to_teacher(card: Card) -> Mapping[str, Any]:
    """Return the figures against the teacher's images: a network's, or a filter's."""
    learnt = card.recipe == "distill" and "teacher" not in card.training
    found: Mapping[str, Any] = card.metrics if learnt else card.metrics.get("teacher", {})
    return found


def against_real(metrics: Mapping[str, Any], itself: Mapping[str, Any]) -> str:
    """Return the figure that says most: paintings by Gram distance, pairs by PSNR, else the classifier."""
    if "gram" in metrics:
        gram = metrics["gram"]
        return f"Gram distance {gram['translated']:.2f} (photos {gram['ceiling']:.2f})"
    for name, words, form, factor, unit in (
        ("psnr", "PSNR", ".1f", 1, " dB"),
        ("classified_as_target", "classified as target", ".0f", 100, " %"),
    ):
        if name in metrics:
            found, taught = (
                None if (value := given.get(name, {}).get("translated")) is None else factor * value
                for given in (metrics, itself)
            )
            return f"{words} {beside(found, taught, form, unit)}"
    return "–"


def beside(found: float | None, taught: float | None, form: str, unit: str = "") -> str:
    """Return a figure, its teacher's behind it in brackets."""
    told = figure(found, form, unit)
    return told if taught is None else f"{told} ({figure(taught, form, unit)})"


def figure(value: float | None, form: str, unit: str = "") -> str:
    """Return a figure as text."""
    return "–" if value is None else f"{value:{form}}{unit}"


if __name__ == "__main__":
    sys.exit(main())
