"""Frames fitted on the stand-in GPU have the kernels' bytes."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rt.cuda.slot
from rt.backends import FrameBackend, Mode
from rt.backends.tensorrt import TensorRtBackend
from rt.controls import Controls
from rt.cuda import nvrtc
from rt.cuda.frame_slot import FrameSlot
from rt.cuda.kernels import FitKernels
from rt.cuda.slot import Slot
from rt.errors import BackendError
from rt.fit import apply_residual, shrink
from rt.frame import Frame
from rt.translator import Translator
from tests.stand_in.conftest import SIZE, Network
from tests.support.cuda import SCHEDULES, StandIn
from tests.support.cuda.twin import Twin

MODES: tuple[Mode, ...] = ("latency", "throughput")
FRAME = (75, 101)
STRENGTHS = (1.0, 0.25, 0.0, 0.5, 0.75, 1.0, 0.1)
Opened = Callable[..., TensorRtBackend]


@pytest.fixture(autouse=True)
def compiler() -> None:
    try:
        nvrtc.load_compiler()
    except BackendError as error:
        pytest.skip(str(error))


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


def noise(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *FRAME, 3), dtype=np.uint8)


def expected(network: Network, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return what the kernels, compiled for the CPU, make of frames around the network."""
    twin = Twin(ctypes.CDLL("libcuda.so.1"))
    found = []
    for frame, strength in zip(frames, STRENGTHS, strict=True):
        small = twin.shrink(frame, SIZE)
        found.append(twin.apply_residual(frame, small, network.expected(small[None])[0], strength))
    return np.stack(found)


