"""Put onto a style's card what is found out after its export.

    python -m tools.gallery.describe STYLE [--facts FILE] [--make SCRIPT] [--speed SECONDS]
        [--clips CLIP... --teacher RUN]

STYLE is the style's folder. Each option fills its own part of the card and leaves the others as they are:
--facts the data and the known faults (as for `videobrush-train export`), --make the script that made the
style, --speed milliseconds and images a second of every CPU backend and precision at 256x256 and at the
style's own size (on an idle machine only), --clips the warping error on real clips, over the clip's own, of
the style beside its teacher.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from math import lcm
from pathlib import Path
from typing import Any

from rt.backends import open_backend
from rt.card import Card, read_card, write_card
from rt.errors import VideobrushError
from rt.fit import network_size, style_size
from rt.frame import Rgb
from rt.sources import open_source
from rt.steadiness import Comparison, compare
from rt.styles import Style, find_style
from rt.view import look_at
from tools.bench.backends import measure_at
from tools.bench.result import ROOT, facts
from train.export import read_notes
from train.graph import translate_images
from train.load import best_checkpoint, load_generator

Translate = Callable[[Rgb], Rgb]
RATIOS = ("style", "teacher", "seen", "seen_steadied")
"""Warping errors over the clip's own: the network's and its teacher's images, and what a viewer sees."""
SQUARE = (256, 256)
"""(height, width) at which the styles are compared with each other."""


def main() -> int:
    """Fill in what was asked for, the card written once at the end."""
    given = parse()
    try:
        style = find_style(Path(given.style))
        write_card(describe(style, given), style.folder)
    except VideobrushError as error:
        print(f"describe: {error}", file=sys.stderr)
        return 1
    print(style.folder / "card.json")
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("style", help="folder of the style")
    made.add_argument("--facts", type=Path, help="JSON object with `data` and `faults`")
    made.add_argument("--make", type=Path, help="script within this repository that made the style")
    made.add_argument("--speed", type=float, metavar="SECONDS", help="of measuring each backend and size")
    made.add_argument("--clips", nargs="+", default=[], metavar="CLIP")
    made.add_argument("--teacher", type=Path, metavar="RUN", help="folder of the teacher's run")
    made.add_argument("--direction", default="AtoB", help="which of the teacher's generators")
    made.add_argument("--frames", type=int, default=60, help="frames of each clip")
    return made.parse_args()


def describe(style: Style, given: argparse.Namespace) -> Card:
    """Return the card with what was asked for."""
    card = read_card(style.folder)
    if given.facts is not None:
        notes = read_notes(given.facts)
        images = {"images": card.data["images"]} if "images" in card.data else {}
        card = replace(
            card,
            data={**notes["data"], **images} if "data" in notes else card.data,
            faults=tuple(notes.get("faults", card.faults)),
            expects=notes.get("expects", card.expects),
        )
    if given.make is not None:
        card = replace(card, training={**card.training, "made_with": within_repository(given.make)})
    if given.speed is not None:
        card = replace(card, metrics={**card.metrics, "speed": measure_speed(style, given.speed)})
    if given.clips:
        card = replace(card, metrics={**card.metrics, "clips": measure_clips(style, given)})
    return card


def within_repository(path: Path) -> str:
    """Return a script's path from the root of the repository."""
    try:
        return path.resolve(strict=True).relative_to(ROOT).as_posix()
    except (OSError, ValueError):
        raise VideobrushError(f"--make {path}: needed is a script within {ROOT}") from None


def measure_speed(style: Style, seconds: float) -> dict[str, Any]:
    """Return milliseconds and images a second at 256x256 and at the style's own size."""
    own = style_size(style.card, 1080, 1920)
    sizes = [SQUARE, own] if style.card.fixed_size is None else [own]
    kept = ("name", "p50_ms", "p95_ms", "fps")
    rows = [
        {"size": list(size), **{key: row[key] for key in kept}}
        for size in sizes
        for row in measure_at(style, size, seconds)
    ]
    return {**{key: value for key, value in facts("speed").items() if key != "benchmark"}, "rows": rows}


def measure_clips(style: Style, given: argparse.Namespace) -> dict[str, Any]:
    """Return the warping error over the clip's own: of the network's images, and of what a viewer sees."""
    rows = [measure_clip(style, clip, given) for clip in given.clips]
    found = {name: [row[name] for row in rows if row.get(name) is not None] for name in RATIOS}
    medians = {name: round(statistics.median(values), 3) for name, values in found.items() if values}
    return {"median": medians, "rows": rows}


def measure_clip(style: Style, clip: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one clip."""
    card, source = style.card, open_source(clip)
    height, width = source.info.height, source.info.width
    source.close()
    teacher = (
        None if given.teacher is None else load_generator(best_checkpoint(given.teacher), given.direction)[0]
    )
    multiple, minimum_px = card.multiple, card.minimum_px
    if teacher is not None:
        multiple = lcm(multiple, int(teacher.multiple))  # type: ignore[arg-type]
        minimum_px = max(minimum_px, int(teacher.minimum_px))  # type: ignore[arg-type]
    size = card.fixed_size or network_size(height, width, card.size_px, multiple, minimum_px)
    backend = open_backend("auto", style, size, "fp32").backend
    try:
        viewer, network = _compare(clip, given, lambda rgb: backend.translate(rgb[None])[0], size, card)
    finally:
        backend.close()
    row: dict[str, Any] = {
        "clip": Path(clip).name,
        "size": list(size),
        "frames": network.frames,
        "style": _rounded(network.warping_off),
        "seen": _rounded(viewer.warping_off),
        "seen_steadied": _rounded(viewer.warping_on),
    }
    if teacher is not None:
        net = teacher
        _, taught = _compare(
            clip, given, lambda rgb: translate_images(net, [look_at(rgb, card.view)])[0], size, card
        )
        row["teacher"] = _rounded(taught.warping_off)
    return row


def _compare(
    clip: str, given: argparse.Namespace, translate: Translate, size: tuple[int, int], card: Card
) -> tuple[Comparison, Comparison]:
    return compare(_frames(clip, given.frames), translate, size, detail=card.detail)


def _frames(clip: str, count: int) -> Iterator[Rgb]:
    source = open_source(clip)
    try:
        yield from (frame.rgb for frame in islice(source, count))
    finally:
        source.close()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


if __name__ == "__main__":
    sys.exit(main())
