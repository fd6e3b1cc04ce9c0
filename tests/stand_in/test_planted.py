"""Mistakes of the kinds that a real GPU punishes, made on purpose: each is found on the stand-in GPU.

A row of `PLANTED` is a mistake and what must notice it; without the mistake it must notice nothing.
"""

from __future__ import annotations

import ctypes
import gc
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import engines.build
import rt.backends.tensorrt
import rt.backends.tensorrt_runtime
import rt.cuda.kernels
from engines.build import build_plan
from engines.onnx_model import with_fixed_shape
from engines.target import Target
from rt.backends import Mode
from rt.backends.tensorrt import TensorRtBackend
from rt.backends.tensorrt_cache import KernelCache
from rt.cuda import nvrtc
from rt.cuda.device import Device
from rt.cuda.frame_slot import FrameSlot
from rt.cuda.kernels import FitKernels
from rt.cuda.layout import FrameFormat, FrameLayout
from rt.cuda.slot import Slot
from rt.errors import BackendError
from tests.stand_in.conftest import SIZE, Network, install
from tests.support import tensorrt
from tests.support.cuda import SCHEDULES, StandIn
from tests.support.cuda.twin import Packed, Twin
from tests.support.tensorrt.behaviour import make_plan

RTX = tensorrt.VERSIONS[-1]
FRAME = (75, 101)
GAP = 13
"""Bytes between the rows of a plane, as FFmpeg leaves them."""
FRAMES = (
    (1.0, (0.299, 0.114)),
    (0.25, (0.2126, 0.0722)),
    (0.0, (0.299, 0.114)),
    (0.75, (0.2126, 0.0722)),
    (1.0, (0.2627, 0.0593)),
)
"""Strength and matrix of each."""
ILLEGAL_ADDRESS = 700


@dataclass(frozen=True)
class Scene:
    """Where a mistake is looked for."""

    gpu: StandIn
    network: Network
    folder: Path


def apart(plane: Packed) -> Packed:
    """Return the same plane with a gap behind each row."""
    wide = np.full((plane.shape[0], plane.shape[1] + GAP, *plane.shape[2:]), 201, np.uint8)
    wide[:, : plane.shape[1]] = plane
    return wide[:, : plane.shape[1]]


def wrong_planes(scene: Scene, format: FrameFormat, mode: Mode) -> bool:
    """Say whether frames of planes come out otherwise than the kernels' CPU build makes them."""
    trt, layout = tensorrt.load(tensorrt.TYPICAL), FrameLayout(format, FRAME)
    rng, twin = np.random.default_rng(0), Twin(ctypes.CDLL("libcuda.so.1"))
    frames = [rng.integers(16, 236, layout.nbytes, dtype=np.uint8) for _ in FRAMES]
    wanted = []
    for frame, (strength, shares) in zip(frames, FRAMES, strict=True):
        small = twin.shrink_planes(frame, layout, (strength, *shares), SIZE)
        changed = scene.network.expected(small[None])[0]
        wanted.append(twin.apply_planes(frame, layout, (strength, *shares), small, changed))
    plan = scene.network.plan(trt)
    try:
        backend = TensorRtBackend(trt, plan, SIZE, "fp32", mode, frame_size=FRAME, frame_format=format)
    except BackendError:
        return True
    flying: deque[Any] = deque()
    found: list[Packed] = []
    try:
        for frame, (strength, shares) in zip(frames, FRAMES, strict=True):
            if len(flying) == backend.info.slots:
                found.append(flying.popleft().result()[0])
            planes = [apart(plane) for plane in layout.planes(frame)]
            flying.append(backend.start_planes(planes, strength, shares))
        found += [pending.result()[0] for pending in flying]
        wrong = not all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))
    except (BackendError, ValueError):
        wrong = True
    backend.close()
    return wrong or bool(trt.faults)


def planes(scene: Scene) -> bool:
    """Try both formats, both modes and every schedule."""
    for schedule in SCHEDULES:
        scene.gpu.schedule(schedule)
        with scene.gpu.having():
            for format, mode in (("yuv420p", "latency"), ("nv12", "throughput")):
                if wrong_planes(scene, format, mode):  # type: ignore[arg-type]
                    return True
    return False


