"""Checks of networks, inputs and results, in the same words for every backend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rt.errors import BackendError


def check_input(name: str, rgb: npt.NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Refuse what is not uint8[N, H, W, 3] of the size the backend was opened for.

    Raises:
        BackendError: another type or shape was given.
    """
    if rgb.dtype == np.uint8 and rgb.ndim == 4 and rgb.shape[1:] == (*size, 3):
        return
    raise BackendError(
        f"backend {name} was opened for uint8[N, {size[0]}, {size[1]}, 3] and cannot translate "
        f"{describe(rgb.dtype, rgb.shape)}"
    )


def check_result(name: str, result: npt.NDArray[Any], wanted: tuple[int, ...]) -> None:
    """Refuse a network's result that is not uint8 of the input's shape.

    Raises:
        BackendError: another type or shape came out.
    """
    if result.dtype != np.uint8 or result.shape != wanted:
        raise BackendError(
            f"backend {name} got a wrong image from the network: {describe(result.dtype, result.shape)} "
            f"found, {describe('uint8', wanted)} needed; export the style again"
        )


def check_ports(model: Path, kind: str, ports: Sequence[tuple[str, Sequence[object]]]) -> None:
    """Refuse a network whose only `kind` (input, output) is not uint8[N, H, W, 3].

    `ports` has one (type, shape) for each; a dimension that is not an int is free.

    Raises:
        BackendError: another number, type or shape was found.
    """
    if len(ports) == 1:
        dtype, shape = ports[0]
        if dtype == "uint8" and len(shape) == 4 and (shape[3] == 3 or not isinstance(shape[3], int)):
            return
    found = " and ".join(describe(dtype, shape) for dtype, shape in ports) or "none"
    raise BackendError(
        f"{model} is not a videobrush network: {kind} {found} found, one uint8[N, H, W, 3] needed; "
        "export the style again"
    )


def check_fixed_size(model: Path, shape: Sequence[object], size: tuple[int, int]) -> None:
    """Refuse a network whose input has a fixed height and width other than `size`.

    Raises:
        BackendError: the network takes another size only.
    """
    if any(isinstance(fixed, int) and fixed != asked for fixed, asked in zip(shape[1:3], size, strict=True)):
        raise BackendError(
            f"{model} takes {shape[1]}x{shape[2]} only, {size[0]}x{size[1]} asked; "
            "export the style again with free height and width"
        )


def describe(dtype: object, shape: Sequence[object]) -> str:
    """Return a type and a shape in NumPy's notation: `uint8[1, 256, 456, 3]`."""
    return f"{dtype}[{', '.join(str(length) for length in shape)}]"
