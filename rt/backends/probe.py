"""Whether a backend works here, found by loading a tiny network and translating a tiny picture."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rt.errors import BackendError

if TYPE_CHECKING:
    from rt.backends import Backend

PROBE_MODEL = Path(__file__).with_name("probe.onnx")
"""uint8[N, H, W, 3] → Cast to float32 → 255 - x → Cast to uint8."""


def try_backend(name: str, load: Callable[[str, Path, tuple[int, int]], Backend]) -> tuple[str, str | None]:
    """Translate a tiny picture with a backend and return its device and its package's version.

    Raises:
        BackendError: the backend is not installed, cannot load a network, or computes a wrong picture.
    """
    picture = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    backend = load(name, PROBE_MODEL, (8, 8))
    try:
        found = backend.translate(picture)
    finally:
        backend.close()
    expected = picture if name == "identity" else 255 - picture
    if not np.array_equal(found, expected):
        raise BackendError(f"backend {name} cannot be used: it computes a wrong picture from a tiny network")
    return backend.device, None if name == "identity" else importlib.metadata.version(name)
