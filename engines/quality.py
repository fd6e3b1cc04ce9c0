"""PSNR of a network's images against FP32's, on ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import helper

from engines.errors import PrecisionError
from rt.backends.cpu import cpu_threads
from rt.frame import Rgb
from rt.text import counted, one_line

GATES_DB: Mapping[str, float] = {"fp32": 50.0, "fp16": 50.0, "int8": 35.0}
"""The least PSNR against FP32 that each precision must reach."""
EXACT_DB = 100.0
"""What stands for the infinite PSNR of equal images."""
_FATAL = 4


@dataclass(frozen=True)
class Comparison:
    """Images of one network against those of another."""

    psnr_db: float
    """Over all pixels of all frames; at most `EXACT_DB`."""
    worst_db: float
    """Of the frame that differs most."""
    largest: int
    """Largest difference of any value, in levels."""
    frames: int

    def __str__(self) -> str:
        return (
            f"PSNR {self.psnr_db:.1f} dB on {counted(self.frames, 'frame')} "
            f"(worst frame {self.worst_db:.1f} dB, largest difference {counted(self.largest, 'level')})"
        )


class Network:
    """An ONNX model run by ONNX Runtime on the CPU."""

    def __init__(self, model: Any, extra_outputs: Sequence[str] = ()) -> None:
        """Load a model; `extra_outputs` names inner tensors that are to be looked at.

        Raises:
            PrecisionError: ONNX Runtime refuses the model.
        """
        self._extra = list(extra_outputs)
        options = ort.SessionOptions()
        options.intra_op_num_threads = cpu_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            self._session: Any = ort.InferenceSession(
                _with_outputs(model, self._extra), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no class in common but Exception
            raise PrecisionError(f"ONNX Runtime refuses the network: {one_line(error, 3)}") from None
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def translate(self, rgb: Rgb) -> Rgb:
        """Translate one image, uint8[H, W, 3] RGB.

        Raises:
            PrecisionError: the network fails, or gives something that is no such image.
        """
        found = self._run([self._output], rgb)[0]
        if found.dtype != np.uint8 or found.shape != (1, *rgb.shape):
            raise PrecisionError(
                f"the network gives {found.dtype}{list(found.shape)} for uint8{[1, *rgb.shape]}; "
                "export the style again"
            )
        translated: Rgb = found[0]
        return translated

    def look_inside(self, rgb: Rgb) -> dict[str, npt.NDArray[Any]]:
        """Return the inner tensors asked for, by name, of one image."""
        return dict(zip(self._extra, self._run(self._extra, rgb), strict=True))

    def _run(self, outputs: list[str], rgb: Rgb) -> list[npt.NDArray[Any]]:
        try:
            found: list[npt.NDArray[Any]] = self._session.run(
                outputs, {self._input: np.ascontiguousarray(rgb[None])}
            )
        except Exception as error:  # ONNX Runtime's errors have no class in common but Exception
            raise PrecisionError(f"ONNX Runtime cannot run the network: {one_line(error, 3)}") from None
        return found


def compare(wanted: Iterable[Rgb], found: Iterable[Rgb]) -> Comparison:
    """Compare images one by one; both iterables are equally long and not empty."""
    squares: list[float] = []
    largest = 0
    for a, b in zip(wanted, found, strict=True):
        difference = a.astype(np.int32) - b
        squares.append(float((difference**2).mean()))
        largest = max(largest, int(np.abs(difference).max()))
    return Comparison(
        psnr_db=round(psnr_db(float(np.mean(squares))), 2),
        worst_db=round(psnr_db(max(squares)), 2),
        largest=largest,
        frames=len(squares),
    )


def psnr_db(mean_square: float) -> float:
    """Return the PSNR of 8-bit images that differ by `mean_square` levels² on average."""
    return min(EXACT_DB, 10 * math.log10(255**2 / mean_square)) if mean_square > 0 else EXACT_DB


def _with_outputs(model: Any, names: list[str]) -> bytes:
    if not names:
        data: bytes = model.SerializeToString()
        return data
    wider = type(model)()
    wider.CopyFrom(model)
    for name in names:
        wider.graph.output.append(helper.make_empty_tensor_value_info(name))
    return bytes(wider.SerializeToString())
