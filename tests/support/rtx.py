"""TensorRT for RTX, where its packages from PyPI are installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from rt.backends.tensorrt_runtime import load_runtime
from rt.install import install_hint

PACKAGES = ("onnxruntime_ep_nv_tensorrt_rtx", "tensorrt_rtx_bindings")


def load_rtx() -> Any:
    """Return the module of TensorRT for RTX; skip the test, with the command, where it is not installed."""
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{missing[0]} is not installed; type: {install_hint('rtx-build')}")
    return load_runtime("tensorrt-rtx")
