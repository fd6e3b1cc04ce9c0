"""What steadying a style's residual brings and costs: `python -m tools.bench.steady --style winter CLIP...`.

Every clip is translated as it is, and with tremor: each frame is shifted by another offset within the
network's grid, translated and shifted back. A network that treats every place alike would not notice; what
this one does notice is the flicker that its own seeing frame by frame brings about.

Prints for several amounts how much warping error is cut and how much sharpness is kept, then one JSON object
as the last line; `--save` also writes it to tools/bench/results/steady-<date>-<style>.json. What a viewer
sees is measured at the size of the frames, and the network's own frames besides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from rt.backends import Backend, open_backend
from rt.errors import DamagedSource, VideobrushError
from rt.fit import style_size
from rt.frame import Rgb
from rt.sources.file import FileSource
from rt.steadiness import Comparison, compare_amounts
from rt.styles import Style, find_style
from tools.bench.result import facts, finish, parser, table

AMOUNTS = (0.25, 0.5, 0.75, 1.0)
TREMOR_PX = 8
"""Offsets are drawn below this many pixels in both directions: one step of the coarsest layer of `hg48`."""
COLUMNS = {
    "clip": "clip",
    "tremor": "tremor",
    "amount": "steady",
    "warping_off": "E off",
    "warping_on": "E on",
    "warping_cut": "cut",
    "flicker_cut": "style's cut",
    "sharpness_kept": "sharpness",
    "network_sharpness_kept": "network's",
    "tof_off_px": "tOF off",
    "tof_on_px": "tOF on",
}


def main() -> int:
    """Measure, print, and save where asked."""
    given = parse()
    try:
        style = find_style(given.style)
        rows = [
            row
            for clip in given.clips
            for tremor_px in (0, TREMOR_PX)
            for row in measure(clip, style, tremor_px, given)
        ]
    except VideobrushError as error:
        print(f"steady: {error}", file=sys.stderr)
        return 1
    cells = [[row[key] for key in COLUMNS] for row in rows]
    shown = table(f"style {style.name}: warping error over the clip's own", tuple(COLUMNS.values()), cells)
    finish({**facts("steady"), "style": style.name, "rows": rows}, shown, given.save, style.name)
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__)
    made.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video files")
    made.add_argument("--style", required=True, help="name of a style, or the path of its folder")
    made.add_argument("--size", type=int, help="short side of the network's frame; default: the style's")
    made.add_argument("--precision", default="auto", help="of the style's network")
    made.add_argument("--frames", type=int, help="frames of each clip; default: all")
    return made.parse_args()


def measure(clip: Path, style: Style, tremor_px: int, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the lines of one clip, one by amount."""
    source = FileSource(clip)
    height, width = style_size(style.card, source.info.height, source.info.width, given.size)
    margin_px = -(-tremor_px // style.card.multiple) * style.card.multiple
    size = height + margin_px, width + margin_px
    backend = open_backend("auto", style, size, given.precision).backend
    try:
        frames = track(read(source, given.frames), f"{clip.name}, tremor {tremor_px} px")
        found = compare_amounts(
            frames,
            shaken(backend, tremor_px, margin_px),
            (height, width),
            AMOUNTS,
            detail=backend.info.detail,
        )
    finally:
        backend.close()
        source.close()
    for amount, (viewer, network) in zip(AMOUNTS, found, strict=True):
        yield {
            "clip": clip.name.split("_")[0],
            "file": clip.name,
            "tremor": tremor_px,
            "amount": amount,
            "size": [height, width],
            "precision": backend.info.precision,
            **figures(viewer),
            **{f"network_{name}": value for name, value in figures(network).items()},
        }


def read(source: FileSource, count: int | None) -> Iterator[Rgb]:
    """Yield the frames of a file, of a damaged one as far as it goes."""
    try:
        yield from (frame.rgb for frame in islice(source, count))
    except DamagedSource as error:
        print(error, file=sys.stderr)


def shaken(backend: Backend, tremor_px: int, margin_px: int) -> Callable[[Rgb], Rgb]:
    """Return a network that sees every frame at another offset, within a mirrored margin."""
    rng = np.random.default_rng(0)

    def translate(rgb: Rgb) -> Rgb:
        height, width = rgb.shape[:2]
        y, x = rng.integers(0, tremor_px, 2) if tremor_px else (0, 0)
        shifted = np.pad(rgb, ((y, margin_px - y), (x, margin_px - x), (0, 0)), mode="reflect")
        return np.ascontiguousarray(backend.translate(shifted[None])[0, y : y + height, x : x + width])

    return translate


def figures(found: Comparison) -> dict[str, Any]:
    """Return what there is to say of a comparison."""
    values = {
        "frames": found.frames,
        "warping_off": found.warping_off,
        "warping_on": found.warping_on,
        "warping_cut": found.warping_cut,
        "flicker_cut": found.flicker_cut,
        "sharpness_kept": found.sharpness_kept,
        "tof_off_px": found.off.tof_px,
        "tof_on_px": found.on.tof_px,
        "deviation_off_levels": found.off.deviation_levels,
        "deviation_on_levels": found.on.deviation_levels,
        **{f"source_{name}": value for name, value in asdict(found.source).items()},
    }
    return {name: None if value is None else round(value, 3) for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
