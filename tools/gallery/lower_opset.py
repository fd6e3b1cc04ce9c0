"""Convert the networks of styles to the newest ONNX operators that every runtime takes.

    python -m tools.gallery.lower_opset rt/gallery/winter ...

The pictures must stay the same to the bit on ONNX Runtime and OpenVINO, or nothing is written. For styles
that were exported with newer operators; `frameshift-train export` writes the right ones.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from engines.precision import lowered, opset, read_onnx
from rt.backends.onnxruntime import OnnxRuntimeBackend
from rt.backends.openvino import OpenVinoBackend
from rt.card import HIGHEST_OPSET, Card, describe_model, read_card, write_card
from rt.demo import CLIP
from rt.errors import FrameshiftError
from rt.fit import shrink, style_size
from rt.sources import open_source


def main() -> int:
    """Convert each folder's networks that need it; one line for each."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folders", nargs="+", type=Path, help="folders of styles")
    try:
        for folder in made.parse_args().folders:
            lower(folder)
    except FrameshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def lower(folder: Path) -> None:
    """Convert the networks of one style and put their new checksums on its card."""
    card = read_card(folder)
    for precision, model in card.models.items():
        path = folder / model.file
        before = onnx.load(path)
        if opset(before) <= HIGHEST_OPSET:
            print(f"{path}: opset {opset(before)} stays")
            continue
        part = path.with_name(path.name + ".part")
        try:
            onnx.save(lowered(read_onnx(path)), part)
            compare(card, precision, path, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        card = replace(card, models={**card.models, precision: describe_model(path)})
        write_card(card, folder)
        print(f"{path}: opset {opset(before)} became {HIGHEST_OPSET}, the same pictures")


def compare(card: Card, precision: str, before: Path, after: Path) -> None:
    """Refuse a network that gives other pictures than the one before, on either backend."""
    source = open_source(str(CLIP))
    frame = next(iter(source)).rgb
    source.close()
    for short_px in (None, card.minimum_px) if card.fixed_size is None else (None,):
        size = style_size(card, frame.shape[0], frame.shape[1], short_px)
        small = shrink(frame, size)[None]
        for kind in (OnnxRuntimeBackend, OpenVinoBackend):
            pictures = []
            for path in (before, after):
                backend = kind(path, size, precision)
                pictures.append(backend.translate(small))
                backend.close()
            if not np.array_equal(pictures[0], pictures[1]):
                raise FrameshiftError(
                    f"{before} gives other pictures of {size} on {kind.name}: left as it is"
                )


if __name__ == "__main__":
    sys.exit(main())
