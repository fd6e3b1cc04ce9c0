"""Frames to calibrate and compare with, and activation ranges on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import CalibrationError
from engines.quality import Network
from rt.card import Card
from rt.errors import DamagedSource, SourceError
from rt.fit import shrink, style_size
from rt.frame import Rgb
from rt.image import is_litter
from rt.log import LOG
from rt.sources import open_source
from rt.view import look_at

_SAMPLES = 1 << 21
"""Values of a tensor that its percentile is taken from, at most."""


def read_images(
    addresses: Sequence[str], card: Card, count: int, size: tuple[int, int] | None = None
) -> list[list[Rgb]]:
    """Return up to `count` frames of each clip, evenly spread, as the network sees them.

    A folder stands for the clips and images in it. One list for each clip, in time's order; every frame is
    uint8[H, W, 3] RGB, of `size` = (height, width) or of the style's own choice.

    Raises:
        CalibrationError: a folder holds nothing that can be read, or a source is live.
        SourceError: a clip that was named cannot be read.
    """
    clips: list[list[Rgb]] = []
    for address in addresses:
        if not Path(address).is_dir():
            clips.append(_read_clip(address, card, count, size))
            continue
        found = list(_read_folder(Path(address), card, count, size))
        if not found:
            raise CalibrationError(f"folder {address} holds no clip or image that can be read")
        clips += found
    return clips


def hold_out(clips: Sequence[Sequence[Rgb]]) -> tuple[list[Rgb], list[Rgb]]:
    """Return the frames to calibrate with and those held out: the last third of every clip.

    A clip of one or two frames, an image say, goes to one side as a whole: every third is held out.

    Raises:
        CalibrationError: too few frames for two sides.
    """
    use: list[Rgb] = []
    held: list[Rgb] = []
    short = 0
    for clip in clips:
        if len(clip) < 3:
            short += 1
            (held if short % 3 == 0 else use).extend(clip)
            continue
        cut = len(clip) - len(clip) // 3
        use += clip[:cut]
        held += clip[cut:]
    if not use or not held:
        raise CalibrationError(
            f"{len(use) + len(held)} frame(s) are too few to calibrate with some and compare with others: "
            "give --frames a clip of 3 frames or more, or name clips to compare with by --held-out"
        )
    return use, held


def activation_ranges(
    model: Any, tensors: Sequence[str], images: Iterable[Rgb], percentile: float
) -> dict[str, float]:
    """Return the magnitude that `percentile` percent of a tensor's values stay within, by tensor.

    It is taken image by image and the largest counts: what one bright image needs is not averaged away.

    Raises:
        PrecisionError: ONNX Runtime cannot run the network.
    """
    names = list(dict.fromkeys(tensors))
    network = Network(model, names)
    ranges = dict.fromkeys(names, 0.0)
    for rgb in images:
        for name, values in network.look_inside(rgb).items():
            magnitudes = np.abs(values).ravel()
            magnitudes = magnitudes[:: max(1, magnitudes.size // _SAMPLES)]
            ranges[name] = max(ranges[name], float(np.percentile(magnitudes, percentile)))
    return ranges


def _read_folder(folder: Path, card: Card, count: int, size: tuple[int, int] | None) -> Iterator[list[Rgb]]:
    for path in sorted(folder.iterdir()):
        if is_litter(path) or not path.is_file():
            continue
        try:
            yield _read_clip(str(path), card, count, size)
        except SourceError as error:
            LOG.warning("passed over: %s", error)


def _read_clip(address: str, card: Card, count: int, size: tuple[int, int] | None) -> list[Rgb]:
    """Return up to `count` evenly spread frames; the length of a clip need not be known beforehand."""
    source = open_source(address)
    if source.live:
        source.close()
        raise CalibrationError(
            f"{address} is live: it has no length to spread frames over; record it and give --frames the file"
        )
    size = size or style_size(card, source.info.height, source.info.width)
    kept: list[Rgb] = []
    stride = 1
    try:
        for number, frame in enumerate(source):
            if number % stride:
                continue
            kept.append(np.array(look_at(shrink(frame.rgb, size), card.view)))
            if len(kept) == 2 * count:
                kept = kept[::2]
                stride *= 2
    except DamagedSource as error:
        LOG.warning("%s; the frames before are used", error)
    finally:
        source.close()
    chosen = np.linspace(0, len(kept) - 1, min(count, len(kept))).round().astype(int)
    return [kept[number] for number in chosen]
