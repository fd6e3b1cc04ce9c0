"""Somebody else's image-to-image ONNX → a style folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from engines.errors import AdoptError, PrecisionError
from engines.framing import (
    FLOATS,
    Channels,
    Convention,
    Layout,
    Range,
    add_pixels,
    check_channels,
    guess_layout,
    guess_range,
    picture_ports,
    spatial_size,
)
from engines.precision import lowered, opset, read_onnx, with_opset
from engines.quality import Network
from rt.card import NAME_PATTERN, Card, describe_model, file_sha256, write_card
from rt.errors import VideobrushError
from rt.frame import Rgb
from rt.replacing import replacing
from rt.styles import GALLERY, styles_folder

_OPSET = 13
"""Older networks are converted: Clip and Round, which are added, are newer than some."""
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LEAST_PX = 16


@dataclass(frozen=True)
class Adoption:
    """What is to be adopted, and as what; None is guessed."""

    file: Path
    layout: Layout | None = None
    range: Range | None = None
    channels: Channels | None = None
    name: str | None = None
    out: Path | None = None
    """The style's folder, which must not exist; None: among the user's own styles."""
    title: str | None = None
    size_px: int = 256
    """Short side of the network's picture, where it takes several."""


@dataclass(frozen=True)
class Sizes:
    """The pictures a network takes."""

    multiple: int
    minimum_px: int
    fixed: tuple[int, int] | None = None
    """(height, width) where it takes no other."""

    def __str__(self) -> str:
        if self.fixed is not None:
            return f"{self.fixed[0]}x{self.fixed[1]} (height x width) alone, as the file says"
        return f"multiples of {self.multiple} from {self.minimum_px} px on, as trying showed"


def adopt(adoption: Adoption, say: Callable[[str], None]) -> Path:
    """Write a style around a foreign network and return its folder; `say` is told what was guessed.

    Raises:
        AdoptError: the network is not one picture in and one of the same size out, its convention cannot be
            guessed, or the style cannot be written.
        PrecisionError: the file cannot be read as ONNX.
    """
    name = adoption.name or _name_of(adoption.file)
    if not NAME_PATTERN.fullmatch(name):
        raise AdoptError(
            f"--name {name!r} is no style name: use lower-case letters, digits, '-' and '_', a letter first"
        )
    out = adoption.out or styles_folder() / name
    if adoption.out is None and (GALLERY / name).is_dir():
        raise AdoptError(
            f"--name {name} is a bundled style, which this one would hide: "
            "give another --name, or a folder with --out"
        )
    if out.exists():
        raise AdoptError(f"{out} exists: give another --name or --out")
    model = _of_known_opset(read_onnx(adoption.file), say)
    convention = _convention(adoption, model, say)
    framed = add_pixels(model, convention)
    sizes = find_sizes(framed, spatial_size(model, convention.layout), adoption.file)
    say(f"sizes: {sizes}")
    _write(adoption, name, out, framed, convention, sizes)
    return out


