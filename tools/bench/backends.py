"""Which backend is fastest here, and do they agree: `python tools/bench/backends.py --style winter`.

The backends take turns within one process, a few pictures each, so that whatever else the machine does falls
on all of them alike; compare the ratio of one run, never times of different runs. Prints a table, then one
JSON object as the last line; `--save` also writes it to tools/bench/results/backends-<date>-<size>.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from rt.backends import CPU_ORDER, Backend, backend_status, open_backend
from rt.backends.cpu import cpu_name, cpu_threads
from rt.errors import FrameshiftError
from rt.fit import network_size
from rt.styles import Style, find_style

ROOT = Path(__file__).resolve().parents[2]
TURN = 10
"""Pictures a backend translates before the next one's turn."""
SETTLE = 2
"""Pictures at the start of a turn that do not count: they meet the other backend's threads and cache."""


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parse()
    try:
        result = measure(find_style(arguments.style), arguments.size, arguments.seconds)
    except FrameshiftError as error:
        print(f"backends: {error}", file=sys.stderr)
        return 1
    Console().print(table(result))
    if arguments.save:
        size = "x".join(map(str, result["size"]))
        path = ROOT / "tools" / "bench" / "results" / f"backends-{result['date']}-{size}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"saved {path}", file=sys.stderr)
    print(json.dumps(result))
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--style", required=True, help="name of a style, or the path of its folder")
    parser.add_argument("--size", type=int, default=256, help="short side of the network's picture in pixels")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of measuring per backend")
    parser.add_argument("--save", action="store_true", help="write the result file")
    return parser.parse_args()


def measure(style: Style, short_px: int, seconds: float) -> dict[str, Any]:
    """Let every CPU backend that works here translate a 16:9 picture in turns; return all there is to say."""
    size = network_size(1080, 1920, short_px, style.card.multiple, style.card.minimum_px)
    versions = {status.name: status.version for status in backend_status() if status.works}
    backends = [open_backend(name, style, size).backend for name in CPU_ORDER if name in versions]
    picture = drawn(size)
    try:
        pictures = [backend.translate(picture).astype(int) for backend in backends]
        times_ms = take_turns(backends, picture, seconds)
    finally:
        for backend in backends:
            backend.close()
    rows = [
        {**facts(backend, times_ms[backend.name]), "version": versions[backend.name]} for backend in backends
    ]
    p50_ms = {row["backend"]: row["p50_ms"] for row in rows}
    both = len(backends) == 2
    return {
        "benchmark": "backends",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "style": style.name,
        "model_sha256": style.card.models["fp32"].sha256,
        "size": list(size),
        "backends": rows,
        "ratio_openvino_to_onnxruntime": round(p50_ms["openvino"] / p50_ms["onnxruntime"], 3)
        if both
        else None,
        "largest_difference_levels": int(np.abs(pictures[0] - pictures[1]).max()) if both else None,
    }


def take_turns(
    backends: list[Backend], picture: npt.NDArray[np.uint8], seconds: float
) -> dict[str, list[float]]:
    """Return the milliseconds of every counted picture by backend."""
    times_ms: dict[str, list[float]] = {backend.name: [] for backend in backends}
    while any(sum(times) < seconds * 1000 for times in times_ms.values()):
        for backend in backends:
            for number in range(SETTLE + TURN):
                begin = time.perf_counter()
                backend.translate(picture)
                if number >= SETTLE:
                    times_ms[backend.name].append((time.perf_counter() - begin) * 1000)
    return times_ms


def drawn(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return uint8[1, H, W, 3] RGB: ramps with seeded grain."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    ramps = np.stack([255 * x / size[1], 255 * y / size[0], 127 * (x / size[1] + y / size[0])], axis=-1)
    grain = np.random.default_rng(0).normal(0, 12, ramps.shape)
    return np.clip(ramps + grain, 0, 255).astype(np.uint8)[None]


def facts(backend: Backend, times_ms: list[float]) -> dict[str, Any]:
    """Return a backend's line of the result."""
    p50_ms, p95_ms = np.percentile(times_ms, [50, 95])
    return {
        "backend": backend.name,
        "device": backend.device,
        "precision": backend.precision,
        "pictures": len(times_ms),
        "p50_ms": round(float(p50_ms), 2),
        "p95_ms": round(float(p95_ms), 2),
        "fps": round(1000 / float(np.mean(times_ms)), 1),
    }


def machine() -> dict[str, Any]:
    """Return what the figures hold for."""
    return {
        "cpu": cpu_name(),
        "threads": cpu_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit measured, with `+` where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")


def table(result: dict[str, Any]) -> Table:
    """Return the result as people read it."""
    height, width = result["size"]
    found = Table(title=f"style {result['style']}, {height}x{width}, {result['machine']['cpu']}")
    for heading in ("backend", "version", "precision", "p50 ms", "p95 ms", "fps", "pictures"):
        found.add_column(heading, justify="left" if heading in ("backend", "version") else "right")
    for row in result["backends"]:
        cells = ("backend", "version", "precision", "p50_ms", "p95_ms", "fps", "pictures")
        found.add_row(*(str(row[cell]) for cell in cells))
    if result["ratio_openvino_to_onnxruntime"] is not None:
        found.caption = (
            f"openvino takes {result['ratio_openvino_to_onnxruntime']} of onnxruntime's time; "
            f"largest difference {result['largest_difference_levels']} level(s)"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
