"""One style as a function from image to image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from ._errors import BackendError
from ._runtime import runtime

if TYPE_CHECKING:  # importing videobrush loads nothing heavy
    import numpy as np
    import numpy.typing as npt

_KEPT = 4
"""Networks that are kept loaded: each is compiled for one size of the network's image."""


def load(
    style: str | Path,
    *,
    backend: Literal["auto", "openvino", "onnxruntime", "tensorrt", "identity"] = "auto",
    precision: Literal["auto", "fp32", "fp16", "int8", "bf16", "int8+bf16"] = "auto",
    size: int | None = None,
    strength: float = 1.0,
    steady: float = 0.0,
    detail: Literal["auto", "keep", "network"] = "auto",
) -> LoadedStyle:
    """Load a style: the result is a function from image to image, `uint8[H, W, 3]` RGB both.

    Args:
        style: name or folder of a style; `styles()` lists them.
        backend: what computes the images; auto takes a TensorRT engine built here, else the CPU's quickest.
        precision: what the network is computed in; auto takes the quickest here, measured once for at most a
            second where the CPU does not tell.
        size: short side in pixels of the network's image, None for the style's own; more is finer and slower.
        strength: how much of the residual is applied to the image, in [0, 1].
        steady: how much images that follow each other are smoothed in time, in [0, 1]; 0 for single images.
        detail: keep: the image's own fine detail stays. network: the network's image, enlarged. auto: the
            style's.

    Raises:
        StyleError: there is no such style, or it is damaged.
        ValueError: strength, steady or detail is out of range.
    """
    return LoadedStyle(style, backend, precision, size, strength, steady, detail)


class LoadedStyle:
    """A style as a function; see `load`. Any thread may call it; calls take turns.

    The network is loaded with the first image, and again for an image whose shape needs another network size;
    the last four are kept.
    """

    def __init__(
        self,
        style: str | Path,
        backend: str,
        precision: str,
        size: int | None,
        strength: float,
        steady: float,
        detail: str,
    ) -> None:
        if detail not in ("auto", "keep", "network"):
            raise ValueError(f"detail is {detail!r}, not one of auto, keep, network")
        self._controls = runtime("controls").Controls(strength=strength, steady=steady)
        self._style = runtime("styles").find_style(style)
        self._backend, self._precision, self._size_px = backend, precision, size
        self._detail = None if detail == "auto" else detail
        self._translators: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._count = 0
        self._lock = threading.Lock()
        self._closed = False

    @property
    def name(self) -> str:
        """The style's name."""
        return str(self._style.name)

    def __call__(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate `uint8[H, W, 3]` RGB of any size to a new array of the same shape.

        The input is neither kept nor changed.

        Raises:
            ValueError: it is no `uint8[H, W, 3]`.
            BackendError: the backend does not work here, or it failed; the style is closed.
        """
        import numpy as np

        _check(rgb)
        with self._lock:
            if self._closed:
                raise BackendError(f"style {self.name} is closed and cannot translate")
            frame = runtime("frame").Frame(
                np.ascontiguousarray(rgb), self._count, Fraction(1, 30), self._count
            )
            self._count += 1
            found: npt.NDArray[np.uint8] = self._translator(*rgb.shape[:2]).translate(frame).rgb
        return found.copy() if np.may_share_memory(found, rgb) else found

    def close(self) -> None:
        """Release the networks. Works twice."""
        with self._lock:
            self._closed = True
            while self._translators:
                self._translators.popitem()[1].close()

    def __enter__(self) -> LoadedStyle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _translator(self, height: int, width: int) -> Any:
        """Return what translates images of this size, the network loaded where it is not."""
        size = runtime("fit").style_size(self._style.card, height, width, self._size_px)
        if size not in self._translators:
            choice = runtime("backends").open_backend(self._backend, self._style, size, self._precision)
            self._translators[size] = runtime("translator").Translator(
                choice.backend, self._controls, self._detail
            )
            if len(self._translators) > _KEPT:
                self._translators.popitem(last=False)[1].close()
        self._translators.move_to_end(size)
        return self._translators[size]


def _check(rgb: Any) -> None:
    shape, dtype = getattr(rgb, "shape", None), getattr(rgb, "dtype", None)
    if shape is not None and dtype == "uint8" and len(shape) == 3 and shape[2] == 3 and min(shape) > 0:
        return
    found = type(rgb).__name__ if shape is None else f"{dtype}{list(shape)}"
    raise ValueError(f"an image is uint8[H, W, 3] RGB; {found} was given")
