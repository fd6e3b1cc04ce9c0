"""How fast an engine is on this machine's GPU: `python -m tools.bench.engines --style winter`.

Builds the engine where it is missing, then measures, one after the other and each with frames that differ:

    network, latency      one image at a time: host → GPU → engine → host, one CUDA graph
    network, throughput   three images in flight on three streams
    frame, fit cpu        a frame shrunk and the residual applied on the CPU, in both modes
    frame, fit gpu        the same with the kernels, in both modes

Times are p50 and p95 of what a caller waits for one image (latency) and the time between two results
(throughput). `copies overlapped` is how much of the copies' own time, measured alone, three streams hide
against one stream with as many images in flight.
Prints a table, then one JSON object as the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from rich.table import Table

from engines.compile import Order, build_engines
from rt.backends import Mode, Pending
from rt.backends.tensorrt import TensorRtBackend
from rt.backends.tensorrt_engine import find_engine, load_engine
from rt.controls import Controls
from rt.cuda.buffers import make_buffers
from rt.cuda.device import Device, find_gpu
from rt.cuda.gauge import gauge_in_use
from rt.cuda.slot import Streams
from rt.engine_file import Engine
from rt.errors import EngineError, VideobrushError
from rt.fit import style_size
from rt.frame import Frame
from rt.styles import Style, find_style
from rt.translator import Translator
from tools.bench.result import facts, finish, parser, table

MODES: tuple[Mode, ...] = ("latency", "throughput")
FRAME_SIZE = (1080, 1920)
IMAGES = 8
"""Different images that take turns, so that nothing is measured on one image in the caches."""
WARM_UP = 20
Images = npt.NDArray[np.uint8]
"""uint8[IMAGES, H, W, 3] RGB."""


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parse()
    try:
        style = find_style(arguments.style)
        size = style_size(style.card, *FRAME_SIZE, arguments.size)
        result = measure(style, size, arguments.precision, arguments.runs)
    except VideobrushError as error:
        print(f"engines: nothing measured: {error}", file=sys.stderr)
        return 1
    finish(result, shown(result), arguments.save, f"{size[0]}x{size[1]}-{arguments.precision}")
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__)
    made.add_argument("--style", default="winter", help="name of a style, or the path of its folder")
    made.add_argument("--size", type=int, default=256, help="short side of the network's image in pixels")
    made.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp16")
    made.add_argument("--runs", type=int, default=500, help="images measured in each row")
    return made.parse_args()


def measure(style: Style, size: tuple[int, int], precision: str, runs: int) -> dict[str, Any]:
    """Return every figure of one engine.

    Raises:
        VideobrushError: PyCUDA, the driver, a GPU or TensorRT is missing, or the engine cannot be built.
    """
    gpu = find_gpu()
    engine = engine_of(style, size, precision)
    small, large = noise(size), noise(FRAME_SIZE)
    rows = []
    for mode in MODES:
        rows.append(row(f"network, {mode}", *in_network(engine, mode, small, runs)))
    for mode in MODES:
        for fit in ("cpu", "gpu"):
            rows.append(row(f"frame, fit {fit}, {mode}", *in_frames(engine, mode, fit, large, runs)))
    copies_ms = copy_time_ms(size, runs)
    one_stream_ms = float(np.median(on_one_stream(engine, small, runs)))
    gauge = gauge_in_use()
    state = str(gauge.read() or "") if gauge is not None else ""
    if gauge is not None:
        gauge.close()
    return {
        **facts("engines"),
        "gpu": {"name": gpu.name, "compute_capability": gpu.compute_capability},
        "engine": {
            "runtime": f"{engine.facts.key.runtime} {engine.facts.key.runtime_version}",
            "precision": precision,
            "plan_sha256": engine.facts.plan_sha256,
        },
        "style": style.name,
        "size": list(size),
        "frame_size": list(FRAME_SIZE),
        "rows": rows,
        "gpu_at_the_end": state,
        "copies_alone_ms": round(copies_ms, 4),
        "one_stream_ms": round(one_stream_ms, 4),
        "copies_overlapped": overlapped(one_stream_ms, rows[1]["p50_ms"], copies_ms),
    }


def engine_of(style: Style, size: tuple[int, int], precision: str) -> Engine:
    """Return the engine of this machine, built where it is missing."""
    try:
        return find_engine(style.card, size, precision)
    except EngineError:
        list(build_engines(style, Order(precision, size), lambda what: nullcontext(lambda *step: None)))
        return find_engine(style.card, size, precision)


def in_network(engine: Engine, mode: Mode, images: Images, runs: int) -> tuple[list[float], str]:
    """Return the times of images of the network's size in ms, and the device in words."""
    backend = load_engine(engine, mode)
    try:
        return paced(
            backend, lambda number: backend.start(images[number : number + 1]), runs
        ), backend.info.device
    finally:
        backend.close()


