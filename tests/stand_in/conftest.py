"""Tests of the GPU's side on the stand-in driver.

They need a process of their own, whose libcuda is the stand-in: tests/rt/test_stand_in.py starts one for
each file here. A run of all tests passes this folder over.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

from rt.backends import Mode
from rt.backends.tensorrt import TensorRtBackend
from rt.cuda.buffers import MappedBuffers
from tests.support import tensorrt
from tests.support.cli import ROOT
from tests.support.cuda import ON_STAND_IN, StandIn
from tests.support.onnx_styles import save_generator
from tests.support.tensorrt.behaviour import make_plan

SIZE = (32, 48)

collect_ignore_glob = [] if ON_STAND_IN else ["test_*.py"]


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in, of which a test must leave nothing held."""
    # What is quicker is chance here: memory shared with the host is used where there is any.
    monkeypatch.setattr("rt.cuda.buffers.quicker", lambda device, shape: MappedBuffers)
    stand_in = StandIn()
    stand_in.schedule("late")
    held = stand_in.held()  # nothing, unless a test before this one failed
    yield stand_in
    assert stand_in.held() == held


@pytest.fixture(params=tensorrt.VERSIONS)
def trt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Each version of TensorRT, installed; none may be used in a way that goes wrong without an error."""
    module = tensorrt.load(request.param)
    install(monkeypatch, module)
    yield module
    assert module.faults == []


def install(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """Let `module` be the only TensorRT there is."""
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, tensorrt.module_name(module), module)


@dataclass(frozen=True)
class Network:
    """A small network, as an engine and as ONNX Runtime computes it."""

    model: bytes
    session: ort.InferenceSession

    def plan(self, trt: Any, size: tuple[int, int] = SIZE) -> bytes:
        return make_plan(trt.__version__, self.model, (1, *size, 3))

    def expected(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return np.concatenate([self.session.run(None, {"frame": rgb[i : i + 1]})[0] for i in range(len(rgb))])


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = save_generator(tmp_path_factory.mktemp("network") / "model.onnx")
    return Network(path.read_bytes(), ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]))


@pytest.fixture
def opened(network: Network) -> Iterator[Callable[..., TensorRtBackend]]:
    """Opens backends and closes them after the test."""
    with ExitStack() as stack:

        def open_one(
            trt: Any,
            mode: Mode = "latency",
            size: tuple[int, int] = SIZE,
            frame_size: tuple[int, int] | None = None,
        ) -> TensorRtBackend:
            plan = network.plan(trt, size)
            backend = TensorRtBackend(trt, plan, size, "fp32", mode, "BUILD AGAIN", frame_size)
            stack.callback(backend.close)
            return backend

        yield open_one


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One version of TensorRT, for what does not depend on it."""
    module = tensorrt.load(tensorrt.TYPICAL)
    install(monkeypatch, module)
    yield module
    assert module.faults == []


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """A search path on which TensorRT is found."""
    folder = tmp_path / "packages"
    folder.mkdir()
    found = f"found.load({tensorrt.TYPICAL!r})"
    stand_in = f"import sys, tests.support.tensorrt as found; sys.modules[__name__] = {found}\n"
    (folder / "tensorrt.py").write_text(stand_in, encoding="utf-8")
    return os.pathsep.join([str(ROOT), str(folder)])
