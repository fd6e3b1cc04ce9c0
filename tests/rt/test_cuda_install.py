"""Which CUDA the driver serves, and how PyCUDA is installed."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import pytest

import rt.cuda.driver
from rt.backends.tensorrt_runtime import extra
from rt.cuda import nvrtc
from rt.cuda.driver import driver_cuda, how_to_install
from rt.errors import BackendError


class Compiler:
    """NVRTC of a CUDA version, loaded from a file named for it: `13`."""

    def __init__(self, name: str) -> None:
        self.major = int(name)
        self.nvrtcGetErrorString = lambda status: b"?"

    def nvrtcVersion(self, major: Any, minor: Any) -> int:  # noqa: N802
        major._obj.value, minor._obj.value = self.major, 4
        return 0


def place(monkeypatch: pytest.MonkeyPatch, served: tuple[int, int] | None, *compilers: int) -> None:
    monkeypatch.setattr(nvrtc, "driver_cuda", lambda: served)
    monkeypatch.setattr(nvrtc, "_places", lambda: iter(map(str, compilers)))
    monkeypatch.setattr(ctypes, "CDLL", Compiler)


@pytest.mark.parametrize(
    ("served", "compilers", "taken"),
    [
        ((13, 0), (13, 12), 13),
        ((12, 8), (13, 12), 12),
        ((12, 8), (14, 13, 12), 12),
        ((14, 0), (13, 12), 13),
        (None, (13, 12), 13),
    ],
)
def test_the_first_compiler_that_the_driver_goes_with_is_taken(
    served: tuple[int, int] | None, compilers: tuple[int, ...], taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, served, *compilers)
    assert nvrtc.compiler_version() == f"{taken}.4"


@pytest.mark.parametrize(
    ("served", "compilers", "why"),
    [
        ((12, 8), (13,), "of CUDA 13 is too new for the driver (CUDA 12.8); type: {}-cu12"),
        ((12, 8), (), "is not found; type: {}-cu12"),
        ((13, 1), (), "is not found; type: {}"),
        (None, (), "is not found; type: {}"),
    ],
)
def test_without_such_a_compiler_the_one_to_install_is_named(
    served: tuple[int, int] | None, compilers: tuple[int, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(monkeypatch, served, *compilers)
    with pytest.raises(BackendError) as error:
        nvrtc.load_compiler()
    said = why.format("pip install nvidia-cuda-nvrtc")
    assert str(error.value) == f"the GPU's kernels cannot be compiled: NVIDIA's compiler NVRTC {said}"


class Driver:
    def __init__(self, name: str) -> None:
        pass

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 12_080
        return 0


def test_the_driver_says_which_cuda_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert driver_cuda() == (12, 8)
    monkeypatch.setattr(Driver, "cuDriverGetVersion", lambda driver, version: 3)
    assert driver_cuda() is None


def test_no_driver_serves_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert driver_cuda() is None


@pytest.mark.parametrize("name", ["tensorrt", "rtx", "rtx-build"])
@pytest.mark.parametrize(
    ("served", "ending"), [((11, 8), "-cu12"), ((12, 9), "-cu12"), ((13, 0), ""), (None, "")]
)
def test_the_extra_goes_with_the_driver_and_is_one_of_this_project(
    name: str, served: tuple[int, int] | None, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rt.backends.tensorrt_runtime.driver_cuda", lambda: served)
    assert extra(name) == name + ending
    project = Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
    assert f"\n{extra(name)} = [" in project


def test_where_nvcc_is_there_but_not_on_the_path_the_command_has_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = tmp_path / "nvcc"
    monkeypatch.setattr(rt.cuda.driver, "NVCC", nvcc)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert how_to_install() == "pip install pycuda"
    nvcc.touch()
    assert how_to_install() == f"PATH={tmp_path}:$PATH pip install pycuda"
    assert how_to_install("numpy") == "pip install numpy"
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert how_to_install() == "pip install pycuda"
