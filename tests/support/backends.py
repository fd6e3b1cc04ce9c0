"""Which backends a test can open here, and opening one."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from rt.backends import Backend, Mode, open_backend
from rt.styles import Style
from tests.support.cuda import ON_STAND_IN
from tests.support.tensorrt import TYPICAL, load

NETWORKED = ("openvino", "onnxruntime")
"""Backends that compute a network."""
OPENABLE = ("tensorrt",) if ON_STAND_IN else (*NETWORKED, "identity")
"""The backends whose promises are tested in this process: TensorRT's in one with the stand-in driver."""


def opened(name: str, style: Style, size: tuple[int, int], mode: Mode = "latency") -> Backend:
    """Open a style on a backend; for TensorRT, an engine of it is made first."""
    if name != "tensorrt":
        return open_backend(name, style, size, mode=mode).backend
    from tests.support.tensorrt.behaviour import store_engine

    sys.modules["tensorrt"] = load(TYPICAL)
    store_engine(style, size)
    return open_backend(name, style, size, "fp32", mode).backend


def installed(name: str) -> str:
    """Return the backend's name; skip the test where its package is not installed."""
    if name in NETWORKED and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name
