"""What is said where PyCUDA, the driver or TensorRT is missing.

That engines run is tested on the stand-in driver, in tests/stand_in.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import rt.backends.tensorrt_engine
from rt.backends import BackendInfo, Mode, backend_status, open_backend
from rt.backends.tensorrt_runtime import load_runtime
from rt.card import file_sha256
from rt.cuda.device import Gpu, find_gpu
from rt.cuda.driver import how_to_install
from rt.engine_file import EngineKey, engine_path, flags_of
from rt.errors import BackendError, EngineError
from rt.install import install_hint
from rt.styles import Style, find_style
from tests.support.backends import installed
from tests.support.onnx_styles import make_style
from tests.support.tensorrt import VERSIONS, load, module_name

SIZE = (32, 48)
NVIDIA = Gpu("NVIDIA H100", "sm90", 80 << 30, integrated=False, multiprocessors=132)
RUNTIME_MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")


@pytest.fixture
def style(tmp_path: Path) -> Style:
    return find_style(make_style(tmp_path))


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def test_without_pycuda_the_package_to_install_is_named(
    style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "pycuda")
    with pytest.raises(BackendError) as error:
        open_backend("tensorrt", style, SIZE)
    assert str(error.value) == (
        f"the GPU cannot be used: package pycuda is not installed; type: {how_to_install()}"
    )


def test_without_a_driver_what_does_not_load_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "libcuda.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "driver.py").write_text(f"raise ImportError({why!r})", encoding="utf-8")
    package = ModuleType("pycuda")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    with pytest.raises(BackendError) as error:
        find_gpu()
    assert str(error.value) == (
        f"the GPU cannot be used: PyCUDA does not load ({why}); an NVIDIA driver is needed, "
        "and PyCUDA compiled on this machine: "
        f"{how_to_install('pycuda', '--force-reinstall --no-cache-dir ')}"
    )


@pytest.mark.parametrize(
    ("name", "module", "install"),
    [
        ("tensorrt", "tensorrt", install_hint("tensorrt")),
        (
            "tensorrt-rtx",
            "tensorrt_rtx_bindings",
            f"{install_hint('rtx')}, or to build engines alone: {install_hint('rtx-build')}",
        ),
    ],
)
def test_a_missing_runtime_is_named_with_what_to_install(
    name: str, module: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, *RUNTIME_MODULES, "onnxruntime_ep_nv_tensorrt_rtx")
    with pytest.raises(BackendError) as error:
        load_runtime(name)
    assert str(error.value) == (
        f"backend tensorrt cannot be used: package {module} is not installed; type: {install}"
    )


def test_the_doctor_names_everything_a_gpu_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, *RUNTIME_MODULES)
    status = {found.name: found for found in backend_status()}["tensorrt"]
    assert not status.works
    assert status.detail == (
        "backend tensorrt cannot be used: package tensorrt is not installed; "
        f"type: {install_hint('tensorrt')}; "
        "or backend tensorrt cannot be used: package tensorrt_rtx_bindings is not installed; "
        f"type: {install_hint('rtx')}, or to build engines alone: {install_hint('rtx-build')}"
    )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A machine with an H100 and the runtimes listed; what would be loaded is noted in the list."""
    opened: list[Any] = []

    def note(
        trt: Any,
        plan: bytes,
        size: tuple[int, int],
        precision: str,
        mode: Mode,
        rebuild: str,
        frame_size: tuple[int, int] | None,
        frame_format: str,
        kernels_path: Path,
    ) -> Any:
        opened.append((trt.__version__, plan, size, precision, mode))
        return SimpleNamespace(info=BackendInfo("tensorrt", "GPU", precision, size))

    monkeypatch.setattr(rt.backends.tensorrt_engine, "find_gpu", lambda: NVIDIA)
    monkeypatch.setattr(rt.backends.tensorrt_engine, "TensorRtBackend", note)
    hide(monkeypatch, *RUNTIME_MODULES)
    for version in ("10.13.3.9", VERSIONS[-1]):
        module = load(version)
        monkeypatch.setitem(sys.modules, module_name(module), module)
    return opened


def key(style: Style, runtime: str = "tensorrt", precision: str = "fp16") -> EngineKey:
    rtx = runtime == "tensorrt-rtx"
    return EngineKey(
        style="drawn",
        onnx_sha256=file_sha256(style.model("fp32")),
        precision=precision,
        height=32,
        width=48,
        runtime=runtime,
        runtime_version=VERSIONS[-1] if rtx else "10.13.3.9",
        compute_capability="sm90",
        device="any" if rtx else NVIDIA.model,
        flags=flags_of(runtime),
    )


def write(wanted: EngineKey, plan: bytes) -> None:
    from engines.store import write_engine

    write_engine(wanted, plan, source="model.onnx", build_s=1.0, precisions={})