def context_of_a_failed_gpu(scene: Scene) -> bool:
    """Let the GPU fail; say whether its context is still held when everything is closed."""
    trt = tensorrt.load(tensorrt.TYPICAL)
    backend = TensorRtBackend(trt, scene.network.plan(trt), SIZE, "fp32")
    with scene.gpu.having(fault=ILLEGAL_ADDRESS):
        with pytest.raises(BackendError):
            backend.translate(np.zeros((1, *SIZE, 3), np.uint8))
        backend.close()
        left = int(scene.gpu._library.stand_in_held(b"contexts"))
    scene.gpu.held()
    return left > 0


def second_start(scene: Scene) -> bool:
    """Start an engine of TensorRT for RTX twice; say whether it compiles again, or for something else."""
    trt, path = tensorrt.load(RTX), scene.folder / "kernels"
    path.write_bytes(b"of another version")
    for _ in range(2):
        trt.compiled.clear()
        TensorRtBackend(trt, scene.network.plan(trt), SIZE, "fp32", kernels_path=path).close()
    return bool(trt.compiled)


def unrecordable_engine(scene: Scene) -> bool:
    """Open an engine that must not be recorded; say whether somebody did."""
    trt = tensorrt.load(RTX)
    plan = make_plan(trt.__version__, scene.network.model, (1, *SIZE, 3), user_allocation=False)
    TensorRtBackend(trt, plan, SIZE, "fp32").close()
    return bool(trt.faults)


def build(scene: Scene, version: str, timing_cache: bytes = b"") -> Any:
    trt = tensorrt.load(version)
    model = with_fixed_shape(onnx.load_model_from_string(scene.network.model), 1, SIZE).SerializeToString()
    name = "tensorrt-rtx" if version == RTX else "tensorrt"
    built = build_plan(trt, model, Target(name, version, "sm86", "any"), timing_cache, lambda *step: None)
    return trt, built.plan


def built_for_a_graph(scene: Scene) -> bool:
    """Build with TensorRT for RTX; say whether the engine cannot be recorded into a CUDA graph."""
    trt, plan = build(scene, RTX)
    backend = TensorRtBackend(trt, plan, SIZE, "fp32")
    backend.close()
    return "no CUDA graph" in backend.info.device


def builds(scene: Scene) -> bool:
    """Build with every version; say whether one complains, or is given what it does not take."""
    for version in tensorrt.VERSIONS:
        try:
            trt, _ = build(scene, version, b"damaged")
        except TypeError:
            return True
        if trt.faults:
            return True
    return False


def two_starts(scene: Scene) -> bool:
    """Load an engine, close it, load it again; say whether TensorRT logs to something that has ended."""
    trt = tensorrt.load(tensorrt.TYPICAL)
    for _ in range(2):
        TensorRtBackend(trt, scene.network.plan(trt), SIZE, "fp32").close()
        gc.collect()
    return bool(trt.faults)


def nv12_read_as_yuv420p(patch: pytest.MonkeyPatch) -> None:
    given = rt.cuda.kernels._planes
    patch.setattr(rt.cuda.kernels, "_planes", lambda *a: (*given(*a)[:3], np.int32(0), given(*a)[4]))


def one_matrix_for_all_frames(patch: pytest.MonkeyPatch) -> None:
    begin = FrameSlot.begin_planes
    patch.setattr(
        FrameSlot,
        "begin_planes",
        lambda slot, planes, strength, _: begin(slot, planes, strength, FRAMES[0][1]),
    )


def strength_of_planes_left_out(patch: pytest.MonkeyPatch) -> None:
    begin = FrameSlot.begin_planes
    patch.setattr(FrameSlot, "begin_planes", lambda slot, planes, _, shares: begin(slot, planes, 1.0, shares))


def rows_taken_as_if_they_lay_together(patch: pytest.MonkeyPatch) -> None:
    begin = FrameSlot.begin_planes

    def packed(plane: Packed) -> Packed:
        wide = plane.base if plane.base is not None else plane
        return np.asarray(wide, np.uint8).ravel()[: plane.size].reshape(plane.shape)

    patch.setattr(
        FrameSlot,
        "begin_planes",
        lambda slot, planes, *given: begin(slot, [packed(plane) for plane in planes], *given),
    )


