"""The choice of a backend, and what is said where none can be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from rt.backends import (
    BACKEND_HELP,
    BACKENDS,
    CPU_ORDER,
    CPU_PRECISIONS,
    KINDS,
    PRECISIONS,
    BackendName,
    backend_status,
    open_backend,
)
from rt.backends.probe import PROBE_MODEL
from rt.backends.tensorrt_engine import PRECISIONS as ENGINE_PRECISIONS
from rt.errors import BackendError, StyleError
from rt.install import install_hint
from rt.styles import Style, find_style
from tests.support.backends import NETWORKED, installed
from tests.support.cli import environment
from tests.support.onnx_styles import make_style, save_generator

SIZE = (32, 48)
ONLY_FP32 = "fp32: there is no int8"
ON_ONNXRUNTIME = "fp32: the quickest"


@pytest.fixture(params=[*NETWORKED, "identity"])
def name(request: pytest.FixtureRequest) -> str:
    return installed(request.param)


@pytest.fixture
def style(tmp_path: Path) -> Style:
    return find_style(make_style(tmp_path))


def test_an_unknown_backend_is_offered_its_nearest_name(style: Style) -> None:
    with pytest.raises(BackendError) as error:
        open_backend("openvin", style, SIZE)
    assert str(error.value) == (
        "no backend 'openvin'; did you mean 'openvino'?; "
        "known: auto, openvino, onnxruntime, tensorrt, identity"
    )


def test_the_table_of_kinds_is_what_can_be_typed_and_opened() -> None:
    assert get_args(BackendName) == BACKENDS == ("auto", *(kind.name for kind in KINDS))
    assert set(CPU_ORDER) < set(CPU_PRECISIONS) < set(BACKENDS)
    for kind in KINDS:
        assert f"{kind.name} ({kind.summary})" in BACKEND_HELP
        assert set(kind.precisions) < set(PRECISIONS)
    assert next(kind for kind in KINDS if kind.name == "tensorrt").precisions == ENGINE_PRECISIONS


@pytest.mark.parametrize("size", [(30, 48), (32, 50), (12, 48)])
def test_a_size_the_network_does_not_take_is_refused(name: str, style: Style, size: tuple[int, int]) -> None:
    with pytest.raises(BackendError, match="must be multiples of 4 and at least 16$"):
        open_backend(name, style, size)


def test_auto_takes_openvino_and_says_why(style: Style) -> None:
    installed("openvino")
    choice = open_backend("auto", style, SIZE)
    assert (choice.backend.info.name, choice.reason) == (
        "openvino",
        f"auto: first choice on a CPU; {ONLY_FP32}",
    )


def test_a_backend_asked_for_is_taken(name: str, style: Style) -> None:
    choice = open_backend(name, style, SIZE)
    assert (choice.backend.info.name, choice.reason) == (
        name,
        {
            "identity": "asked for",
            "openvino": f"asked for; {ONLY_FP32}",
            "onnxruntime": f"asked for; {ON_ONNXRUNTIME}",
        }[name],
    )


@pytest.mark.parametrize("backend", ["auto", "openvino", "identity"])
def test_a_backend_that_cannot_fit_frames_is_refused_where_that_is_asked_for(
    style: Style, backend: str
) -> None:
    installed("openvino")
    with pytest.raises(BackendError) as error:
        open_backend(backend, style, SIZE, frame_size=(64, 96))
    name = "identity" if backend == "identity" else "openvino"
    assert str(error.value).startswith(f"backend {name} computes on the CPU and cannot fit frames on a GPU (")
    assert str(error.value).endswith("); type --fit cpu, or --backend tensorrt")


def test_frames_of_a_style_that_looks_at_their_gray_are_fitted_on_the_cpu_alone(style: Style) -> None:
    with pytest.raises(BackendError) as error:
        open_backend("tensorrt", style, SIZE, view="gray", frame_size=(64, 96))
    assert str(error.value) == (
        "style drawn cannot have its frames fitted on the GPU: its network looks at the gray and its detail "
        "is keep, image and keep are needed; type --fit cpu"
    )


@pytest.mark.parametrize(
    ("backend", "asked", "opened", "reason"),
    [
        ("openvino", "auto", "int8", "asked for; int8: the quickest"),
        ("openvino", "fp32", "fp32", "asked for"),
        ("onnxruntime", "auto", "fp32", "asked for; fp32: the quickest"),
        ("onnxruntime", "int8", "int8", "asked for"),
    ],
)
def test_auto_takes_the_precision_that_is_quickest_on_its_backend(
    backend: str, asked: str, opened: str, reason: str, tmp_path: Path
) -> None:
    style = find_style(make_style(tmp_path / "both", precisions=("fp32", "int8")))
    choice = open_backend(installed(backend), style, SIZE, asked)
    assert (choice.backend.info.precision, choice.reason) == (opened, reason)


def test_a_form_of_openvino_is_refused_where_auto_finds_another_backend(
    style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("onnxruntime")
    hide(monkeypatch, "openvino")
    with pytest.raises(BackendError, match="^backend onnxruntime has no bf16: type --backend openvino, or"):
        open_backend("auto", style, SIZE, "bf16")


def test_a_precision_that_is_unknown_or_that_the_style_lacks_is_refused(style: Style) -> None:
    with pytest.raises(BackendError, match="no precision 'int4'; did you mean 'int8'?"):
        open_backend("auto", style, SIZE, "int4")
    with pytest.raises(StyleError, match="style drawn has no int8 model; it has: fp32"):
        open_backend("auto", style, SIZE, "int8")


def test_a_style_without_a_model_for_a_cpu_is_refused(tmp_path: Path) -> None:
    style = find_style(make_style(tmp_path / "half", precisions=("fp16",)))
    message = "style drawn has no model for a CPU: int8 or fp32 needed, fp16 found"
    with pytest.raises(BackendError, match=f"^{message}$"):
        open_backend("auto", style, SIZE)


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        if name in NETWORKED:  # their modules import the package when they are imported themselves
            monkeypatch.delitem(sys.modules, f"rt.backends.{name}", raising=False)
        monkeypatch.setitem(sys.modules, name, None)


def test_auto_without_openvino_takes_onnxruntime_and_says_why(
    style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "openvino")
    choice = open_backend("auto", style, SIZE)
    assert choice.backend.info.name == "onnxruntime"
    assert choice.reason == (
        "auto: backend openvino cannot be used: package openvino is not installed; "
        f"type: pip install openvino; {ON_ONNXRUNTIME}"
    )


def test_auto_passes_over_an_openvino_whose_cpu_plugin_fails(
    style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("openvino")
    import openvino

    def fail(*_: object) -> None:
        raise RuntimeError("Exception from core.cpp:1:\nno CPU plugin\n")

    monkeypatch.setattr(openvino.Core, "compile_model", fail)
    choice = open_backend("auto", style, SIZE)
    assert choice.backend.info.name == "onnxruntime"
    assert (
        choice.reason == f"auto: backend openvino cannot load {PROBE_MODEL}: no CPU plugin; {ON_ONNXRUNTIME}"
    )


def test_auto_with_nothing_installed_says_what_to_type(style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, *NETWORKED)
    with pytest.raises(BackendError, match=r"^no backend works here: .*pip install openvino.*onnxruntime$"):
        open_backend("auto", style, SIZE)


def test_auto_never_tries_the_next_backend_because_of_the_style(tmp_path: Path) -> None:
    installed("openvino")
    model = save_generator(tmp_path / "whole.onnx")
    model.write_bytes(model.read_bytes()[:200])
    with pytest.raises(BackendError, match="^backend openvino cannot read "):
        open_backend("auto", find_style(make_style(tmp_path, model=model)), SIZE)


@pytest.mark.parametrize("networked", NETWORKED)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    networked: str, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, networked)
    with pytest.raises(BackendError) as error:
        open_backend(networked, style, SIZE)
    assert str(error.value) == (
        f"backend {networked} cannot be used: package {networked} is not installed; "
        f"type: pip install {networked}"
    )


def test_a_package_that_does_not_load_is_not_called_missing(
    style: Style, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide(monkeypatch, "openvino")
    monkeypatch.delitem(sys.modules, "openvino")
    (tmp_path / "openvino.py").write_text("raise ImportError('libopenvino.so: wrong ELF class')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError) as error:
        open_backend("openvino", style, SIZE)
    assert str(error.value) == (
        "backend openvino cannot be used: its package does not load (libopenvino.so: wrong ELF class); "
        "type: pip install --force-reinstall openvino"
    )


def test_the_status_says_for_every_backend_whether_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "onnxruntime", "pycuda", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
    installed("openvino")
    found = {status.name: status for status in backend_status()}
    assert list(found) == [name for name in BACKENDS if name != "auto"]
    assert (found["openvino"].works, found["identity"].works) == (True, True)
    assert found["openvino"].detail.startswith("CPU (")
    assert str(found["openvino"].version)[0].isdigit()
    assert (found["onnxruntime"].works, found["tensorrt"].works) == (False, False)
    assert found["onnxruntime"].detail.endswith("type: pip install onnxruntime")
    assert f"type: {install_hint('tensorrt')}" in found["tensorrt"].detail


def test_the_probe_is_the_negative_of_a_image() -> None:
    import onnx

    model = onnx.load(PROBE_MODEL)
    onnx.checker.check_model(model)
    assert [entry.op_type for entry in model.graph.node] == ["Cast", "Sub", "Cast"]


def test_a_damaged_model_is_found_before_any_runtime_is_loaded(style: Style) -> None:
    model = style.folder / "model.onnx"
    damaged = bytearray(model.read_bytes())
    damaged[100] ^= 1
    model.write_bytes(damaged)
    with pytest.raises(StyleError, match="SHA-256"):
        open_backend("openvino", style, SIZE)
    program = (
        "import sys\n"
        "from rt.backends import open_backend\n"
        "from rt.errors import StyleError\n"
        "from rt.styles import find_style\n"
        "try:\n"
        f"    open_backend('auto', find_style({str(style.folder)!r}), (32, 48))\n"
        "except StyleError:\n"
        "    print(sorted({'openvino', 'onnxruntime', 'cv2', 'av'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_opening_openvino_reports_nothing_and_leaves_nothing_in_the_users_home(tmp_path: Path) -> None:
    code = "import rt.backends.openvino, sys; print(sys.modules['openvino_telemetry'])"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said.stdout == "None\n"
    assert list(tmp_path.iterdir()) == []
