"""Whether a backend works here, tried with a tiny network."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rt.backends.base import Backend
from rt.errors import BackendError

PROBE_MODEL = Path(__file__).with_name("probe.onnx")
"""uint8[N, H, W, 3] → Cast to float32 → 255 - x → Cast to uint8."""


def try_backend(name: str, load: Callable[[str, Path, tuple[int, int]], Backend]) -> tuple[str, str | None]:
    """Translate a tiny image with a backend and return its device and its package's version.

    Raises:
        BackendError: the backend is not installed, cannot load a network, or computes a wrong image.
    """
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    backend = load(name, PROBE_MODEL, (8, 8))
    try:
        found = backend.translate(image)
    finally:
        backend.close()
    expected = image if name == "identity" else 255 - image
    if not np.array_equal(found, expected):
        raise BackendError(f"backend {name} cannot be used: it computes a wrong image from a tiny network")
    return backend.info.device, None if name == "identity" else importlib.metadata.version(name)
