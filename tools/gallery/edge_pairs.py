"""Make the data folder for sketches: drawings and edges beside their photos.

    python tools/gallery/edge_pairs.py DATA OUT [--side 176]

DATA has train and test with drawing and photo side by side. OUT gets each photo twice: beside its drawing,
and beside the edges that a camera's image is turned into, so that the style takes both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rt.view import look_at
from train.data.folders import read_pairs
from train.data.images import save_image


def main() -> None:
    """Write the pairs of both splits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=176, help="side of the images: --load-size of the run")
    args = parser.parse_args()
    for split in ("train", "test"):
        (args.out / split).mkdir(parents=True)
        drawings, photos = read_pairs(args.data, split, "none", "AtoB", args.side)
        for number, (drawing, photo) in enumerate(zip(drawings, photos, strict=True)):
            for kind, lines in (("drawn", drawing), ("found", look_at(photo, "edges"))):
                save_image(args.out / split / f"{number:04}-{kind}.png", np.hstack([lines, photo]))


if __name__ == "__main__":
    main()