def find_sizes(framed: Any, fixed: tuple[int, int] | None, file: Path) -> Sizes:
    """Find out by trying which pictures a network takes and gives back in the same size.

    Raises:
        AdoptError: none.
    """
    network = Network(framed)
    if fixed is not None:
        if reason := _refusal(network, fixed):
            raise AdoptError(f"{file} is no picture-to-picture network: {reason}")
        # Not used for anything but a card's range checks: the fixed size alone counts.
        return Sizes(1, min(fixed), fixed)
    reason = None
    for multiple in _MULTIPLES:
        # Odd multiples of it: none of them is a multiple of the next.
        times = -(-48 // multiple) | 1
        reason = _refusal(network, (multiple * times, multiple * (times + 2)))
        if reason is None:
            return Sizes(multiple, _minimum(network, multiple))
    raise AdoptError(f"{file} is no picture-to-picture network, whatever the size: {reason}")


def _minimum(network: Network, multiple: int) -> int:
    least = -(-_LEAST_PX // multiple)
    sides = [multiple * times for times in range(least, least + 16)]
    return next((side for side in sides if _refusal(network, (side, side)) is None), sides[-1])


def _refusal(network: Network, size: tuple[int, int]) -> str | None:
    """Return why a network does not turn a picture of this size into one of the same size."""
    try:
        network.translate(_drawn(size))
    except VideobrushError as error:
        return f"for a picture of {size[0]}x{size[1]} {error}"
    return None


def _drawn(size: tuple[int, int]) -> Rgb:
    """Return uint8[H, W, 3]: ramps in every channel."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    ramps = np.stack([255 * x / size[1], 255 * y / size[0], 255 - 255 * x / size[1]], axis=-1)
    return ramps.astype(np.uint8)


def _of_known_opset(model: Any, say: Callable[[str], None]) -> Any:
    """Return the network in operators that every runtime has; one that has no such form stays as it is."""
    try:
        return with_opset(lowered(model), _OPSET)
    except PrecisionError as error:
        if opset(model) < _OPSET:
            raise
        say(f"opset: {opset(model)} stays, which TensorRT 10.3 may refuse: {error}")
        return model


def _convention(adoption: Adoption, model: Any, say: Callable[[str], None]) -> Convention:
    """Return how the network takes its picture: as was said, else as can be guessed."""
    picture_in, _ = picture_ports(model, adoption.file)
    kind = picture_in.type.tensor_type.elem_type
    if kind not in FLOATS:
        name = onnx.TensorProto.DataType.Name(kind).lower()
        raise AdoptError(f"{adoption.file} takes {name}, only float32 and float16 can be adopted")
    layout = adoption.layout
    if layout is None:
        layout, reason = guess_layout(picture_in, adoption.file)
        say(f"layout: {layout} (guessed: {reason})")
    check_channels(picture_in, layout, adoption.file)
    scale = adoption.range
    guessed, reason = guess_range(model)
    if scale is None:
        if guessed is None:
            raise AdoptError(
                f"the range of {adoption.file} cannot be guessed: {reason}; "
                "type --range 0..1, --range -1..1 or --range 0..255"
            )
        scale = guessed
        say(f"range: {scale} (guessed: {reason})")
    elif guessed is not None and guessed != scale:
        say(f"range: {scale} as asked for, although {reason}, which speaks for {guessed}")
    if adoption.channels is None:
        say("channels: rgb (assumed: nothing in a network tells; if colours are swapped, --channels bgr)")
    return Convention(layout, scale, adoption.channels or "rgb")


def _write(
    adoption: Adoption, name: str, out: Path, framed: Any, convention: Convention, sizes: Sizes
) -> None:
    try:
        with replacing(out) as part:
            part.mkdir(parents=True)
            onnx.save(framed, part / "model.onnx")
            write_card(_card(adoption, name, part, framed, convention, sizes), part)
    except OSError as error:
        raise AdoptError(f"style {out} cannot be written: {error.strerror}") from None


def _card(
    adoption: Adoption, name: str, folder: Path, framed: Any, convention: Convention, sizes: Sizes
) -> Card:
    minimum_px = sizes.minimum_px
    return Card(
        name=name,
        title=adoption.title or f"Adopted from {adoption.file.name}",
        multiple=sizes.multiple,
        minimum_px=minimum_px,
        size_px=minimum_px if sizes.fixed is not None else max(adoption.size_px, minimum_px),
        models={"fp32": describe_model(folder / "model.onnx")},
        recipe="adopted",
        network={
            "file": adoption.file.name,
            "sha256": file_sha256(adoption.file),
            "layout": convention.layout,
            "range": convention.range,
            "channels": convention.channels,
            "parameters": sum(numpy_helper.to_array(tensor).size for tensor in framed.graph.initializer),
        },
        faults=("Adopted from elsewhere: what it does well and badly was not measured.",),
        fixed_size=sizes.fixed,
    )


def _name_of(file: Path) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-_")[:40]
