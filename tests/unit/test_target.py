"""What an engine is built for, and with which TensorRT."""

from __future__ import annotations

import enum
import importlib.machinery
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from engines.target import Gpu, Target, choose_runtime, find_targets
from rt.backends.nvidia import installed_runtimes, load_tensorrt
from rt.errors import BackendError, EngineError

Capability = enum.IntEnum(
    "Capability", {"NONE": 0, "CURRENT": 1, "SM75": 75, "SM86": 86, "SM89": 89, "SM120": 120}
)
RTX = SimpleNamespace(__version__="1.7.1.116", ComputeCapability=Capability)
TENSORRT = SimpleNamespace(__version__="10.3.0")
ORIN = Gpu("Orin", "sm87")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts a GPU, or none, into this machine."""
    return lambda gpu: monkeypatch.setattr("engines.target.find_gpu", lambda: gpu)


def test_tensorrt_builds_for_the_gpu_of_the_machine_alone(here: Any) -> None:
    here(ORIN)
    wanted = [Target("tensorrt", "10.3.0", "sm87", "Orin")]
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
    here(Gpu("NVIDIA GeForce RTX 4090", "sm89"))
    assert find_targets("auto", "tensorrt-rtx", RTX) == [Target("tensorrt-rtx", "1.7.1.116", "sm89", "any")]
    here(Gpu("NVIDIA H100", "sm90"))
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
    with pytest.raises(EngineError, match=f"^there is no GPU here to build for; .*{said}"):
        find_targets("auto", runtime, trt)


def test_a_target_that_is_no_compute_capability_is_explained(here: Any) -> None:
    here(None)
    with pytest.raises(EngineError, match="a target is a compute capability such as sm89, or auto$"):
        find_targets("rtx4090", "tensorrt-rtx", RTX)
    with pytest.raises(EngineError, match="sm89 is asked for and none is here"):
        find_targets("sm89", "tensorrt", TENSORRT)


def module(name: str) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    return made


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No TensorRT of any kind, whatever is installed."""
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if "tensorrt" in name else real(name, package)

    monkeypatch.setattr("rt.backends.nvidia.importlib.util.find_spec", find)
    for name in [name for name in sys.modules if name.startswith("tensorrt")]:
        monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def test_what_is_missing_is_named_with_the_command(bare: pytest.MonkeyPatch) -> None:
    assert installed_runtimes() == ()
    with pytest.raises(BackendError) as error:
        load_tensorrt("tensorrt-rtx")
    assert str(error.value) == "tensorrt-rtx is not installed; type: pip install 'frameshift[rtx]'"
    with pytest.raises(
        BackendError, match=r"pip install 'frameshift\[tensorrt\]'; on Jetson: apt-get install"
    ):
        load_tensorrt("tensorrt")
    with pytest.raises(BackendError, match="no runtime 'tensort'; did you mean 'tensorrt'"):
        load_tensorrt("tensort")
    with pytest.raises(EngineError, match="^neither TensorRT nor TensorRT for RTX is installed; type: pip "):
        choose_runtime(None)


def test_the_first_installed_runtime_is_taken_unless_another_is_asked_for(bare: pytest.MonkeyPatch) -> None:
    rtx, trt = module("tensorrt_rtx"), module("tensorrt")
    bare.setitem(sys.modules, "tensorrt_rtx", rtx)
    assert choose_runtime(None) == ("tensorrt-rtx", rtx)
    bare.setitem(sys.modules, "tensorrt", trt)
    assert installed_runtimes() == ("tensorrt", "tensorrt-rtx")
    assert choose_runtime(None) == ("tensorrt", trt)
    assert choose_runtime("tensorrt-rtx") == ("tensorrt-rtx", rtx)


def test_libraries_that_do_not_load_are_reported_in_one_line(bare: pytest.MonkeyPatch) -> None:
    bare.setattr("rt.backends.nvidia._is_there", lambda name: name == "tensorrt_rtx_bindings")

    def fail() -> None:
        raise OSError("libcudart.so.13:\ncannot open")

    bare.setattr("rt.backends.nvidia._load_rtx_libraries", fail)
    with pytest.raises(BackendError) as error:
        load_tensorrt("tensorrt-rtx")
    assert str(error.value) == (
        "tensorrt-rtx is installed but does not load: libcudart.so.13: cannot open; "
        "type: pip install 'frameshift[rtx]'"
    )