def planes_shrunk_on_the_stream_of_copies(patch: pytest.MonkeyPatch) -> None:
    prepare = FrameSlot.prepare

    def prepared(slot: FrameSlot, enqueue: Any, graph_fault: str | None = None) -> None:
        prepare(slot, enqueue, "kernels are launched one by one")
        shrink, streams = slot._kernels.shrink_planes, slot._streams
        patch.setattr(slot._kernels, "shrink_planes", lambda stream, *given: shrink(streams.copy_out, *given))

    patch.setattr(FrameSlot, "prepare", prepared)


def planes_read_before_they_have_come(patch: pytest.MonkeyPatch) -> None:
    finish = Slot.finish
    patch.setattr(
        Slot,
        "finish",
        lambda slot: np.array(slot.buffers.host_out) if isinstance(slot, FrameSlot) else finish(slot),
    )


def residual_added_before_the_network(patch: pytest.MonkeyPatch) -> None:
    def early(kernels: FitKernels, stream: Any, *given: Any) -> str | None:
        frame, layout, numbers, small, small_size = given
        both = small, small + small_size[0] * small_size[1] * 3
        shrink(kernels, stream, *given)
        apply(kernels, stream, frame, layout, numbers, both, small_size, frame)
        return None

    shrink, apply = FitKernels.shrink_planes, FitKernels.apply_planes
    patch.setattr(FitKernels, "shrink_planes", early)


def context_of_a_failed_gpu_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Device, "_is_sound", lambda device, context: True)


def compiled_kernels_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KernelCache, "save", lambda cache: None)


def recorded_without_asking(patch: pytest.MonkeyPatch) -> None:
    bind = TensorRtBackend._bind
    patch.setattr(TensorRtBackend, "_bind", lambda *given: (bind(*given)[0], None))


def flags_left_out(patch: pytest.MonkeyPatch) -> None:
    load = tensorrt.load

    def without(version: str) -> Any:
        trt = load(version)
        patch.setattr(trt.IBuilderConfig, "set_flag", lambda config, flag: None)
        return trt

    patch.setattr(tensorrt, "load", without)


def flag_of_the_network_by_its_number(patch: pytest.MonkeyPatch) -> None:
    load = tensorrt.load

    def numbered(version: str) -> Any:
        trt = load(version)
        create = trt.Builder.create_network
        patch.setattr(trt.Builder, "create_network", lambda builder, flags: create(builder, 1 << 1))
        return trt

    patch.setattr(tensorrt, "load", numbered)


def damaged_timing_cache_handed_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        engines.build,
        "_set_timing_cache",
        lambda config, cache: config.set_timing_cache(config.create_timing_cache(cache), True),
    )


def a_logger_for_each_start(patch: pytest.MonkeyPatch) -> None:
    make = rt.backends.tensorrt_runtime._make_logger
    patch.setattr(rt.backends.tensorrt_runtime, "logger_of", make)
    patch.setattr(rt.backends.tensorrt, "logger_of", make)


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[Scene], bool]]] = [
    (nv12_read_as_yuv420p, planes),
    (one_matrix_for_all_frames, planes),
    (strength_of_planes_left_out, planes),
    (rows_taken_as_if_they_lay_together, planes),
    (planes_shrunk_on_the_stream_of_copies, planes),
    (planes_read_before_they_have_come, planes),
    (residual_added_before_the_network, planes),
    (context_of_a_failed_gpu_kept, context_of_a_failed_gpu),
    (compiled_kernels_not_kept, second_start),
    (recorded_without_asking, unrecordable_engine),
    (flags_left_out, built_for_a_graph),
    (flag_of_the_network_by_its_number, builds),
    (damaged_timing_cache_handed_on, builds),
    (a_logger_for_each_start, two_starts),
]


@pytest.mark.parametrize(("mistake", "noticed"), PLANTED, ids=[mistake.__name__ for mistake, _ in PLANTED])
def test_a_planted_mistake_is_found(
    gpu: StandIn,
    network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[pytest.MonkeyPatch], None],
    noticed: Callable[[Scene], bool],
) -> None:
    if noticed is planes:
        try:
            nvrtc.load_compiler()
        except BackendError as error:
            pytest.skip(str(error))
    install(monkeypatch, tensorrt.load(tensorrt.TYPICAL))
    scene = Scene(gpu, network, tmp_path)
    assert not noticed(scene)
    mistake(monkeypatch)
    assert noticed(scene)
