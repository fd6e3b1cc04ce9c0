"""What NVIDIA's own bindings do beside libraries that give nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rtx import load_rtx
from tests.support.tensorrt.api import SYMBOLS

LIBRARIES = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")
PROGRAM = """
import sys
sys.modules["onnxruntime_ep_nv_tensorrt_rtx"] = None  # whose libraries are real
from rt.backends.tensorrt_runtime import load_runtime, start
from rt.errors import BackendError

trt = load_runtime("tensorrt-rtx")
for kind in ("Builder", "Runtime"):
    try:
        start(trt, kind)
    except BackendError as error:
        print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bindings' libraries are made with gcc")
def test_bindings_that_get_no_builder_and_no_runtime_are_one_line_each(tmp_path: Path) -> None:
    version = load_rtx().__version__
    source = tmp_path / "nothing.c"
    source.write_text("".join(f"void *{name}() {{ return 0; }}\n" for name in SYMBOLS), encoding="utf-8")
    for name in LIBRARIES:
        command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(tmp_path / name), str(source)]
        subprocess.run(command, check=True)
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    lines = found.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(f"TensorRT for RTX {version} does not start: TensorRT gives no reason; ")


PLACES = """
import ctypes, rt.backends.tensorrt_runtime as runtime
loaded = []
real = ctypes.CDLL
runtime.ctypes.CDLL = lambda name, mode=ctypes.RTLD_LOCAL: loaded.append((name, mode)) or real(name, mode)
trt = runtime.load_runtime("tensorrt-rtx")
trt.Builder(runtime.logger_of(trt))
print([name.rpartition("/")[2].partition(".so")[0] for name, _ in loaded], {mode for _, mode in loaded})
everything = real(None)  # what a library loaded later, TensorRT's, would be bound to
print(hasattr(everything, "createInferBuilder_INTERNAL"), hasattr(everything, "getPluginRegistry"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere libraries share no names")
def test_the_libraries_of_rtx_keep_their_names_from_tensorrt() -> None:
    load_rtx()
    found = subprocess.run(
        [sys.executable, "-c", PLACES], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert found == ["['libtensorrt_rtx', 'libtensorrt_onnxparser_rtx'] {0}", "False False"]
