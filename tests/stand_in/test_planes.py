"""Frames of planes fitted on the stand-in GPU."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from rt.backends import Mode, open_backend
from rt.backends.tensorrt import TensorRtBackend
from rt.controls import Controls
from rt.cuda import nvrtc
from rt.cuda.layout import FrameFormat, FrameLayout
from rt.errors import BackendError
from rt.frame import Frame
from rt.media import MATRIX_709
from rt.planes import Converter, Planes
from rt.sources import open_source
from rt.styles import find_style
from rt.translator import Translator
from tests.e2e.conftest import draw_clip
from tests.stand_in.conftest import SIZE, Network
from tests.support.cli import videobrush
from tests.support.cuda import SCHEDULES, StandIn
from tests.support.cuda.twin import Packed, Twin
from tests.support.onnx_styles import make_style
from tests.support.tensorrt.behaviour import store_engine

FORMATS: tuple[FrameFormat, ...] = ("yuv420p", "nv12")
MODES: tuple[Mode, ...] = ("latency", "throughput")
STRENGTHS = (1.0, 0.25, 0.0, 0.5, 0.75, 1.0, 0.1)
SHARES = ((0.299, 0.114), (0.2126, 0.0722))
"""Those of two matrices, which take turns."""
FRAME = (75, 101)
Opened = Callable[..., TensorRtBackend]


@pytest.fixture(autouse=True)
def compiler() -> None:
    try:
        nvrtc.load_compiler()
    except BackendError as error:
        pytest.skip(str(error))


def open_for(trt: Any, network: Network, mode: Mode, format: FrameFormat) -> TensorRtBackend:
    plan = network.plan(trt)
    return TensorRtBackend(
        trt, plan, SIZE, "fp32", mode, "BUILD AGAIN", frame_size=FRAME, frame_format=format
    )


def noise(layout: FrameLayout) -> list[Packed]:
    rng = np.random.default_rng(0)
    return [rng.integers(16, 236, layout.nbytes, dtype=np.uint8) for _ in STRENGTHS]


def fly(backend: TensorRtBackend, layout: FrameLayout, frames: list[Packed]) -> list[Packed]:
    flying: deque[Any] = deque()
    found: list[Packed] = []
    for number, (frame, strength) in enumerate(zip(frames, STRENGTHS, strict=True)):
        if len(flying) == backend.info.slots:
            found.append(flying.popleft().result()[0])
        given = frame.copy()
        flying.append(backend.start_planes(layout.planes(given), strength, SHARES[number % 2]))
        given[:] = 0
    return [*found, *(pending.result()[0] for pending in flying)]


def expected(network: Network, layout: FrameLayout, frames: list[Packed]) -> list[Packed]:
    twin = Twin(ctypes.CDLL("libcuda.so.1"))
    made = []
    for number, (frame, strength) in enumerate(zip(frames, STRENGTHS, strict=True)):
        numbers = (strength, *SHARES[number % 2])
        small = twin.shrink_planes(frame, layout, numbers, SIZE)
        made.append(twin.apply_planes(frame, layout, numbers, small, network.expected(small[None])[0]))
    return made


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", FORMATS)
def test_planes_are_fitted_to_the_bit_as_the_kernels_do_it(
    gpu: StandIn, one: Any, network: Network, format: FrameFormat, mode: Mode, schedule: str, integrated: bool
) -> None:
    layout = FrameLayout(format, FRAME)
    frames = noise(layout)
    with gpu.having(integrated=integrated):
        backend = open_for(one, network, mode, format)
        gpu.schedule(schedule)
        found = fly(backend, layout, frames)
        backend.close()
    for mine, wanted in zip(found, expected(network, layout, frames), strict=True):
        assert np.array_equal(mine, wanted)
    assert np.array_equal(found[2], frames[2])
    assert np.abs(found[0].astype(int) - frames[0]).mean() > 2


def test_a_backend_takes_frames_of_the_format_it_was_opened_for(one: Any, network: Network) -> None:
    backend = open_for(one, network, "latency", "nv12")
    with pytest.raises(
        BackendError, match=r"^backend tensorrt was opened for frames of nv12 and cannot take"
    ):
        backend.start_frame(np.zeros((1, *FRAME, 3), np.uint8), 1)
    backend.close()
    with pytest.raises(BackendError, match=r"^backend tensorrt is closed and cannot translate$"):
        backend.start_planes((), 1, SHARES[0])


@pytest.fixture
def no_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame of a file may be turned into RGB."""

    def refuse(*given: object) -> None:
        raise AssertionError("a frame of a file is turned into RGB")

    monkeypatch.setattr(Converter, "convert", refuse)


