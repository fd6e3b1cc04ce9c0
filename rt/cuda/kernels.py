"""The kernels of fit.cu, for RGB and for planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rt.cuda.device import Device
from rt.cuda.driver import told
from rt.cuda.layout import FrameLayout
from rt.cuda.nvrtc import compile_source

SOURCE = Path(__file__).with_name("fit.cu")
BLOCK = (32, 8, 1)
"""Threads side by side: a warp writes neighbouring pixels of one row."""


class FitKernels:
    """The kernels, compiled for the device's kind of GPU. All calls within `Device.current()`.

    Images are addresses on the GPU of uint8[height, width, 3] RGB without gaps; nothing is allocated. What
    queues a kernel returns why it was refused, None where it was not; see `rt.cuda.slot.Enqueue`.
    """

    def __init__(self, device: Device) -> None:
        """Compile and load the kernels.

        Raises:
            BackendError: NVIDIA's compiler is missing, or the GPU refuses the code.
        """
        self._driver = device.driver
        compiled = compile_source(SOURCE.read_text(encoding="utf-8"), device.gpu.compute_capability)
        with told(device.driver, "load the kernels that fit frames"):
            self._module: Any = device.driver.module_from_buffer(compiled.cubin)
            self._shrink: Any = self._module.get_function("shrink")
            self._apply_residual: Any = self._module.get_function("apply_residual")
            self._shrink_planes: Any = self._module.get_function("shrink_planes")
            self._apply_planes: Any = self._module.get_function("apply_planes")

    def shrink(
        self, stream: Any, frame: int, size: tuple[int, int], small: int, small_size: tuple[int, int]
    ) -> str | None:
        """Queue: the frame of `size` = (height, width), averaged over areas, into `small`."""
        arguments = (_at(frame), *_whole(size), _at(small), *_whole(small_size))
        return self._launch(self._shrink, arguments, small_size, stream)

    def apply_residual(
        self,
        stream: Any,
        frame: int,
        size: tuple[int, int],
        strength: int,
        small: tuple[int, int],
        small_size: tuple[int, int],
        result: int,
    ) -> str | None:
        """Queue: the frame and what the network changed, enlarged, into `result`.

        `strength` is the address of a float32, `small` are those of the network's image in and out.
        """
        arguments = (
            _at(frame),
            *_whole(size),
            *map(_at, (strength, *small)),
            *_whole(small_size),
            _at(result),
        )
        return self._launch(self._apply_residual, arguments, size, stream)

    def shrink_planes(
        self,
        stream: Any,
        frame: int,
        layout: FrameLayout,
        numbers: int,
        small: int,
        small_size: tuple[int, int],
    ) -> str | None:
        """Queue: the frame of planes, averaged over areas, into `small` as RGB.

        `numbers` is the address of three float32: strength, and the shares of red and blue in the brightness.
        """
        arguments = (*_planes(frame, layout, numbers), _at(small), *_whole(small_size))
        return self._launch(self._shrink_planes, arguments, small_size, stream)

    def apply_planes(
        self,
        stream: Any,
        frame: int,
        layout: FrameLayout,
        numbers: int,
        small: tuple[int, int],
        small_size: tuple[int, int],
        result: int,
    ) -> str | None:
        """Queue: the frame of planes and the network's residual, enlarged, into `result`, planes as well."""
        arguments = (
            *_planes(frame, layout, numbers),
            *map(_at, small),
            *_whole(small_size),
            _at(result),
        )
        return self._launch(self._apply_planes, arguments, layout.size, stream)

    def close(self) -> None:
        """Unload the kernels; nothing queued may need them any more. Works twice."""
        self._module = self._shrink = self._apply_residual = None
        self._shrink_planes = self._apply_planes = None

    def _launch(
        self, kernel: Any, arguments: tuple[Any, ...], size: tuple[int, int], stream: Any
    ) -> str | None:
        """Queue a kernel with a thread for each of (height, width) pixels."""
        try:
            kernel(*arguments, block=BLOCK, grid=grid(size), stream=stream)
        except self._driver.Error as error:
            return " ".join(str(error).split())
        return None


def _at(address: int) -> Any:
    return np.uintp(address)


def _planes(frame: int, layout: FrameLayout, numbers: int) -> tuple[Any, ...]:
    return _at(frame), *_whole(layout.size), np.int32(layout.format == "nv12"), _at(numbers)


def _whole(size: tuple[int, int]) -> tuple[np.int32, np.int32]:
    return np.int32(size[0]), np.int32(size[1])


def grid(size: tuple[int, int]) -> tuple[int, int]:
    """Return how many blocks side by side and one above another cover (height, width) pixels."""
    return -(-size[1] // BLOCK[0]), -(-size[0] // BLOCK[1])
