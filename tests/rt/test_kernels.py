"""The kernels compile for every GPU and compute what rt.fit computes."""

from __future__ import annotations

import ctypes
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rt.cuda import nvrtc
from rt.cuda.kernels import SOURCE
from rt.cuda.nvrtc import compile_source, load_compiler
from rt.errors import BackendError
from rt.fit import apply_residual, shrink
from tests.support.cuda.build import build_twin
from tests.support.cuda.twin import Rgb, Twin

KINDS = ("sm75", "sm80", "sm86", "sm87", "sm89", "sm90", "sm100", "sm120")
KERNELS = ("shrink", "apply_residual", "shrink_planes", "apply_planes")
MOST_REGISTERS = 64
"""Of a thread, so that four blocks of 256 threads find room at once."""
SIZES = [
    ((1080, 1920), (256, 456)),
    ((1080, 1920), (160, 288)),
    ((720, 1280), (240, 424)),
    ((480, 641), (160, 216)),
    ((360, 480), (360, 480)),
    ((256, 512), (128, 128)),
    ((101, 100), (88, 64)),
    ((33, 999), (32, 64)),
    ((31, 47), (16, 16)),
    ((17, 17), (8, 8)),
    ((3, 2), (2, 1)),
    ((1, 1), (1, 1)),
    ((8, 9), (1, 1)),
]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed; type: apt-get install g++")
    return Twin(ctypes.CDLL(str(build_twin(tmp_path_factory.mktemp("twin") / "twin.so"))))


def noise(size: tuple[int, int], seed: int) -> Rgb:
    return np.asarray(np.random.default_rng(seed).integers(0, 256, (*size, 3)), np.uint8)


def photo(size: tuple[int, int]) -> Rgb:
    """Return a smooth image with hard edges: uint8[*size, 3]."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    planes = [255 * x, 128 + 127 * np.sin(12 * y), 255.0 * ((x * 7).astype(int) % 2)]
    return np.asarray(np.clip(np.stack(planes, axis=-1), 0, 255), np.uint8)


def apart(found: Rgb, wanted: Rgb) -> npt.NDArray[np.int16]:
    return np.asarray(np.abs(found.astype(np.int16) - wanted), np.int16)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "small_size"), SIZES)
def test_a_frame_shrinks_as_on_the_cpu(
    twin: Twin, size: tuple[int, int], small_size: tuple[int, int]
) -> None:
    for frame in (noise(size, 1), photo(size), np.full((*size, 3), 255, np.uint8)):
        small = twin.shrink(frame, small_size)
        for wanted in (
            shrink(frame, small_size),
            cv2.resize(frame, small_size[::-1], interpolation=cv2.INTER_AREA),
        ):
            difference = apart(small, np.asarray(wanted, np.uint8))
            assert difference.max() <= 1
            assert (difference > 0).mean() < 0.02  # halves alone, which floats round either way


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0, 0.3, 1])
@pytest.mark.parametrize(("size", "small_size"), SIZES)
def test_a_residual_is_applied_as_on_the_cpu(
    twin: Twin, size: tuple[int, int], small_size: tuple[int, int], strength: float
) -> None:
    small_in, small_out = noise(small_size, 2), noise(small_size, 3)
    for frame in (noise(size, 4), photo(size)):
        applied = twin.apply_residual(frame, small_in, small_out, strength)
        difference = apart(applied, apply_residual(frame, small_in, small_out, strength, "keep"))
        assert difference.max() <= 1
        if strength == 0:
            assert np.array_equal(applied, frame)
        elif applied.size > 1000:
            assert apart(applied, frame).mean() > 10
            assert (difference > 0).mean() < 0.08


def test_a_long_frame_s_sums_do_not_overflow(twin: Twin) -> None:
    frame = np.full((4320, 7680, 3), 255, np.uint8)
    assert np.array_equal(twin.shrink(frame, (1, 1)), np.full((1, 1, 3), 255, np.uint8))


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernels_compile_for_every_kind_of_gpu_without_spills(kind: str) -> None:
    compiled = compile_source(SOURCE.read_text(), kind)
    assert compiled.cubin.startswith(b"\x7fELF")
    found = dict(re.findall(r"Function properties for (\w+)\s+(?:ptxas\s+\.?\s*)?(.*)", compiled.log))
    assert found.keys() == set(KERNELS), compiled.log
    for facts in found.values():
        assert facts == "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
    registers = [int(number) for number in re.findall(r"Used (\d+) registers", compiled.log)]
    assert len(registers) == len(KERNELS)
    assert max(registers) <= MOST_REGISTERS


@pytest.mark.usefixtures("compiler")
def test_source_that_does_not_compile_is_refused_with_the_compiler_s_words() -> None:
    with pytest.raises(BackendError) as error:
        compile_source("void kernel() { undefined(); }", "sm86")
    assert str(error.value).startswith(
        "the GPU's kernels cannot be compiled for sm86: kernels.cu(1): error: "
    )
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("compiler")
def test_a_gpu_that_the_compiler_does_not_know_is_refused() -> None:
    with pytest.raises(
        BackendError, match=r"^the GPU's kernels cannot be compiled for sm30: .*--gpu-architecture"
    ):
        compile_source(SOURCE.read_text(), "sm30")


def test_the_compiler_s_second_half_is_loaded_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("libnvrtc.so.13", "libnvrtc-builtins.so.13.0"):
        (tmp_path / name).touch()
    loaded: list[str] = []

    def load(path: str) -> SimpleNamespace:
        loaded.append(Path(path).name)
        return SimpleNamespace(nvrtcGetErrorString=SimpleNamespace())

    monkeypatch.setattr(nvrtc, "_places", lambda: iter([str(tmp_path / "libnvrtc.so.13")]))
    monkeypatch.setattr(nvrtc, "driver_cuda", lambda: None)
    monkeypatch.setattr(ctypes, "CDLL", load)
    load_compiler()
    assert loaded == ["libnvrtc-builtins.so.13.0", "libnvrtc.so.13"]


def test_a_missing_compiler_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_places", lambda: iter(["/nowhere/libnvrtc.so"]))
    with pytest.raises(BackendError) as error:
        load_compiler()
    assert str(error.value) == (
        "the GPU's kernels cannot be compiled: NVIDIA's compiler NVRTC is not found; "
        "type: pip install nvidia-cuda-nvrtc"
    )


def test_the_kernels_are_one_small_file_that_is_installed_with_the_program() -> None:
    assert SOURCE.is_file()
    assert '"cuda/*.cu"' in (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
