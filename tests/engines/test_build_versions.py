"""One sequence of calls builds with every version of TensorRT."""

from __future__ import annotations

import gc
import json
import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import onnx
import pytest

from engines.build import build_plan
from engines.compile import Order, build_engines
from engines.onnx_model import read_onnx, with_fixed_shape
from engines.precision import to_half
from engines.store import timing_cache_path
from engines.target import Target
from rt.backends.tensorrt_runtime import logger_of
from rt.cuda.device import Gpu
from rt.engine_file import read_engine
from rt.errors import EngineError
from rt.install import install_hint
from rt.styles import find_style
from tests.support.networks import save_residual
from tests.support.onnx_styles import make_style
from tests.support.tensorrt import VERSIONS, load, module_name
from tests.support.tensorrt.behaviour import MAGIC

RTX = VERSIONS[-1]


@pytest.fixture
def fixed(tmp_path: Path) -> bytes:
    """A small network in FP16, for 1x32x48 alone."""
    model = to_half(read_onnx(save_residual(tmp_path / "residual.onnx")))
    return bytes(with_fixed_shape(model, 1, (32, 48)).SerializeToString())


def target(trt: Any) -> Target:
    name = "tensorrt-rtx" if trt.__version__ == RTX else "tensorrt"
    return Target(name, trt.__version__, "sm86", "any")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_builds_the_network_strongly_typed_and_reports_its_progress(
    version: str, fixed: bytes
) -> None:
    trt, steps = load(version), []
    built = build_plan(trt, fixed, target(trt), b"", lambda *step: steps.append(step))
    assert trt.faults == []
    head = {"version": version, "compute_capability": 86, "recordable": version == RTX}
    assert built.plan.startswith(MAGIC + json.dumps(head).encode())
    assert built.plan.endswith(fixed)
    assert built.layers == len(onnx.load_model_from_string(fixed).graph.node)
    assert steps == [("Building", 0, 2), ("Building", 1, 2), ("Building", 2, 2)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refused_node_is_named_and_a_failed_build_gives_its_reason(version: str, fixed: bytes) -> None:
    trt = load(version)
    model = onnx.load_model_from_string(fixed)
    model.graph.node[0].op_type = "Identity"
    del model.graph.node[0].attribute[:]
    with pytest.raises(EngineError) as error:
        build_plan(trt, model.SerializeToString(), target(trt), b"", lambda *step: None)
    product = "TensorRT for RTX" if version == RTX else "TensorRT"
    assert str(error.value) == (
        f"{product} {version} cannot build the network: node make_pixels (Identity): "
        "first input has type UInt8 but must have type Float"
    )
    model = onnx.load_model_from_string(fixed)
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    with pytest.raises(EngineError) as error:
        build_plan(trt, model.SerializeToString(), target(trt), b"", lambda *step: None)
    assert str(error.value).endswith(
        "cannot build the network: Network has dynamic or shape inputs, but no optimization profile"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_an_order_is_built_for_this_machine_and_its_timing_cache_serves_the_next(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = load(version)
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module_name(trt), trt)
    gpu = Gpu("NVIDIA RTX A2000", "sm86", 6 << 30, integrated=False, multiprocessors=26)
    monkeypatch.setattr("engines.target.find_gpu", lambda: gpu)
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    report = nullcontext(lambda *step: None)
    for precision, uses in (("fp16", 1), ("fp32", 2)):
        (made,) = build_engines(style, Order(precision, (32, 48)), lambda what: report)
        key = made.facts.key
        assert (key.runtime_version, key.compute_capability) == (version, "sm86")
        assert key.device == ("any" if version == RTX else "NVIDIA RTX A2000, 26 SMs, 6 GiB")
        assert read_engine(key).plan.startswith(MAGIC)
        cache = timing_cache_path(key)
        if version == RTX:
            assert not cache.exists()
        else:
            assert cache.read_bytes() == b"stand-in timing cache of " + version.encode() + b"+" * uses
    assert trt.faults == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_driver_older_than_the_package_is_said_with_what_to_install(
    version: str, fixed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = load(version)
    monkeypatch.setattr(trt, "cuda_major", 100)
    monkeypatch.setattr("rt.backends.tensorrt_runtime.driver_cuda", lambda: (12, 8))
    monkeypatch.setattr("rt.backends.tensorrt_runtime.cuda_major", lambda trt: 13)
    with pytest.raises(EngineError) as error:
        build_plan(trt, fixed, target(trt), b"", lambda *step: None)
    product, extra = ("TensorRT for RTX", "rtx") if version == RTX else ("TensorRT", "tensorrt")
    assert str(error.value).startswith(
        f"no engine can be built: {product} {version} does not start: createInferBuilder: Error Code 6 (CUDA "
        "initialization failure with error: 35); the NVIDIA driver serves CUDA 12.8, this package needs CUDA "
        f"13: update the driver, or type: pip uninstall -y tensorrt"
    )
    assert str(error.value).endswith(f" && {install_hint(f'{extra}-cu12')}")


@pytest.mark.parametrize("damaged", [b"?", b"\0" * 100])
@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_a_damaged_timing_cache_is_begun_anew_and_that_is_said(
    version: str, damaged: bytes, fixed: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    trt = load(version)
    with caplog.at_level("WARNING", logger="rt"):
        built = build_plan(trt, fixed, target(trt), damaged, lambda *step: None)
    assert "the timing cache is damaged: the build measures anew and takes longer" in caplog.text
    assert built.timing_cache == b"stand-in timing cache of " + version.encode() + b"+"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_build_of_a_process_logs_to_the_same_logger(version: str, fixed: bytes) -> None:
    trt = load(version)
    for _ in range(2):
        build_plan(trt, fixed, target(trt), b"", lambda *step: None)
        gc.collect()
    assert trt.faults == []
    assert logger_of(trt).warnings() == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_ctrl_c_ends_a_build_at_its_next_step(version: str, fixed: bytes) -> None:
    trt, steps = load(version), []

    def press(phase: str, done: int, total: int) -> None:
        steps.append(done)
        if done == 0:
            interrupt_main()
            pressed.wait(10)

    pressed = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        interrupted(pressed, lambda: build_plan(trt, fixed, target(trt), b"", press))
    assert steps == [0, 1]  # the step that ran is done, no further one began
    assert trt.faults == []


def interrupted(pressed: threading.Event, build: Callable[[], object]) -> None:
    """Run a build; `pressed` is set once Ctrl-C was heard."""

    def hear(number: int, frame: object) -> None:
        threading.Timer(0.1, pressed.set).start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    try:
        build()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_workspace_is_limited_where_that_is_asked_for(version: str, fixed: bytes) -> None:
    trt = load(version)
    build_plan(trt, fixed, target(trt), b"", lambda *step: None)
    assert trt.limits == {}
    build_plan(trt, fixed, target(trt), b"", lambda *step: None, 512 << 20)
    assert trt.limits == {"WORKSPACE": 512 << 20}
