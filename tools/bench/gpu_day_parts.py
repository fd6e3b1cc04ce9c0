"""Sections of `tools.bench.gpu_day` with PyCUDA or TensorRT: `python -m tools.bench.gpu_day_parts NAME`.

Every line printed is one row of the report, as JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from av import VideoFrame

from rt.backends.tensorrt_runtime import runtime_name, start
from rt.cuda.device import Device, find_gpu
from rt.cuda.driver import driver_cuda
from rt.cuda.frame_slot import FrameSlot
from rt.cuda.kernels import FitKernels
from rt.cuda.layout import FrameFormat, FrameLayout, Plane
from rt.cuda.nvrtc import compiler_version
from rt.cuda.slot import Enqueue, Slot, Streams
from rt.errors import VideobrushError
from rt.fit import apply_residual, shrink, style_size
from rt.media import MATRIX_709
from rt.planes import Converter, Planes

NETWORK = (256, 448)
"""(height, width) of the image in the place of a network's."""
FRAMES = ((487, 731), (720, 1280), (1080, 1920))
LAUNCHES = 100
"""Small pieces of work that stand in for a network: about as many as it has kernels."""
PLANES_WITHIN = 3
"""Levels that a smooth frame of planes may differ: the network sees it within one, and doubles that."""
PRECISIONS = ("fp16", "int8")
RUNS = 50
MOST_S = 2.0
"""Seconds after which no further run is measured: a stand-in is slow."""


