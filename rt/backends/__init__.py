"""What computes a picture."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt


class Backend(Protocol):
    """A style's network, loaded on one device, for pictures of one size."""

    name: str
    """`openvino`, `onnxruntime`, `identity`."""
    device: str
    """The device in words: `CPU (Intel Xeon ..., 2 threads)`."""
    precision: str
    """What is really computed: `fp32`, `fp16`, `int8`."""

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB to the same shape.

        The input is neither kept nor changed; the result is the caller's and no later call writes to it.

        Raises:
            BackendError: the network failed, or returned something that is not uint8[N, H, W, 3].
        """
        ...

    def close(self) -> None:
        """Release the device. Works twice."""
        ...
