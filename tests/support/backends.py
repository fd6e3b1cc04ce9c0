"""Which backends a test can open here."""

from __future__ import annotations

import importlib.util

import pytest

NETWORKED = ("openvino", "onnxruntime")
"""Backends that compute a network."""


def installed(name: str) -> str:
    """Return the backend's name; skip the test where its package is not installed."""
    if name in NETWORKED and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name
