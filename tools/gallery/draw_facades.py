"""Draw plans of facades: previews, and the images INT8 is calibrated with.

    python tools/gallery/draw_facades.py OUT [--count 8] [--seed 0] [--growing FRAMES]

OUT gets `count` plans as PNG files; with --growing one plan that is drawn part by part, FRAMES images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from rt.frame import Rgb
from train.data.images import save_image

SIZE = (360, 480)
"""(height, width) of a plan."""
WALL, WINDOW, DOOR, SHOP = (0, 0, 255), (0, 85, 255), (0, 170, 255), (170, 0, 0)
CORNICE, SILL, BALCONY, BLIND = (255, 85, 0), (0, 255, 255), (170, 255, 85), (255, 255, 0)
DECORATION, PILLAR = (255, 170, 0), (255, 0, 0)

Part = tuple[tuple[int, int, int], float, float, float, float]
"""A rectangle: colour, then left, top, right and bottom as shares of width and height."""


def plan(rng: np.random.Generator) -> list[Part]:
    """Return the parts of a facade, in the order they are drawn."""
    floors, columns = int(rng.integers(3, 6)), int(rng.integers(4, 9))
    top, base = rng.uniform(0.06, 0.1), rng.uniform(0.78, 0.84)
    tall, wide = (base - top) / floors, 1 / columns
    high, broad = tall * rng.uniform(0.5, 0.65), wide * rng.uniform(0.35, 0.55)
    balconies = rng.random(floors) < 0.4
    blinds, sills, pillars = rng.random(3) < (0.3, 0.6, 0.35)
    parts: list[Part] = [(CORNICE, 0, 0, 1, top * 0.7)]
    for floor in range(floors):
        y = top + floor * tall + (tall - high) / 2
        for column in range(columns):
            x = (column + 0.5) * wide - broad / 2
            parts.append((WINDOW, x, y, x + broad, y + high))
            if blinds:
                parts.append((BLIND, x, y, x + broad, y + high * 0.3))
            if balconies[floor]:
                parts.append((BALCONY, x - broad * 0.2, y + high * 0.6, x + broad * 1.2, y + high * 1.05))
            elif sills:
                parts.append((SILL, x - broad * 0.1, y + high, x + broad * 1.1, y + high * 1.12))
        if floor and rng.random() < 0.4:
            parts.append((CORNICE, 0, top + floor * tall - 0.008, 1, top + floor * tall + 0.008))
    if pillars:
        parts += [(PILLAR, x, top, x + 0.03, base) for x in (0.0, 0.97)]
    parts.append((CORNICE, 0, base - 0.02, 1, base + 0.01))
    entrance = int(rng.integers(columns))
    for column in range(columns):
        x = (column + 0.15) * wide
        colour = DOOR if column == entrance else SHOP
        parts.append((colour, x, base + 0.04, x + 0.7 * wide, 1.0))
    parts.append((DECORATION, (entrance + 0.3) * wide, base + 0.01, (entrance + 0.7) * wide, base + 0.04))
    return parts


def drawn(parts: list[Part]) -> Rgb:
    """Return uint8[H, W, 3] of `SIZE`: the parts on a bare wall."""
    height, width = SIZE
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = WALL
    for colour, *corners in parts:
        left, top, right, bottom = (
            round(share * side) for share, side in zip(corners, (width, height) * 2, strict=True)
        )
        cv2.rectangle(rgb, (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)
    return rgb


def main() -> None:
    """Write the plans."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--growing", type=int, metavar="FRAMES", help="frames of one plan, part by part")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    if args.out.exists():
        raise SystemExit(f"error: {args.out} exists: remove it, or give another folder")
    args.out.mkdir(parents=True)
    if args.growing:
        parts = plan(rng)
        plans = [
            parts[: round(len(parts) * min(1.0, 1.15 * number / args.growing))]
            for number in range(args.growing)
        ]
    else:
        plans = [plan(rng) for _ in range(args.count)]
    for number, parts in enumerate(plans):
        save_image(args.out / f"{number:04}.png", drawn(parts))


if __name__ == "__main__":
    main()
