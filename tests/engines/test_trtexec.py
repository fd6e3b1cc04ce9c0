"""The line of NVIDIA's tools that equals a build."""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext
from pathlib import Path

import onnx
import pytest

from engines.compile import Order, build_engines
from engines.trtexec import equal_command
from rt.cuda.device import Gpu
from rt.engine_file import EngineKey
from rt.log import LOG
from rt.styles import find_style
from tests.support.networks import save_residual
from tests.support.onnx_styles import make_style
from tests.support.tensorrt import TYPICAL, load

MODEL, PLAN, CACHE = Path("/e/a b.onnx"), Path("/e/w.engine"), Path("/e/t.cache")


def key(runtime: str, version: str) -> EngineKey:
    return EngineKey("winter", "0" * 64, "fp16", 256, 448, runtime, version, "sm89", "any")


@pytest.mark.parametrize(
    ("runtime", "version", "workspace_bytes", "line"),
    [
        (
            *("tensorrt", "10.3.0", None),
            "trtexec '--onnx=/e/a b.onnx' --saveEngine=/e/w.engine --skipInference --stronglyTyped "
            "--profilingVerbosity=detailed --timingCacheFile=/e/t.cache",
        ),
        (
            *("tensorrt", "11.4.0.106", 256 << 20),
            "trtexec '--onnx=/e/a b.onnx' --saveEngine=/e/w.engine --skipInference "
            "--profilingVerbosity=detailed --timingCacheFile=/e/t.cache --memPoolSize=workspace:256",
        ),
        (
            *("tensorrt-rtx", "1.7.1.116", None),
            "tensorrt_rtx '--onnx=/e/a b.onnx' --saveEngine=/e/w.engine",
        ),
    ],
)
def test_the_line_has_what_the_build_is_told(
    runtime: str, version: str, workspace_bytes: int | None, line: str
) -> None:
    assert equal_command(key(runtime, version), MODEL, PLAN, CACHE, workspace_bytes) == line


@pytest.mark.parametrize("verbose", [False, True])
def test_a_build_says_it_with_verbose_and_keeps_the_network_it_needs(
    verbose: bool,
    tmp_path: Path,
    own_engines: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "tensorrt", load(TYPICAL))
    gpu = Gpu("NVIDIA RTX A2000", "sm86", 6 << 30, integrated=False, multiprocessors=26)
    monkeypatch.setattr("engines.target.find_gpu", lambda: gpu)
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    with caplog.at_level(logging.DEBUG if verbose else logging.INFO, LOG.name):
        (made,) = build_engines(style, Order("fp16", (32, 48)), lambda what: nullcontext(lambda *step: None))
    model = made.path.with_suffix(".onnx")
    assert model.exists() == verbose
    assert (
        f"the same with NVIDIA's tool: trtexec --onnx={model} --saveEngine={made.path} " in caplog.text
    ) == (verbose)
    if verbose:
        shape = onnx.load(model).graph.input[0].type.tensor_type.shape.dim
        assert [dimension.dim_value for dimension in shape] == [1, 32, 48, 3]
