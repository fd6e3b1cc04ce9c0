"""Names for stretches of work, which NVIDIA's profilers show; without the package nvtx nothing is done.

pip install nvtx && nsys profile videobrush run clip.mp4 out.mp4 --style winter
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_NOTHING: AbstractContextManager[Any] = nullcontext()
"""One for all: there is nothing to enter."""


def _make() -> Callable[[str], AbstractContextManager[Any]]:
    try:
        import nvtx
    except ImportError:
        return lambda name: _NOTHING
    return lambda name: nvtx.annotate(name, domain="videobrush")


span = _make()
"""Returns what a stretch of work is done within: `with span("copy in"):`."""