@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt-rtx"])
def test_the_engine_of_this_machine_is_taken_whichever_runtime_it_is_for(
    style: Style, machine: list[Any], runtime: str
) -> None:
    write(key(style, runtime), b"plan of " + runtime.encode())
    write(key(style, runtime, "fp32"), b"another")
    reason = open_backend("tensorrt", style, SIZE, mode="throughput").reason
    version = VERSIONS[-1] if runtime == "tensorrt-rtx" else "10.13.3.9"
    assert machine == [(version, b"plan of " + runtime.encode(), SIZE, "fp16", "throughput")]
    assert reason.startswith("asked for: the fp16 engine built 20")


def test_a_precision_asked_for_is_taken(style: Style, machine: list[Any]) -> None:
    write(key(style, precision="fp32"), b"plan")
    open_backend("tensorrt", style, SIZE, "fp32")
    assert machine == [("10.13.3.9", b"plan", SIZE, "fp32", "latency")]


def test_auto_takes_the_engine_of_this_machine(style: Style, machine: list[Any]) -> None:
    write(key(style, precision="fp32"), b"plan")
    reason = open_backend("auto", style, SIZE, mode="throughput").reason
    assert machine == [("10.13.3.9", b"plan", SIZE, "fp32", "throughput")]
    assert reason.startswith("auto: the fp32 engine built 20")


def test_auto_says_why_it_takes_none_of_the_engines(style: Style, machine: list[Any]) -> None:
    installed("openvino")
    write(replace(key(style), device="NVIDIA A100"), b"plan")
    choice = open_backend("auto", style, SIZE)
    assert (choice.backend.info.name, machine) == ("openvino", [])
    assert choice.reason.startswith(
        "auto: there is no engine for style drawn, fp16, 48x32, tensorrt 10.13.3.9"
    )
    assert (
        "has device NVIDIA A100 instead of NVIDIA H100, 132 SMs, 80 GiB; type: videobrush-engines build"
        in choice.reason
    )


def test_auto_without_engines_does_not_ask_for_a_gpu(
    style: Style, machine: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("openvino")

    def fail() -> Gpu:
        raise AssertionError("nobody needs a GPU")

    monkeypatch.setattr(rt.backends.tensorrt_engine, "find_gpu", fail)
    assert open_backend("auto", style, SIZE).reason == "auto: first choice on a CPU; fp32: there is no int8"


def test_a_missing_engine_is_said_with_what_was_looked_for_and_the_command_that_builds_it(
    style: Style, machine: list[Any], own_engines: Path
) -> None:
    with pytest.raises(EngineError) as error:
        open_backend("tensorrt", style, SIZE)
    assert str(error.value) == (
        "there is no engine for style drawn, fp16, 48x32, tensorrt 10.13.3.9, sm90 (NVIDIA H100, 132 SMs, 80 "
        "GiB) in "
        f"{own_engines}; type: "
        "videobrush-engines build drawn --precision fp16 --network 48x32 --runtime tensorrt"
    )
    assert machine == []


def test_a_damaged_engine_is_refused_also_where_another_runtime_has_one(
    style: Style, machine: list[Any]
) -> None:
    for runtime in ("tensorrt", "tensorrt-rtx"):
        write(key(style, runtime), b"plan")
    engine_path(key(style)).write_bytes(b"pla_")
    with pytest.raises(EngineError, match="is damaged: its SHA-256 is not the one of its facts; type: "):
        open_backend("tensorrt", style, SIZE)
    assert machine == []


def test_importing_the_backend_imports_neither_pycuda_nor_tensorrt() -> None:
    import subprocess

    code = (
        "import sys, rt.backends.tensorrt_engine; "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'pycuda', 'tensorrt', 'tensorrt_rtx'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_on_windows_the_plug_in_s_folder_is_on_the_path_of_the_bindings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    added: list[str] = []
    plug_in = tmp_path / "onnxruntime_ep_nv_tensorrt_rtx"
    bindings = tmp_path / "tensorrt_rtx_bindings"
    for folder, text in (
        (plug_in, ""),
        (bindings, "import os\npath = os.environ['PATH']\n__version__ = '1.7.1.116'\n"),
    ):
        folder.mkdir()
        (folder / "__init__.py").write_text(text, encoding="utf-8")
    for name in (*RUNTIME_MODULES, plug_in.name):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", "before")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "add_dll_directory", added.append, raising=False)
    found = load_runtime("tensorrt-rtx")
    assert (found.path, added) == (f"{plug_in}{os.pathsep}before", [str(plug_in)])
    for name in (bindings.name, plug_in.name):  # gone before others ask for the real ones
        sys.modules.pop(name, None)
