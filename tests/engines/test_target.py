"""What an engine is built for, and with which TensorRT."""

from __future__ import annotations

import enum
import re
import sys
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from engines.target import Target, check_precision, choose_runtime, find_targets
from rt.cuda.device import Gpu
from rt.errors import BackendError, EngineError
from rt.install import install_hint
from tests.support.tensorrt import load, module_name

Capability = enum.IntEnum(
    "Capability", {"NONE": 0, "CURRENT": 1, "SM75": 75, "SM86": 86, "SM89": 89, "SM120": 120}
)
RTX = SimpleNamespace(__version__="1.7.1.116", ComputeCapability=Capability)
TENSORRT = SimpleNamespace(__version__="10.3.0")
ORIN = Gpu("Orin", "sm87", 32 << 30, integrated=True, multiprocessors=8)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts a GPU, or none, into this machine."""

    def find(gpu: Gpu | None) -> Gpu:
        if gpu is None:
            raise BackendError("the GPU cannot be used: there is none; type: nvidia-smi")
        return gpu

    return lambda gpu: monkeypatch.setattr("engines.target.find_gpu", lambda: find(gpu))


def test_tensorrt_builds_for_the_gpu_of_the_machine_alone(here: Any) -> None:
    here(ORIN)
    wanted = [Target("tensorrt", "10.3.0", "sm87", "Orin, 8 SMs, 32 GiB")]
    assert find_targets("auto", "tensorrt", TENSORRT) == find_targets("SM87", "tensorrt", TENSORRT) == wanted
    with pytest.raises(EngineError) as error:
        find_targets("sm89", "tensorrt", TENSORRT)
    assert str(error.value) == (
        "TensorRT builds for the GPU it runs on alone, sm89 is asked for and here is Orin (sm87): build on "
        "the machine that will run the engine, or with --runtime tensorrt-rtx"
    )


def test_tensorrt_for_rtx_builds_for_any_gpu_it_knows_without_one(here: Any) -> None:
    here(None)
    assert find_targets("sm86,sm120, SM86", "tensorrt-rtx", RTX) == [
        Target("tensorrt-rtx", "1.7.1.116", "sm86", "any"),
        Target("tensorrt-rtx", "1.7.1.116", "sm120", "any"),
    ]


def test_auto_takes_the_gpu_of_the_machine(here: Any) -> None:
    here(Gpu("NVIDIA GeForce RTX 4090", "sm89", 24 << 30, integrated=False, multiprocessors=128))
    assert find_targets("auto", "tensorrt-rtx", RTX) == [Target("tensorrt-rtx", "1.7.1.116", "sm89", "any")]
    here(Gpu("NVIDIA H100", "sm90", 80 << 30, integrated=False, multiprocessors=132))
    with pytest.raises(
        EngineError, match="does not build for 'sm90'.*it builds for: sm75, sm86, sm89, sm120$"
    ):
        find_targets("auto", "tensorrt-rtx", RTX)


@pytest.mark.parametrize(
    ("runtime", "trt", "said"),
    [
        ("tensorrt", TENSORRT, "builds on the machine that runs the engine; --runtime tensorrt-rtx builds"),
        ("tensorrt-rtx", RTX, "name the one to build for: --target sm75,sm86,sm89,sm120"),
    ],
)
def test_auto_without_a_gpu_says_what_to_type(here: Any, runtime: str, trt: Any, said: str) -> None:
    here(None)
    with pytest.raises(
        EngineError, match=f"^no GPU is found to build for: the GPU cannot be used: there is none; .*{said}"
    ):
        find_targets("auto", runtime, trt)


def test_a_target_that_is_no_compute_capability_is_explained(here: Any) -> None:
    here(None)
    with pytest.raises(EngineError, match="a target is a compute capability such as sm89, or auto$"):
        find_targets("rtx4090", "tensorrt-rtx", RTX)
    with pytest.raises(
        EngineError, match=r"sm89 is asked for and none is found \(the GPU cannot be used: there is none\)"
    ):
        find_targets("sm89", "tensorrt", TENSORRT)


def install(monkeypatch: pytest.MonkeyPatch, *versions: str) -> list[Any]:
    """Let the given versions be the only ones installed; return their modules."""
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    modules = [load(version) for version in versions]
    for module in modules:
        monkeypatch.setitem(sys.modules, module_name(module), module)
    return modules


def test_the_first_installed_runtime_is_taken_unless_another_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (rtx,) = install(monkeypatch, "1.7.1.116")
    assert choose_runtime(None) == ("tensorrt-rtx", rtx)
    trt, rtx = install(monkeypatch, "10.3.0", "1.7.1.116")
    assert choose_runtime(None) == ("tensorrt", trt)
    assert choose_runtime("tensorrt-rtx") == ("tensorrt-rtx", rtx)


def test_without_any_runtime_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(EngineError, match="^neither TensorRT nor TensorRT for RTX is installed; type: pip "):
        choose_runtime(None)
    command = re.escape(install_hint("rtx"))
    with pytest.raises(BackendError, match=f"is not installed; type: {command}, or to build engines alone: "):
        choose_runtime("tensorrt-rtx")


def test_gpus_of_one_name_that_run_other_engines_are_told_apart() -> None:
    orins = [
        Gpu("Orin", "sm87", memory_bytes, integrated=True, multiprocessors=multiprocessors)
        for memory_bytes, multiprocessors in ((61 << 30, 16), (30 << 30, 14), (15 << 30, 8), (7 << 30, 8))
    ]
    assert len({gpu.model for gpu in orins}) == 4
    again = Gpu("Orin", "sm87", (61 << 30) + (100 << 20), integrated=True, multiprocessors=16)
    assert again.model == orins[0].model  # the driver sets aside a little more, or less


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_precision_is_refused_only_where_the_gpu_has_none(precision: str) -> None:
    for runtime, name in product(("tensorrt", "tensorrt-rtx"), ("sm75", "sm80", "sm86", "sm89", "sm120")):
        targets = [Target(runtime, "1", name, "any")]
        if (precision, runtime, name) == ("int8", "tensorrt-rtx", "sm75"):
            with pytest.raises(EngineError, match="Turing"):
                check_precision(precision, targets)
        else:
            check_precision(precision, targets)
