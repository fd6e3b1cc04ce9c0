"""The backend protocol, what is said of a backend, and images in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from rt.card import Card, Detail

if TYPE_CHECKING:  # help reads the table of kinds: nothing heavy is loaded for it
    import numpy as np
    import numpy.typing as npt

    from rt.cuda.layout import FrameFormat, Plane

BackendName = Literal["auto", "openvino", "onnxruntime", "tensorrt", "identity"]
"""What `--backend` takes."""
PrecisionName = Literal["auto", "fp32", "fp16", "int8", "bf16", "int8+bf16"]
"""What `--precision` takes; the last two are forms of OpenVINO, see `rt.backends.forms`."""
Mode = Literal["latency", "throughput"]
"""latency: one image as soon as possible. throughput: as many images as possible, several in flight."""


@dataclass(frozen=True)
class BackendInfo:
    """What is said of an open backend."""

    name: str
    """`openvino`, `onnxruntime`, `tensorrt`, `identity`."""
    device: str
    """The device in words: `CPU (Intel Xeon ..., 2 threads)`."""
    precision: str
    """What is really computed: `fp32`, `fp16`, `int8`, `bf16`, `int8+bf16`."""
    size: tuple[int, int]
    """(height, width) in pixels of the images it takes."""
    slots: int = 1
    """How many images it can hold in flight, at least 1."""
    detail: Detail = "keep"
    """How its result is applied to the frame by default."""
    frame_size: tuple[int, int] | None = None
    """(height, width) in pixels of the whole frames it takes; None where it takes none."""
    frame_format: FrameFormat = "rgb24"
    """How those frames lie in memory."""


class Pending(Protocol):
    """An image in flight."""

    def result(self) -> npt.NDArray[np.uint8]:
        """Wait for the translation and return it, as `Backend.translate` does. Called once.

        Raises:
            BackendError: as `Backend.translate`.
        """
        ...


class Backend(Protocol):
    """A style's network, loaded on one device, for images of one size."""

    info: BackendInfo

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB to the same shape.

        The input is neither kept nor changed; the result is the caller's and no later call writes to it.

        Raises:
            BackendError: the network failed, or returned something that is not uint8[N, H, W, 3].
        """
        ...

    def start(self, rgb: npt.NDArray[np.uint8]) -> Pending:
        """Begin to translate uint8[1, H, W, 3] RGB, and return at once where the device can work by itself.

        Results are taken in the order of the starts, and at most `info.slots` are started and not yet taken.
        The image must not be written to before its result is taken.

        Raises:
            BackendError: as `translate`.
        """
        ...

    def close(self) -> None:
        """Release the device; images in flight are given up. Works twice."""
        ...


@runtime_checkable
class FrameBackend(Backend, Protocol):
    """A backend that can also take whole frames of `info.frame_size` and fit them itself."""

    def start_frame(self, rgb: npt.NDArray[np.uint8], strength: float) -> Pending:
        """Begin to translate a frame uint8[1, H, W, 3] RGB of `info.frame_size`; otherwise as `start`.

        The result is the frame with the network's residual applied with `strength` in [0, 1]: what
        `rt.fit.shrink`, the network and `rt.fit.apply_residual` with detail `keep` give, within one level.

        Raises:
            BackendError: as `translate`, or it was not opened for frames.
        """
        ...

    def start_planes(self, planes: Sequence[Plane], strength: float, shares: tuple[float, float]) -> Pending:
        """Begin to translate a frame of `info.frame_format` that is no RGB; otherwise as `start_frame`.

        `planes` are as `FrameLayout.planes` has them, rows may lie apart; `shares` are those of red and blue
        in the brightness. The result is uint8[1, bytes] of the same layout, without gaps: what `rt.planes`
        gives for the network's image, within one level.

        Raises:
            BackendError: as `start_frame`.
        """
        ...


class LoadableStyle(Protocol):
    """What a backend needs of a style."""

    @property
    def card(self) -> Card:
        """The style's facts."""
        ...

    def model(self, precision: str = "fp32") -> Path:
        """Return the ONNX file of this precision, compared with its card."""
        ...


class Computed:
    """An image in flight that has arrived: of backends that compute while the caller waits."""

    def __init__(self, rgb: npt.NDArray[np.uint8]) -> None:
        self._rgb = rgb

    def result(self) -> npt.NDArray[np.uint8]:
        """Return the translation, uint8[1, H, W, 3] RGB."""
        return self._rgb


def translate_each(backend: Backend, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Translate uint8[N, H, W, 3] one by one, as many in flight as the backend can hold."""
    slots = backend.info.slots
    result: npt.NDArray[np.uint8] = rgb.copy()
    in_flight: deque[Pending] = deque()
    for begun in range(len(rgb) + slots):
        if begun >= slots:
            result[begun - slots] = in_flight.popleft().result()[0]
        if begun < len(rgb):
            in_flight.append(backend.start(rgb[begun : begun + 1]))
    return result
