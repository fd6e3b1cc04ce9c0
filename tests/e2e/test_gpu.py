"""On a real GPU: engines built there give ONNX Runtime's images."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import rt.cuda.slot
from engines.compile import Order, build_engines
from engines.quality import Network, compare
from engines.target import choose_runtime
from rt.backends import Mode
from rt.backends.tensorrt import TensorRtBackend
from rt.backends.tensorrt_engine import load_engine
from rt.cuda.buffers import MappedBuffers
from rt.cuda.device import Device, find_gpu
from rt.cuda.frame_slot import FrameSlot
from rt.cuda.kernels import FitKernels
from rt.cuda.slot import Enqueue, Slot, Streams
from rt.engine_file import Engine, read_engine
from rt.errors import BackendError
from rt.fit import apply_residual, shrink
from rt.styles import find_style
from tests.support.cli import ROOT, environment
from tests.support.cuda.build import build_twin
from tests.support.cuda.twin import Twin
from tests.support.networks import save_residual
from tests.support.onnx_styles import drawn_image, make_style
from tests.support.rtx import load_rtx

SIZE = (128, 192)
GATE_DB = 50
pytestmark = [pytest.mark.gpu, pytest.mark.slow]


@dataclass(frozen=True)
class Built:
    """An engine for this GPU, and what it was made of as ONNX Runtime computes it."""

    engine: Engine
    network: Network


@pytest.fixture(scope="module")
def gpu() -> None:
    try:
        find_gpu()
    except BackendError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    try:
        find_gpu()
        choose_runtime(None)
    except BackendError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("gpu")
    model = save_residual(folder / "residual.onnx")
    style = find_style(make_style(folder, model=model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEOBRUSH_ENGINES", str(folder / "engines"))
        (made,) = build_engines(style, Order("fp16", SIZE), lambda what: nullcontext(lambda *step: None))
        yield Built(read_engine(made.facts.key), Network(onnx.load(model)))


@pytest.fixture(params=["latency", "throughput"])
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


def images(count: int) -> npt.NDArray[np.uint8]:
    return np.stack([drawn_image(*SIZE, seed=seed) for seed in range(count)])


def fly(backend: TensorRtBackend, rgb: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Translate one image after the other, with as many in flight as there are slots."""
    flying: deque[Any] = deque()
    for image in rgb:
        if len(flying) == backend.info.slots:
            yield flying.popleft().result()[0]
        flying.append(backend.start(image[None]))
    for pending in flying:
        yield pending.result()[0]


def test_an_engine_gives_the_images_of_onnxruntime(built: Built, mode: Mode) -> None:
    backend = load_engine(built.engine, mode)
    rgb = images(6)
    comparison = compare(map(built.network.translate, rgb), backend.translate(rgb))
    backend.close()
    assert comparison.psnr_db >= GATE_DB
    assert "CUDA graph)" in backend.info.device
    assert "no CUDA graph" not in backend.info.device


def test_images_in_flight_are_not_mixed_up(built: Built, mode: Mode) -> None:
    backend = load_engine(built.engine, mode)
    rgb = images(40)
    alone = [backend.translate(image[None])[0] for image in rgb]
    assert np.array_equal(np.stack(list(fly(backend, rgb))), np.stack(alone))
    assert np.array_equal(np.stack(list(fly(backend, rgb[::-1]))), np.stack(alone[::-1]))
    assert len({one.tobytes() for one in alone}) == len(rgb)
    backend.close()


