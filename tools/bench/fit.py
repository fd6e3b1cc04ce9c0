"""What fitting a frame costs, against OpenCV alone: `python -m tools.bench.fit`.

Both shrink the same frame in turns within one process; compare the ratios of one run, never times of
different runs. Beside the time on the clock stands the processor's, which counts all threads: a pipeline
keeps every core busy, and then it is the processor that frames wait for. Prints a table, then one JSON object
as the last line; `--save` also writes it to tools/bench/results/fit-<date>.json.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from rt.fit import apply_residual, network_size, shrink
from rt.frame import Rgb
from tools.bench.backends import drawn
from tools.bench.result import facts, finish, parser, table

FRAMES = ((1080, 1920), (720, 1280), (360, 640))
SHORT_PX = (160, 256)
TURN = 10
"""Calls of one kind before the next one's turn."""
COLUMNS = {
    "frame": "frame",
    "network": "network",
    "shrink": "shrink ms",
    "opencv": "OpenCV ms",
    "ratio": "ratio",
    "shrink_cpu": "shrink CPU ms",
    "opencv_cpu": "OpenCV CPU ms",
    "ratio_cpu": "ratio",
    "difference_levels": "difference",
    "apply_residual": "apply ms",
    "apply_residual_cpu": "apply CPU ms",
}


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=3.0, help="seconds of measuring per row")
    given = arguments.parse_args()
    rows = [measure(frame, short_px, given.seconds) for frame in FRAMES for short_px in SHORT_PX]
    shown = table(
        "shrink and apply the residual, median",
        tuple(COLUMNS.values()),
        [[row[key] for key in COLUMNS] for row in rows],
    )
    finish({**facts("fit"), "unit": "ms", "rows": rows}, shown, given.save)
    return 0


def measure(frame: tuple[int, int], short_px: int, seconds: float) -> dict[str, Any]:
    """Return the times of one size of frame and network, in milliseconds."""
    size = network_size(*frame, short_px, multiple=8, minimum_px=16)
    rgb = drawn(frame)[0]
    small = shrink(rgb, size)
    out = np.asarray(255 - small, np.uint8)

    def opencv() -> Rgb:
        return np.asarray(cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    calls: dict[str, Callable[[], Rgb]] = {
        "shrink": lambda: shrink(rgb, size),
        "opencv": opencv,
        "apply_residual": lambda: apply_residual(rgb, small, out, 1.0, "keep"),
    }
    times = take_turns(calls, seconds)
    return {
        "frame": "x".join(map(str, frame)),
        "network": "x".join(map(str, size)),
        **{key: round(value, 2) for key, value in times.items()},
        "ratio": round(times["shrink"] / times["opencv"], 3),
        "ratio_cpu": round(times["shrink_cpu"] / times["opencv_cpu"], 3),
        "difference_levels": int(np.abs(small.astype(int) - opencv()).max()),
    }


def take_turns(calls: dict[str, Callable[[], Rgb]], seconds: float) -> dict[str, float]:
    """Return the median milliseconds of a call by name, and those of the processor by name and `_cpu`."""
    found: dict[str, list[float]] = {f"{name}{clock}": [] for name in calls for clock in ("", "_cpu")}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            begin, begin_cpu = time.perf_counter(), time.process_time()
            for _ in range(TURN):
                call()
            found[name].append((time.perf_counter() - begin) * 1000 / TURN)
            found[f"{name}_cpu"].append((time.process_time() - begin_cpu) * 1000 / TURN)
    return {name: float(np.median(times)) for name, times in found.items()}


if __name__ == "__main__":
    sys.exit(main())