def main() -> int:
    """Do one part and print its rows."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("part", choices=sorted(PARTS))
    made.add_argument("--seconds", type=float, default=60.0, help="after these no new engine is begun")
    arguments = made.parse_args()
    try:
        return PARTS[arguments.part](arguments.seconds)
    except VideobrushError as error:
        row(failed=str(error))
        print(error)
        return 1


def row(**figures: object) -> None:
    """Print one row at once: a part that is stopped keeps those it has printed."""
    print(json.dumps(figures), flush=True)


def probe(seconds: float) -> int:
    """Say what there is: of each need what is missing, None where nothing is."""
    found: dict[str, Any] = {"driver_cuda": driver_cuda()}
    for need, look in (("gpu", _gpu), ("compiler", _compiler), ("engines", _engines), ("training", _torch)):
        try:
            found.update(look())
            found[need] = None
        except (VideobrushError, ImportError, OSError) as error:
            found[need] = " ".join(str(error).split())
    found["pytest"] = None if importlib.util.find_spec("pytest") else "pytest is missing: pip install pytest"
    row(**found)
    return 0


def _gpu() -> dict[str, Any]:
    gpu = find_gpu()
    return {"name": gpu.name, "model": gpu.model, "compute_capability": gpu.compute_capability}


def _compiler() -> dict[str, Any]:
    return {"nvrtc": compiler_version()}


def _engines() -> dict[str, Any]:
    from engines.target import choose_runtime, find_targets

    runtime, trt = choose_runtime(None)
    start(trt, "Runtime")
    find_targets("auto", runtime, trt)
    return {"runtime": runtime_name(trt)}


def _torch() -> dict[str, Any]:
    import torch

    with warnings.catch_warnings(record=True) as said:  # builds with CUDA warn where it does not start
        warnings.simplefilter("always")
        found = torch.cuda.is_available()
    if not found:
        why = "".join(f": {warning.message}" for warning in said[:1])
        raise ImportError(f"PyTorch {torch.__version__} finds no CUDA device{why}")
    return {"torch": torch.__version__, "torch_gpu": torch.cuda.get_device_name()}


def kernels(seconds: float) -> int:
    """Fit frames on the GPU around a stand-in for a network; the CPU must give the same within a level."""
    device, wrong = Device(), 0
    try:
        with device.current():
            fit = FitKernels(device)
            for size in FRAMES:
                figures = _fit_one(device, fit, size)
                wrong += figures["largest_difference"] > 1
                row(frame=f"{size[1]}x{size[0]}", **figures)
            formats: tuple[FrameFormat, ...] = ("yuv420p", "nv12")
            for format in formats:
                figures = _fit_planes(device, fit, FRAMES[-1], format)
                wrong += figures["largest_difference"] > PLANES_WITHIN
                row(frame=f"{FRAMES[-1][1]}x{FRAMES[-1][0]} {format}", **figures)
            fit.close()
    finally:
        device.close()
    return 1 if wrong else 0


def _fit_one(device: Device, fit: FitKernels, size: tuple[int, int]) -> dict[str, Any]:
    streams = Streams.one(device)
    inner = Slot(device, (1, *NETWORK, 3), streams)
    around = FrameSlot(device, size, streams, inner, fit)
    try:
        around.prepare(rolling(device, inner))
        frame = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
        frame[:] = frame // 4 + 96  # room above and below: sums that saturate would hide a mistake
        around.begin(frame, 0.5)
        found = around.finish()[0]
        small = shrink(frame[0], NETWORK)
        rolled = np.roll(small.ravel(), -3).reshape(small.shape)
        wanted = apply_residual(frame[0], small, rolled, 0.5, "keep")
        times = _times_ms(partial(_once, around, frame, 0.5))
        fault = around.graph_fault
    finally:
        around.close()
        inner.close()
        streams.close()
    difference = np.abs(found.astype(int) - wanted)
    return {
        "largest_difference": int(difference.max()),
        "differing_share": round(float((difference > 0).mean()), 6),
        "p50_ms": times[0],
        "p95_ms": times[1],
        "graph": fault or "recorded",
    }


def _fit_planes(
    device: Device, fit: FitKernels, size: tuple[int, int], format: FrameFormat
) -> dict[str, Any]:
    """Fit a smooth frame of planes; compared with what `rt.planes` makes of it."""
    layout = FrameLayout("yuv420p", size)
    image = Planes(VideoFrame(size[1], size[0], "yuv420p"), MATRIX_709, Converter())
    for number, view in enumerate(image.views):
        y, x = np.ogrid[: view.shape[0], : view.shape[1]]
        view[:] = 118 + 40 * np.sin(9 * y / view.shape[0] + number) * np.cos(7 * x / view.shape[1])
    planes: Sequence[Plane] = image.views
    if format == "nv12":
        planes = [planes[0], np.stack(planes[1:], axis=-1)]
    shared = Streams.one(device)
    inner = Slot(device, (1, *NETWORK, 3), shared)
    around = FrameSlot(device, size, shared, inner, fit, format)

    def once() -> npt.NDArray[np.uint8]:
        around.begin_planes(planes, 0.5, image.shares)
        return np.asarray(around.finish()[0], np.uint8)

    try:
        around.prepare(rolling(device, inner))
        found, times, fault = once(), _times_ms(once), around.graph_fault
    finally:
        around.close()
        inner.close()
        shared.close()
    small = image.shrink(NETWORK)
    wanted = image.with_residual(small, np.roll(small.ravel(), -3).reshape(small.shape), 0.5)
    planes = FrameLayout(format, size).planes(found)
    if format == "nv12":
        planes = [planes[0], planes[1][..., 0], planes[1][..., 1]]
    apart = [np.abs(mine.astype(int) - other) for mine, other in zip(planes, wanted.views, strict=True)]
    return {
        "largest_difference": max(int(plane.max()) for plane in apart),
        "differing_share": round(float(sum((plane > 0).sum() for plane in apart) / layout.nbytes), 6),
        "p50_ms": times[0],
        "p95_ms": times[1],
        "graph": fault or "recorded",
    }


def rolling(device: Device, slot: Slot, launches: int = 2) -> Enqueue:
    """Return what stands in for a network: every pixel becomes its right neighbour, by so many copies."""

    def enqueue(stream: Any) -> None:
        buffers = slot.buffers
        last = buffers.host_in.nbytes - 3
        copy = device.driver.memcpy_dtod_async
        for _ in range(launches // 2):
            copy(buffers.device_out, buffers.device_in + 3, last, stream)
            copy(buffers.device_out + last, buffers.device_in, 3, stream)

    return enqueue


def _once(slot: Slot, image: npt.NDArray[np.uint8], number: float = 0) -> None:
    slot.begin(image, number)
    slot.finish()


def _times_ms(work: Callable[[], object], runs: int = RUNS) -> tuple[float, float]:
    """Return p50 and p95 of what a caller waits."""
    work()
    times: list[float] = []
    end = time.perf_counter() + MOST_S
    while not times or (len(times) < runs and time.perf_counter() < end):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    p50, p95 = np.percentile(times, [50, 95])
    return round(float(p50), 4), round(float(p95), 4)


def graphs(seconds: float) -> int:
    """Send off a hundred small pieces of work one by one and as one CUDA graph."""
    device, image = Device(), np.random.default_rng(0).integers(0, 256, (1, *NETWORK, 3), dtype=np.uint8)
    wanted = np.roll(image.ravel(), -3).reshape(image.shape)
    faults = 0
    try:
        with device.current():
            for way, fault in (("one by one", "not recorded, to compare"), ("graph", None)):
                streams = Streams.one(device)
                slot = Slot(device, image.shape, streams)
                slot.prepare(rolling(device, slot, LAUNCHES), fault)
                slot.begin(image)
                right = np.array_equal(slot.finish(), wanted)
                p50, p95 = _times_ms(partial(_once, slot, image))
                row(way=way, launches=LAUNCHES, p50_ms=p50, p95_ms=p95, right=right, fault=slot.graph_fault)
                faults += not right or (fault is None and slot.graph_fault is not None)
                slot.close()
                streams.close()
    finally:
        device.close()
    return 1 if faults else 0


def streams(seconds: float) -> int:
    """Carry images of 1080p through three slots on one stream and on three; the order must hold."""
    device, wrong = Device(), 0
    images = np.random.default_rng(0).integers(0, 256, (4, 1, *FRAMES[-1], 3), dtype=np.uint8)
    try:
        with device.current():
            for way, make in (("one stream", Streams.one), ("three streams", Streams.three)):
                shared = make(device)
                slots = [Slot(device, images[0].shape, shared) for _ in range(3)]
                for slot in slots:
                    slot.prepare(rolling(device, slot))
                p50, p95, right = _carry(slots, images)
                wrong += not right
                row(way=way, p50_ms=p50, p95_ms=p95, right=right)
                for slot in slots:
                    slot.close()
                shared.close()
    finally:
        device.close()
    return 1 if wrong else 0


def _carry(slots: list[Slot], images: Any) -> tuple[float, float, bool]:
    """Return p50 and p95 of the ms between two results, and whether each is that of its own image."""
    heads = [np.roll(image.ravel(), -3)[:64] for image in images]
    times, right, before = [], True, time.perf_counter()
    for number in range(RUNS + len(slots)):
        if number >= len(slots):
            done = slots[number % len(slots)].finish()
            expected = heads[(number - len(slots)) % len(images)]
            right = right and np.array_equal(done.ravel()[:64], expected)
            now = time.perf_counter()
            times.append(1000 * (now - before))
            before = now
        if number < RUNS:
            slots[number % len(slots)].begin(images[number % len(images)])
    p50, p95 = np.percentile(times[len(slots) :], [50, 95])
    return round(float(p50), 4), round(float(p95), 4), right


def engines(seconds: float) -> int:
    """Build and verify an engine of every style in FP16, then in INT8, while there is time."""
    from engines.compile import Order, build_engines
    from engines.verify import verify
    from rt.demo import CLIP
    from rt.engine_file import source_model
    from rt.errors import EngineError
    from rt.styles import list_styles

    end, faults = time.monotonic() + seconds, 0
    styles = [entry.style for entry in list_styles() if entry.style is not None]
    for precision in PRECISIONS:
        for style in styles:
            try:
                source_model(style.card, precision)
            except EngineError:
                continue
            if time.monotonic() > end:
                row(style=style.name, precision=precision, built="not reached")
                continue
            figures: dict[str, object] = {"style": style.name, "precision": precision}
            try:
                size = style_size(style.card, 720, 1280)
                order = Order(precision, size)
                for made in build_engines(style, order, lambda what: nullcontext(lambda *step: None)):
                    figures["built_s"] = round(made.facts.build_s, 2)
                    figures["plan_mb"] = round(made.facts.plan_bytes / 1e6, 1)
                    figures["convolutions"] = made.facts.precisions
                verdicts = [v for v in verify(style, precision, (str(CLIP),), 4, None) if " on GPU" in v.what]
                figures["psnr_db"] = [round(v.comparison.psnr_db, 2) for v in verdicts if v.comparison]
                figures["holds"] = bool(verdicts) and all(verdict.holds for verdict in verdicts)
            except VideobrushError as error:
                figures["failed"] = str(error)
            faults += figures.get("holds") is not True
            row(**figures)
    return 1 if faults else 0


PARTS: dict[str, Callable[[float], int]] = {
    "probe": probe,
    "kernels": kernels,
    "graphs": graphs,
    "streams": streams,
    "engines": engines,
}

if __name__ == "__main__":
    sys.exit(main())