def test_memory_shared_with_the_host_gives_the_same_images(
    built: Built, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = images(6)
    copied = load_engine(built.engine, mode)
    expected = copied.translate(rgb)
    copied.close()
    monkeypatch.setattr(
        rt.cuda.slot, "make_buffers", lambda device, shape, **given: MappedBuffers(device, shape)
    )
    mapped = load_engine(built.engine, mode)
    assert np.array_equal(mapped.translate(rgb), expected)
    mapped.close()


@pytest.mark.usefixtures("compiler")
def test_frames_are_fitted_as_on_the_cpu_within_a_level(built: Built, mode: Mode) -> None:
    frame_size = (1080, 1620)
    backend = load_engine(built.engine, mode, frame_size)
    frames = np.stack([drawn_image(*frame_size, seed=seed) for seed in range(6)])
    small = [shrink(frame, SIZE) for frame in frames]
    changed = [backend.translate(image[None])[0] for image in small]
    flying: deque[Any] = deque()
    found: list[npt.NDArray[np.uint8]] = []
    strengths = (1.0, 0.5, 0.0, 0.25, 1.0, 0.75)
    for frame, strength in zip(frames, strengths, strict=True):
        if len(flying) == backend.info.slots:
            found.append(flying.popleft().result()[0])
        flying.append(backend.start_frame(frame[None], strength))
    found += [pending.result()[0] for pending in flying]
    assert "no CUDA graph" not in backend.info.device
    backend.close()
    for frame, before, after, strength, fitted in zip(frames, small, changed, strengths, found, strict=True):
        # A level more or less of the shrunk image may be some more in the network's.
        difference = np.abs(fitted.astype(int) - apply_residual(frame, before, after, strength, "keep"))
        assert difference.max() <= 3
        assert (difference > 1).mean() < 0.001


@pytest.mark.usefixtures("gpu", "compiler")
def test_the_kernels_give_the_bytes_of_those_compiled_for_the_cpu(mode: Mode, tmp_path: Path) -> None:
    twin = Twin(ctypes.CDLL(str(build_twin(tmp_path / "twin.so"))))
    frame = drawn_image(487, 731, seed=1)
    device = Device()
    with device.current():
        streams = Streams.one(device) if mode == "latency" else Streams.three(device)
        kernels, inner = FitKernels(device), Slot(device, (1, 96, 144, 3), streams)
        around = FrameSlot(device, frame.shape[:2], streams, inner, kernels)
        around.prepare(rolling(device, inner))
        around.begin(frame[None], 0.5)
        fitted = around.finish()[0]
        around.close()
        inner.close()
        kernels.close()
        streams.close()
    device.close()
    assert around.graph_fault is None
    small = twin.shrink(frame, (96, 144))
    rolled = np.roll(small.ravel(), -3).reshape(small.shape)
    assert np.array_equal(fitted, twin.apply_residual(frame, small, rolled, 0.5))


def rolling(device: Device, slot: Slot) -> Enqueue:
    """Return what stands in for a network: every pixel becomes its right neighbour."""

    def enqueue(stream: Any) -> None:
        buffers = slot.buffers
        last = buffers.host_in.nbytes - 3
        copy = device.driver.memcpy_dtod_async
        copy(buffers.device_out, buffers.device_in + 3, last, stream)
        copy(buffers.device_out + last, buffers.device_in, 3, stream)

    return enqueue


@pytest.mark.usefixtures("gpu", "compiler")
def test_the_kernels_as_loaded_keep_everything_in_registers() -> None:
    device = Device()
    with device.current():
        kernels = FitKernels(device)
        facts = [
            (kernel.num_regs, kernel.local_size_bytes)
            for kernel in (kernels._shrink, kernels._apply_residual)
        ]
        kernels.close()
    device.close()
    assert all(0 < registers <= 64 and local_bytes == 0 for registers, local_bytes in facts)


def test_opening_and_closing_many_times_leaves_the_gpu_usable(built: Built, mode: Mode) -> None:
    rgb = images(1)
    found = set()
    for _ in range(10):
        backend = load_engine(built.engine, mode)
        found.add(backend.translate(rgb).tobytes())
        backend.close()
    assert len(found) == 1


@pytest.mark.usefixtures("gpu")
def test_rtx_loads_an_engine_where_it_knows_the_gpu_and_else_says_why_not(tmp_path: Path) -> None:
    rtx, here = load_rtx(), find_gpu().compute_capability
    known = here.upper() in rtx.ComputeCapability.__members__
    target = here if known else "sm89"
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    order = Order("fp16", SIZE, target=target, runtime="tensorrt-rtx")
    (made,) = build_engines(style, order, lambda what: nullcontext(lambda *step: None))
    engine = read_engine(made.facts.key)
    if known:
        load_engine(engine).close()
        return
    with pytest.raises(BackendError, match=r"\(.*UNSUPPORTED_CC.*\); type: "):
        load_engine(engine)


@pytest.mark.usefixtures("built", "compiler")
def test_figures_of_every_mode_are_measured(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tools.bench.engines",
        "--style",
        "winter",
        "--size",
        "160",
        "--runs",
        "50",
    ]
    said = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert said.returncode == 0, said.stderr
    result = json.loads(said.stdout.splitlines()[-1])
    assert len(result["rows"]) == 6
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in result["rows"])