def fly(backend: TensorRtBackend, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Translate frames with as many in flight as there are slots; each may be written to at once."""
    flying: deque[Any] = deque()
    found = []
    for frame, strength in zip(frames, STRENGTHS, strict=True):
        if len(flying) == backend.info.slots:
            found.append(flying.popleft().result()[0])
        given = frame[None].copy()
        flying.append(backend.start_frame(given, strength))
        given[:] = 0
    return np.stack([*found, *(pending.result()[0] for pending in flying)])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_frames_are_fitted_to_the_bit_as_the_kernels_do_it(
    gpu: StandIn, trt: Any, mode: Mode, schedule: str, opened: Opened, network: Network
) -> None:
    backend = opened(trt, mode, SIZE, FRAME)
    gpu.schedule(schedule)
    assert np.array_equal(fly(backend, noise(7)), expected(network, noise(7)))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_frames_are_fitted_in_memory_shared_with_the_host(
    gpu: StandIn, one: Any, mode: Mode, schedule: str, opened: Opened, network: Network
) -> None:
    with gpu.having(integrated=True):
        backend = opened(one, mode, SIZE, FRAME)
        gpu.schedule(schedule)
        assert np.array_equal(fly(backend, noise(7)), expected(network, noise(7)))
        backend.close()
        backend.close()


def test_frames_are_those_of_the_cpu_within_a_level(one: Any, mode: Mode, opened: Opened) -> None:
    backend = opened(one, mode, SIZE, FRAME)
    for frame, fitted, strength in zip(noise(7), fly(backend, noise(7)), STRENGTHS, strict=True):
        small = shrink(frame, SIZE)
        wanted = apply_residual(frame, small, backend.translate(small[None])[0], strength, "keep")
        assert np.abs(fitted.astype(int) - wanted).max() <= 1
        assert strength == 0 or np.abs(fitted.astype(int) - frame).mean() > 2


def test_frames_and_images_take_turns_in_the_same_slots(
    one: Any, mode: Mode, opened: Opened, network: Network
) -> None:
    backend = opened(one, mode, SIZE, FRAME)
    small = np.random.default_rng(9).integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)
    for _ in range(3):
        assert np.array_equal(backend.translate(small), network.expected(small))
        assert np.array_equal(fly(backend, noise(7)), expected(network, noise(7)))


@pytest.mark.parametrize("integrated", [False, True])
def test_what_is_held_while_open_and_nothing_afterwards(
    gpu: StandIn, one: Any, mode: Mode, integrated: bool, opened: Opened
) -> None:
    with gpu.having(integrated=integrated):
        backend = opened(one, mode, SIZE, FRAME)
        slots = {"latency": 1, "throughput": 3}[mode]
        assert gpu.held() == {
            "streams": 1 if mode == "latency" else 3,
            "events": 6 * slots,
            "pinned memory": 4 * slots,
            # The network's image is the GPU's own also where the host's memory is shared.
            "device memory": 3 * slots if integrated else 5 * slots,
            "graphs": 2 * slots,
            "modules": 1,
            "contexts": 1,
        }
        assert backend.info.device.endswith(", CUDA graph, frames fitted there)")
        backend.close()
        assert gpu.held() == {}


def test_the_translator_lets_the_gpu_fit_what_it_can(
    one: Any, mode: Mode, opened: Opened, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(one, mode, SIZE, FRAME)
    assert isinstance(backend, FrameBackend)
    fitted: list[int] = []
    start = TensorRtBackend.start_frame

    def counted(backend: TensorRtBackend, rgb: npt.NDArray[np.uint8], strength: float) -> Any:
        fitted.append(1)
        return start(backend, rgb, strength)

    monkeypatch.setattr(TensorRtBackend, "start_frame", counted)
    controls = Controls()
    translator = Translator(backend, controls)
    frames = [Frame(rgb, index, Fraction(1, 25), index) for index, rgb in enumerate(noise(6))]
    small = [shrink(frame.rgb, SIZE) for frame in frames]
    wanted = [
        apply_residual(frame.rgb, before, network.expected(before[None])[0], 1, "keep")
        for frame, before in zip(frames, small, strict=True)
    ]
    found = list(translator.translate_all(frames))
    assert len(fitted) == 6
    assert [frame.index for frame in found] == list(range(6))
    assert all(frame.origin is given for frame, given in zip(found, frames, strict=True))
    for frame, image in zip(found, wanted, strict=True):
        assert np.abs(frame.rgb.astype(int) - image).max() <= 1
    # What needs the network's own images is done on the CPU.
    controls.steady = 0.5
    assert np.array_equal(translator.translate(frames[0]).rgb, wanted[0])
    controls.steady = 0.0
    translator.detail = "network"
    translator.translate(frames[1])
    translator.detail = "keep"
    translator.translate(Frame(frames[2].rgb[:-1], 0, Fraction(1, 25), 0))
    assert len(fitted) == 6
    translator.translate(frames[3])
    assert len(fitted) == 7


def test_frames_smaller_than_the_network_s_image_are_refused(gpu: StandIn, one: Any, opened: Opened) -> None:
    with pytest.raises(BackendError) as error:
        opened(one, "latency", SIZE, (75, 40))
    assert str(error.value) == (
        "frames of 40x75 cannot be fitted on the GPU: they are smaller than the network's image of 48x32; "
        "type --fit cpu"
    )
    assert gpu.held() == {}


def test_a_frame_of_another_size_and_a_backend_without_frames_are_refused(one: Any, opened: Opened) -> None:
    with pytest.raises(BackendError, match=r"was opened for uint8\[N, 75, 101, 3\] and cannot translate"):
        opened(one, "latency", SIZE, FRAME).start_frame(noise(1)[:, 1:], 1)
    with pytest.raises(
        BackendError, match=r"^backend tensorrt was not opened for frames and cannot fit them$"
    ):
        opened(one).start_frame(noise(1), 1)


def test_a_missing_compiler_is_one_line_and_everything_is_released(
    gpu: StandIn, one: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvrtc.compile_source.cache_clear()
    monkeypatch.setattr(nvrtc, "_places", lambda: iter(()))
    with pytest.raises(BackendError, match="; type: pip install nvidia-cuda-nvrtc$"):
        opened(one, "latency", SIZE, FRAME)
    assert gpu.held() == {}


def test_code_that_the_gpu_refuses_is_one_line_and_everything_is_released(
    gpu: StandIn, one: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rt.cuda.kernels.compile_source", lambda source, kind: nvrtc.Compiled(b"no code" * 20, "")
    )
    with pytest.raises(
        BackendError, match="^the GPU failed to load the kernels that fit frames: .* image is inv"
    ):
        opened(one, "latency", SIZE, FRAME)
    assert gpu.held() == {}


@pytest.mark.parametrize("kernel", ["shrink", "apply_residual"])
def test_a_kernel_that_fails_is_one_line_and_everything_is_released(
    gpu: StandIn, one: Any, mode: Mode, opened: Opened, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pycuda.driver as driver

    def fails(*given: object, **named: object) -> None:
        raise driver.LaunchError("launch failed:\nunspecified launch failure")

    load = FitKernels.__init__

    def load_broken(kernels: FitKernels, device: Any) -> None:
        load(kernels, device)
        setattr(kernels, f"_{kernel}", fails)

    monkeypatch.setattr(FitKernels, "__init__", load_broken)
    with pytest.raises(BackendError) as error:
        opened(one, mode, SIZE, FRAME)
    why = "launch failed: unspecified launch failure"
    assert str(error.value) == f"the GPU failed to run the network: {why}"
    assert gpu.held() == {}


def no_order_between_streams(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rt.cuda.slot, "_follow", lambda later, earlier, event: None)


def no_wait_for_the_result(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Slot, "finish", lambda slot: np.array(slot.buffers.host_out))


def applied_before_the_network(patch: pytest.MonkeyPatch) -> None:
    prepare = FrameSlot.prepare

    def reordered(slot: FrameSlot, enqueue: Any, graph_fault: str | None = None) -> None:
        lay = FitKernels.apply_residual

        def lay_then_run(kernels: FitKernels, stream: Any, *given: Any) -> str | None:
            return lay(kernels, stream, *given) or enqueue(stream)

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(FitKernels, "apply_residual", lay_then_run)
            prepare(slot, lambda stream: None, graph_fault)

    patch.setattr(FrameSlot, "prepare", reordered)


def shrunk_on_the_stream_of_copies(patch: pytest.MonkeyPatch) -> None:
    prepare = FrameSlot.prepare

    def prepared(slot: FrameSlot, enqueue: Any, graph_fault: str | None = None) -> None:
        prepare(slot, enqueue, "kernels are launched one by one")
        shrink = slot._kernels.shrink
        streams = slot._streams
        patch.setattr(slot._kernels, "shrink", lambda stream, *given: shrink(streams.copy_out, *given))

    patch.setattr(FrameSlot, "prepare", prepared)


def slot_used_before_it_is_free(patch: pytest.MonkeyPatch) -> None:
    start = TensorRtBackend.start_frame

    def start_in_the_first(backend: TensorRtBackend, *given: Any) -> Any:
        backend._free.appendleft(backend._all[0])
        return start(backend, *given)

    patch.setattr(TensorRtBackend, "start_frame", start_in_the_first)


def strength_recorded_with_the_graph(patch: pytest.MonkeyPatch) -> None:
    begin = Slot.begin
    patch.setattr(Slot, "begin", lambda slot, image, number=0: begin(slot, image, 1))


def kernels_unloaded_before_their_run(patch: pytest.MonkeyPatch) -> None:
    begin = Slot.begin

    def begin_and_unload(slot: Slot, image: npt.NDArray[np.uint8], number: float = 0) -> None:
        begin(slot, image, number)
        if isinstance(slot, FrameSlot):
            slot._kernels.close()

    patch.setattr(Slot, "begin", begin_and_unload)


@pytest.mark.parametrize(
    ("broken", "modes"),
    [
        (no_order_between_streams, ("throughput",)),
        (no_wait_for_the_result, MODES),
        (applied_before_the_network, MODES),
        (shrunk_on_the_stream_of_copies, ("throughput",)),
        (slot_used_before_it_is_free, ("throughput",)),
        (strength_recorded_with_the_graph, MODES),
        (kernels_unloaded_before_their_run, MODES),
    ],
)
def test_a_broken_pipeline_is_caught(
    gpu: StandIn, one: Any, network: Network, broken: Any, modes: tuple[Mode, ...]
) -> None:
    for mode in modes:
        assert not any(caught(gpu, one, network, mode, schedule) for schedule in SCHEDULES)
        with pytest.MonkeyPatch.context() as patch:
            broken(patch)
            assert any(caught(gpu, one, network, mode, schedule) for schedule in SCHEDULES)


def caught(gpu: StandIn, trt: Any, network: Network, mode: Mode, schedule: str) -> bool:
    """Return whether frames come out wrong, or the stand-ins complain."""
    gpu.schedule(schedule)
    with gpu.having():  # whatever goes wrong, the next try has a working GPU
        try:
            backend = TensorRtBackend(trt, network.plan(trt), SIZE, "fp32", mode, frame_size=FRAME)
        except BackendError:
            return True
        try:
            wrong = not np.array_equal(fly(backend, noise(7)), expected(network, noise(7)))
        except BackendError:
            wrong = True
        backend.close()
    wrong = wrong or bool(trt.faults)
    trt.faults.clear()
    return wrong
