"""TensorRT that does not start, and its one logger, on the stand-in GPU."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rt.backends import backend_status, open_backend
from rt.backends.tensorrt import TensorRtBackend, try_gpu
from rt.backends.tensorrt_runtime import logger_of
from rt.cuda.driver import driver_cuda
from rt.errors import BackendError
from rt.styles import find_style
from tests.stand_in.conftest import SIZE, Network
from tests.support.cuda import StandIn
from tests.support.onnx_styles import make_style
from tests.support.tensorrt.behaviour import store_engine

Opened = Callable[..., TensorRtBackend]
SERVED = 13
"""CUDA of the stand-in driver."""


@pytest.fixture
def too_new(trt: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each TensorRT, made for a CUDA that the driver does not serve."""
    monkeypatch.setattr(trt, "cuda_major", SERVED + 1)
    monkeypatch.setattr("rt.backends.tensorrt_runtime.cuda_major", lambda trt: SERVED + 1)
    return trt


def test_a_driver_older_than_the_package_is_one_line_and_everything_is_released(
    gpu: StandIn, too_new: Any, opened: Opened
) -> None:
    assert driver_cuda() == (SERVED, 0)
    with pytest.raises(BackendError) as error:
        opened(too_new)
    assert (
        " does not start: createInferRuntime: Error Code 6 (CUDA initialization failure with error: 35); the "
        f"NVIDIA driver serves CUDA {SERVED}.0, this package needs CUDA {SERVED + 1}: update the driver, or "
        "type: pip uninstall -y "
    ) in str(error.value)
    assert gpu.held() == {}


def test_the_doctor_finds_it(too_new: Any) -> None:
    with pytest.raises(BackendError, match="does not start: "):
        try_gpu()
    status = {found.name: found for found in backend_status()}["tensorrt"]
    assert not status.works
    assert f"the NVIDIA driver serves CUDA {SERVED}.0" in status.detail


def test_auto_takes_the_cpu_then_and_says_why(
    one: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = find_style(make_style(tmp_path))
    store_engine(style, SIZE)
    choice = open_backend("auto", style, SIZE)
    assert choice.backend.info.name == "tensorrt"
    choice.backend.close()
    monkeypatch.setattr(one, "cuda_major", SERVED + 1)
    choice = open_backend("auto", style, SIZE)
    assert choice.backend.info.name in ("openvino", "onnxruntime")
    assert choice.reason.startswith(
        "auto: backend tensorrt cannot be used: TensorRT 10.13.3.9 does not start: createInferRuntime: "
    )
    choice.backend.close()


def test_a_style_switch_leaves_tensorrt_the_logger_it_has(trt: Any, opened: Opened, network: Network) -> None:
    rgb = np.zeros((1, *SIZE, 3), np.uint8)
    for _ in range(3):
        backend = opened(trt)
        assert np.array_equal(backend.translate(rgb), network.expected(rgb))
        backend.close()
        del backend
        gc.collect()
    assert logger_of(trt).warnings() == ()