def test_frames_of_files_are_never_turned_into_rgb_for_the_gpu(
    one: Any, network: Network, tmp_path: Path, no_rgb: None
) -> None:
    clip = draw_clip(tmp_path / "clip.mp4", frames=5)
    source = open_source(str(clip))
    assert source.info.frame_format == "yuv420p"
    size = source.info.height, source.info.width
    backend = TensorRtBackend(
        one, network.plan(one), SIZE, "fp32", "throughput", frame_size=size, frame_format="yuv420p"
    )
    translator = Translator(backend, Controls(strength=0.5))
    frames = list(source)
    found = list(translator.translate_all(frames))
    translator.close()
    twin, layout = Twin(ctypes.CDLL("libcuda.so.1")), FrameLayout("yuv420p", size)
    for frame, given in zip(found, frames, strict=True):
        assert isinstance(given.image, Planes)
        assert isinstance(frame.image, Planes)
        assert frame.origin is given
        before = np.concatenate([view.ravel() for view in given.image.views])
        numbers = (0.5, *given.image.shares)
        small = twin.shrink_planes(before, layout, numbers, SIZE)
        wanted = twin.apply_planes(before, layout, numbers, small, network.expected(small[None])[0])
        for mine, other in zip(frame.image.views, layout.planes(wanted), strict=True):
            assert np.array_equal(mine, other)
    assert len(found) == 5


def test_planes_for_a_backend_of_rgb_frames_are_fitted_on_the_cpu(
    one: Any, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Planes(av.VideoFrame(96, 64, "yuv420p"), MATRIX_709, Converter())
    for view in image.views:
        view[:] = 128
    backend = TensorRtBackend(one, network.plan(one), SIZE, "fp32", frame_size=(64, 96))
    monkeypatch.setattr(TensorRtBackend, "start_frame", None)
    translator = Translator(backend)
    frame = translator.translate(Frame(image, 0, Fraction(1, 25), 0))
    assert isinstance(frame.image, Planes)
    translator.close()


def test_auto_fits_on_the_gpu_what_it_can_and_says_why_not_the_rest(
    one: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = find_style(make_style(tmp_path))
    store_engine(style, SIZE)

    def choose(size: tuple[int, int]) -> tuple[tuple[int, int] | None, str]:
        choice = open_backend("tensorrt", style, SIZE, frame_size=size, frame_format="nv12", or_on_cpu=True)
        info = choice.backend.info
        choice.backend.close()
        assert ("frames fitted there" in info.device) == (info.frame_size is not None)
        return info.frame_size, choice.reason.partition("; ")[2]

    assert choose((64, 96)) == ((64, 96), "")
    assert choose((20, 96)) == (
        None,
        "frames are fitted on the CPU: frames of 96x20 cannot be fitted on the GPU: they are smaller than "
        "the network's image of 48x32",
    )
    monkeypatch.setattr(nvrtc, "_places", lambda: iter(()))
    size, why = choose((64, 96))
    assert size is None
    assert why.startswith("frames are fitted on the CPU: the GPU's kernels cannot be compiled: ")
    choice = open_backend("openvino", style, SIZE, frame_size=(64, 96), or_on_cpu=True)
    assert choice.backend.info.frame_size is None
    choice.backend.close()


@pytest.mark.parametrize(
    ("option", "fitted"),
    [("", True), ("--fit cpu", False), ("--steady 0.5", False), ("--detail network", False)],
)
def test_a_run_chooses_by_its_source_and_options(
    own_styles: Path, tmp_path: Path, packages: str, option: str, fitted: bool
) -> None:
    style = find_style(make_style(own_styles))
    clip = draw_clip(tmp_path / "clip.mp4", frames=3)
    store_engine(style, (32, 44))
    command = ["run", clip, "out.mp4", "--style", "drawn", "--backend", "tensorrt", "--precision", "fp32"]
    said = videobrush(*command, *option.split(), cwd=tmp_path, PYTHONPATH=packages)
    assert said.returncode == 0, said.stderr
    assert (", frames fitted there)" in said.stderr) == fitted
