"""One context, compiled kernels kept, memory chosen by measuring, one GPU of several, on the stand-in GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rt.cuda.buffers
from rt.backends.tensorrt import TensorRtBackend
from rt.cuda.buffers import CopiedBuffers, MappedBuffers, make_buffers, quicker
from rt.cuda.device import Device, give_back
from rt.errors import BackendError
from tests.stand_in.conftest import SIZE, Network
from tests.support import tensorrt
from tests.support.cli import ROOT, environment, videobrush
from tests.support.cuda import StandIn
from tests.support.onnx_styles import make_style

Opened = Callable[..., TensorRtBackend]
ILLEGAL_ADDRESS = 700
chosen_by_measuring = quicker
"""The real one: `conftest` replaces it."""


def retained(gpu: StandIn) -> int:
    """Return how many times the context is held, the one that is kept included."""
    return int(gpu._library.stand_in_held(b"contexts"))


def test_the_context_is_kept_from_one_style_to_the_next(gpu: StandIn, one: Any, opened: Opened) -> None:
    taken: list[int] = []
    opened(one).close()
    for _ in range(3):
        backend = opened(one)
        taken.append(retained(gpu))
        backend.close()
        taken.append(retained(gpu))
    assert taken == [1] * 6
    give_back()
    assert retained(gpu) == 0


def test_two_devices_at_once_hold_two_and_one_is_kept(gpu: StandIn) -> None:
    first, second = Device(), Device()
    assert retained(gpu) == 2
    first.close()
    second.close()
    second.close()
    assert retained(gpu) == 1
    assert gpu.held() == {}


def test_the_context_of_a_gpu_that_failed_is_given_back_at_once(
    gpu: StandIn, one: Any, opened: Opened
) -> None:
    backend = opened(one)
    with gpu.having(fault=ILLEGAL_ADDRESS):
        with pytest.raises(BackendError):
            backend.translate(np.zeros((1, *SIZE, 3), np.uint8))
        backend.close()
        assert retained(gpu) == 0


RTX = tensorrt.VERSIONS[-1]


@pytest.mark.parametrize("trt", [RTX], indirect=True)
def test_kernels_compiled_for_an_engine_are_kept_for_the_next_start(
    trt: Any, network: Network, tmp_path: Path
) -> None:
    path = tmp_path / "winter.engine.kernels"

    def start() -> int:
        trt.compiled.clear()
        backend = TensorRtBackend(trt, network.plan(trt), SIZE, "fp32", "throughput", kernels_path=path)
        rgb = np.full((1, *SIZE, 3), 9, np.uint8)
        assert np.array_equal(backend.translate(rgb), network.expected(rgb))
        backend.close()
        return len(trt.compiled)

    assert start() == 1  # for the first of three slots
    written = path.stat()
    assert (written.st_mode & 0o777, start()) == (0o600, 0)
    assert path.stat().st_mtime_ns == written.st_mtime_ns
    path.write_bytes(b"of another version")
    assert start() == 1
    assert start() == 0
    assert not path.with_name(path.name + ".part").exists()


@pytest.mark.parametrize("trt", [RTX, tensorrt.TYPICAL], indirect=True)
def test_without_a_place_or_with_tensorrt_nothing_is_kept(trt: Any, network: Network, tmp_path: Path) -> None:
    path = None if hasattr(trt, "IRuntimeCache") else tmp_path / "kernels"
    TensorRtBackend(trt, network.plan(trt), SIZE, "fp32", kernels_path=path).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trt", [RTX], indirect=True)
def test_a_disk_that_cannot_keep_them_is_said_and_no_error(
    trt: Any, network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "missing" / "kernels"
    with caplog.at_level("WARNING"):
        TensorRtBackend(trt, network.plan(trt), SIZE, "fp32", kernels_path=path).close()
    assert f"compiled kernels cannot be kept at {path}: No such file or directory" in caplog.text


@pytest.mark.parametrize(("mapped_s", "kind"), [(0.9, MappedBuffers), (1.1, CopiedBuffers)])
def test_a_gpu_that_shares_the_host_s_memory_gets_the_quicker_buffers(
    gpu: StandIn, mapped_s: float, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = rt.cuda.buffers.round_trip_s

    def measured(device: Device, buffers: Any) -> float:
        assert measure(device, buffers) > 0
        return mapped_s if isinstance(buffers, MappedBuffers) else 1.0

    monkeypatch.setattr("rt.cuda.buffers.round_trip_s", measured)
    monkeypatch.setattr("rt.cuda.buffers.quicker", chosen_by_measuring)
    with gpu.having(integrated=True):
        device = Device()
        with device.current():
            for by_gpu_alone, wanted in ((False, kind), (True, CopiedBuffers)):
                buffers = make_buffers(device, (1, 8, 8, 3), by_gpu_alone=by_gpu_alone)
                assert type(buffers) is wanted
                buffers.free()
        device.close()
        assert gpu.held() == {}


LIST_GPUS = """
from rt.cuda.driver import choose_gpu, load_driver
choose_gpu({number})
driver = load_driver()
print(driver.Device.count(), driver.Device(0).name())
"""


@pytest.mark.parametrize(
    ("visible", "number", "said"),
    [
        ("", 0, "1 Stand-in GPU"),
        ("", 2, "1 Stand-in GPU 2"),
        ("2,1", 1, "1 Stand-in GPU 1"),
        ("", 3, "--device 3 asks for one GPU alone; nvidia-smi says more"),
        ("1", 1, "there is no GPU 1: CUDA_VISIBLE_DEVICES names 1; type nvidia-smi to see them"),
        ("", -1, "there is no GPU -1: they are counted from 0; type nvidia-smi to see them"),
    ],
)
def test_one_gpu_of_several_is_chosen_by_its_number(visible: str, number: int, said: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", LIST_GPUS.format(number=number)],
        cwd=ROOT,
        env={**os.environ, **environment(), "CUDA_VISIBLE_DEVICES": visible, "VIDEOBRUSH_STAND_IN_GPUS": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in found.stdout + found.stderr


def test_a_run_takes_the_number(own_styles: Path, tmp_path: Path) -> None:
    make_style(own_styles)
    found = videobrush(
        *("run", "pattern://?unpaced", "out.mp4", "--style", "drawn", "--backend", "tensorrt"),
        *("--device", "5", "--duration", "0.1"),
        cwd=tmp_path,
    )
    assert found.returncode == 1
    assert (
        "the NVIDIA driver does not start (cuInit failed: no CUDA-capable device is detected); "
        in found.stderr
    )
    assert "--device 5 asks for one GPU alone; nvidia-smi says more" in found.stderr
