"""A foreign image-to-image ONNX becomes a style folder."""

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
from engines.io_nodes import (
    TYPES,
    Channels,
    Convention,
    Conventions,
    Layout,
    Range,
    add_pixels,
    check_channels,
    guess_layout,
    guess_range,
    image_ports,
    spatial_size,
)
from engines.onnx_model import lowered, opset, read_onnx, with_opset
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
    layout_out: Layout | None = None
    """The layout of the output; None: what its shape shows, else the input's."""
    range_out: Range | None = None
    """The range of the output; None: the input's."""
    channels: Channels | None = None
    name: str | None = None
    out: Path | None = None
    """The style's folder, which must not exist; None: among the user's own styles."""
    title: str | None = None
    size_px: int = 256
    """Short side of the network's image, where it takes several."""


@dataclass(frozen=True)
class Sizes:
    """The images a network takes."""

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
        AdoptError: the network is not one image in and one of the same size out, its convention cannot be
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
    check_weights(model, adoption.file)
    conventions = _conventions(adoption, with_shapes(model), say)
    framed = add_pixels(model, conventions)
    sizes = find_sizes(framed, spatial_size(model, conventions.taken.layout), adoption.file)
    say(f"sizes: {sizes}")
    _write(adoption, name, out, framed, conventions, sizes)
    return out


def find_sizes(framed: Any, fixed: tuple[int, int] | None, file: Path) -> Sizes:
    """Find out by trying which images a network takes and gives back in the same size.

    Raises:
        AdoptError: it takes none.
    """
    network = Network(framed)
    if fixed is not None:
        if reason := _refusal(network, fixed):
            raise AdoptError(f"{file} is not an image-to-image network: {reason}")
        # Not used for anything but a card's range checks: the fixed size alone counts.
        return Sizes(1, min(fixed), fixed)
    reason = None
    for multiple in _MULTIPLES:
        # Odd multiples of it: none of them is a multiple of the next.
        times = -(-48 // multiple) | 1
        reason = _refusal(network, (multiple * times, multiple * (times + 2)))
        if reason is None:
            return Sizes(multiple, _minimum(network, multiple))
    raise AdoptError(f"{file} is not an image-to-image network, whatever the size: {reason}")


def _minimum(network: Network, multiple: int) -> int:
    least = -(-_LEAST_PX // multiple)
    sides = [multiple * times for times in range(least, least + 16)]
    return next((side for side in sides if _refusal(network, (side, side)) is None), sides[-1])


def _refusal(network: Network, size: tuple[int, int]) -> str | None:
    """Return why a network does not turn an image of this size into one of the same size."""
    try:
        network.translate(_drawn(size))
    except VideobrushError as error:
        return f"for an image of {size[0]}x{size[1]} {error}"
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


def _conventions(adoption: Adoption, model: Any, say: Callable[[str], None]) -> Conventions:
    """Return how the network takes and gives its image: as was said, else as can be guessed."""
    port_in, port_out = image_ports(model, adoption.file)
    kind = port_in.type.tensor_type.elem_type
    if kind not in TYPES:
        name = onnx.TensorProto.DataType.Name(kind).lower()
        raise AdoptError(f"{adoption.file} takes {name}, only float32, float16 and uint8 can be adopted")
    layout, layout_out = _layouts(adoption, port_in, port_out, say)
    check_channels(port_in, layout, adoption.file)
    range_in, range_out = _ranges(adoption, model, kind == onnx.TensorProto.UINT8, say)
    if adoption.channels is None:
        say("channels: rgb (assumed: nothing in a network tells; if colours are swapped, --channels bgr)")
    channels = adoption.channels or "rgb"
    return Conventions(Convention(layout, range_in, channels), Convention(layout_out, range_out, channels))


def _layouts(
    adoption: Adoption, port_in: Any, port_out: Any, say: Callable[[str], None]
) -> tuple[Layout, Layout]:
    """Return the layouts of input and output."""
    guessed, shape = guess_layout(port_in)
    layout = adoption.layout or guessed
    if layout is None:
        raise AdoptError(
            f"the layout of {adoption.file} cannot be guessed: its input {port_in.name} is {shape}; "
            "type --layout nchw or --layout nhwc"
        )
    if adoption.layout is None:
        say(f"layout: {layout} (guessed: the input is {shape})")
    if adoption.layout_out is not None:
        return layout, adoption.layout_out
    guessed_out, shape_out = guess_layout(port_out)
    if guessed_out not in (None, layout):
        say(f"layout of the output: {guessed_out} (guessed: it is {shape_out})")
    return layout, guessed_out or layout


def _ranges(
    adoption: Adoption, model: Any, takes_bytes: bool, say: Callable[[str], None]
) -> tuple[Range, Range]:
    """Return the ranges of input and output."""
    guessed, reason = guess_range(model)
    if takes_bytes:
        if adoption.range not in (None, "0..255"):
            raise AdoptError(f"{adoption.file} takes uint8: its range is 0..255, not {adoption.range}")
        if adoption.range is None:
            say("range: 0..255 (the input is uint8)")
        return "0..255", adoption.range_out or guessed or "0..255"
    found = adoption.range or guessed
    if found is None:
        raise AdoptError(
            f"the range of {adoption.file} cannot be guessed: {reason}; "
            "type --range 0..1, --range -1..1 or --range 0..255"
        )
    given = adoption.range_out or found
    if adoption.range is None:
        other = "" if adoption.range_out else "; where the input's differs: --range and --range-out"
        say(f"range: {found} (guessed: {reason}{other if guessed == '0..255' else ''})")
    if guessed not in (None, given):
        of_output = "" if given == adoption.range else " of the output"
        say(f"range{of_output}: {given} as asked for, although {reason}, which speaks for {guessed}")
    return found, given


def with_shapes(model: Any) -> Any:
    """Return the model with the shapes that can be inferred; a copy."""
    try:
        return onnx.shape_inference.infer_shapes(model)
    except (RuntimeError, onnx.shape_inference.InferenceError):  # they help in guessing, no more
        return model


def check_weights(model: Any, file: Path) -> None:
    """Refuse weights that are no numbers.

    Raises:
        AdoptError: some are NaN or infinite.
    """
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and (count := int((~np.isfinite(values)).sum())):
            raise AdoptError(
                f"{file} is damaged: {count} of the {values.size} values of its weight {tensor.name} "
                "are NaN or infinite"
            )


def _write(
    adoption: Adoption, name: str, out: Path, framed: Any, conventions: Conventions, sizes: Sizes
) -> None:
    try:
        with replacing(out) as part:
            part.mkdir(parents=True)
            onnx.save(framed, part / "model.onnx")
            write_card(_card(adoption, name, part, framed, conventions, sizes), part)
    except OSError as error:
        raise AdoptError(f"style {out} cannot be written: {error.strerror}") from None


def _card(
    adoption: Adoption, name: str, folder: Path, framed: Any, conventions: Conventions, sizes: Sizes
) -> Card:
    minimum_px = sizes.minimum_px
    taken, given = conventions.taken, conventions.given
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
            "layout": taken.layout,
            "range": taken.range,
            **({"layout_out": given.layout} if given.layout != taken.layout else {}),
            **({"range_out": given.range} if given.range != taken.range else {}),
            "channels": taken.channels,
            "parameters": sum(numpy_helper.to_array(tensor).size for tensor in framed.graph.initializer),
        },
        faults=("Adopted from elsewhere: what it does well and badly was not measured.",),
        fixed_size=sizes.fixed,
    )


def _name_of(file: Path) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-_")[:40]
