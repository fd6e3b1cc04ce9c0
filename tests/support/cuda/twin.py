"""The kernels of rt/cuda/fit.cu compiled for the CPU: what a GPU's would give."""

from __future__ import annotations

import ctypes
import struct

import numpy as np
import numpy.typing as npt

from rt.cuda.kernels import BLOCK, grid
from rt.cuda.layout import FrameLayout

Rgb = npt.NDArray[np.uint8]
Packed = npt.NDArray[np.uint8]
"""uint8[bytes]: a frame's planes one behind the other."""
Numbers = tuple[float, float, float]
"""Strength, and the shares of red and blue in the brightness."""


class Twin:
    """The kernels of a library that has `twin_run`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def shrink(self, frame: Rgb, size: tuple[int, int]) -> Rgb:
        """Return the frame uint8[H, W, 3] averaged over areas: uint8[*size, 3]."""
        frame, small = np.ascontiguousarray(frame), np.full((*size, 3), 77, np.uint8)
        self._run("shrink", size, frame, *frame.shape[:2], small, *size)
        return small

    def apply_residual(self, frame: Rgb, small_in: Rgb, small_out: Rgb, strength: float) -> Rgb:
        """Return the frame with the residual applied."""
        applied, number = np.full_like(frame, 77), np.array([strength], np.float32)
        size, small_size = frame.shape[:2], small_in.shape[:2]
        self._run("apply_residual", size, frame, *size, number, small_in, small_out, *small_size, applied)
        return applied

    def shrink_planes(
        self, frame: Packed, layout: FrameLayout, numbers: Numbers, size: tuple[int, int]
    ) -> Rgb:
        """Return a frame of planes averaged over areas, as RGB: uint8[*size, 3]."""
        small, given = np.full((*size, 3), 77, np.uint8), np.array([*numbers, 0], np.float32)
        interleaved = int(layout.format == "nv12")
        self._run("shrink_planes", size, frame, *layout.size, interleaved, given, small, *size)
        return small

    def apply_planes(
        self, frame: Packed, layout: FrameLayout, numbers: Numbers, small_in: Rgb, small_out: Rgb
    ) -> Packed:
        """Return a frame of planes with the residual applied."""
        laid, given = np.full_like(frame, 77), np.array([*numbers, 0], np.float32)
        interleaved, small_size = int(layout.format == "nv12"), small_in.shape[:2]
        self._run(
            *("apply_planes", layout.size, frame, *layout.size, interleaved),
            *(given, small_in, small_out, *small_size, laid),
        )
        return laid

    def _run(self, name: str, size: tuple[int, ...], *given: object) -> None:
        arguments = b""
        for argument in given:
            if isinstance(argument, np.ndarray):
                assert argument.flags.c_contiguous
                arguments += b"\0" * (-len(arguments) % 8) + struct.pack("P", argument.ctypes.data)
            else:
                arguments += struct.pack("i", argument)
        three = ctypes.c_uint * 3
        blocks = three(*grid((size[0], size[1])), 1)
        assert self._library.twin_run(name.encode(), blocks, three(*BLOCK), arguments)