def on_one_stream(engine: Engine, images: Images, runs: int) -> list[float]:
    """Return the times of throughput in ms, with every step of every image on the same stream."""
    with patch.object(Streams, "three", Streams.one):
        return in_network(engine, "throughput", images, runs)[0]


def in_frames(engine: Engine, mode: Mode, fit: str, frames: Images, runs: int) -> tuple[list[float], str]:
    """Return the times of whole frames in ms, and the device in words."""
    backend = load_engine(engine, mode, FRAME_SIZE if fit == "gpu" else None)
    translator = Translator(backend, Controls())
    try:
        given = (Frame(frames[n % IMAGES], n, Fraction(1, 30), n) for n in range(WARM_UP + runs))
        times, before = [], time.perf_counter()
        for _ in translator.translate_all(given):
            now = time.perf_counter()
            times.append((now - before) * 1000)
            before = now
        return times[WARM_UP:], backend.info.device
    finally:
        translator.close()


def paced(backend: TensorRtBackend, start: Callable[[int], Pending], runs: int) -> list[float]:
    """Return the ms between two results, with as many images in flight as the backend holds."""
    flying: deque[Pending] = deque()
    times, before = [], time.perf_counter()
    for number in range(WARM_UP + runs):
        flying.append(start(number % IMAGES))
        if len(flying) == backend.info.slots:
            flying.popleft().result()
            now = time.perf_counter()
            times.append((now - before) * 1000)
            before = now
    for pending in flying:
        pending.result()
    return times[WARM_UP:]


def copy_time_ms(size: tuple[int, int], runs: int) -> float:
    """Return the median time of an image's way to the GPU and back, without an engine."""
    device = Device()
    with device.current():
        buffers, stream = make_buffers(device, (1, *size, 3)), device.stream()
        times = []
        for _ in range(runs):
            before = time.perf_counter()
            buffers.upload(stream)
            buffers.download(stream)
            stream.synchronize()
            times.append((time.perf_counter() - before) * 1000)
        buffers.free()
        del stream
    device.close()
    return float(np.median(times))


def overlapped(one_stream_ms: float, three_streams_ms: float, copies_ms: float) -> float | None:
    """Return the share of the copies that three streams hide, in [0, 1]; None where nothing is copied."""
    if copies_ms <= 0:
        return None
    return round(float(np.clip((one_stream_ms - three_streams_ms) / copies_ms, 0, 1)), 3)


def noise(size: tuple[int, int]) -> Images:
    """Return images of seeded noise."""
    return np.asarray(np.random.default_rng(0).integers(0, 256, (IMAGES, *size, 3)), np.uint8)


def row(name: str, times_ms: list[float], device: str) -> dict[str, Any]:
    """Return a line of the result."""
    p50_ms, p95_ms = np.percentile(times_ms, [50, 95])
    return {
        "name": name,
        "p50_ms": round(float(p50_ms), 3),
        "p95_ms": round(float(p95_ms), 3),
        "fps": round(1000 / float(np.mean(times_ms)), 1),
        "images": len(times_ms),
        "device": device,
    }


def shown(result: dict[str, Any]) -> Table:
    """Return the result as people read it."""
    height, width = result["size"]
    engine = result["engine"]
    title = (
        f"style {result['style']}, {width}x{height}, {engine['precision']}, {engine['runtime']}, "
        f"{result['gpu']['name']}; copies alone {result['copies_alone_ms']} ms, "
        f"of them hidden by three streams: {result['copies_overlapped']}"
    )
    keys = ("name", "p50_ms", "p95_ms", "fps", "images")
    return table(
        title, ("way", "p50 ms", "p95 ms", "fps", "images"), [[r[k] for k in keys] for r in result["rows"]]
    )


if __name__ == "__main__":
    sys.exit(main())
