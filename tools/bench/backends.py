"""Which backend is fastest here, and do they agree: `python -m tools.bench.backends --style winter`.

The backends take turns within one process, a few images each, so that whatever else the machine does falls
on all of them alike; compare the ratio of one run, never times of different runs. Prints a table, then one
JSON object as the last line; `--save` also writes it to tools/bench/results/backends-<date>-<size>.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rich.table import Table

from rt.backends import CPU_ORDER, CPU_PRECISIONS, backend_status, open_backend
from rt.errors import VideobrushError
from rt.fit import style_size
from rt.styles import Style, find_style
from tools.bench.result import facts, finish, parser, table

TURN = 10
"""Images a backend translates before the next one's turn."""
SETTLE = 2
"""Images at the start of a turn that do not count: they meet the other backend's threads and cache."""


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parse()
    try:
        result = measure(find_style(arguments.style), arguments.size, arguments.seconds)
    except VideobrushError as error:
        print(f"backends: {error}", file=sys.stderr)
        return 1
    finish(result, shown(result), arguments.save, "x".join(map(str, result["size"])))
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__)
    made.add_argument("--style", required=True, help="name of a style, or the path of its folder")
    made.add_argument("--size", type=int, default=256, help="short side of the network's image in pixels")
    made.add_argument("--seconds", type=float, default=5.0, help="seconds of measuring per contender")
    return made.parse_args()


def measure(style: Style, short_px: int, seconds: float) -> dict[str, Any]:
    """Let every CPU backend and precision translate a 16:9 image in turns; return all there is to say."""
    size = style_size(style.card, 1080, 1920, short_px)
    rows = measure_at(style, size, seconds)
    return {
        **facts("backends"),
        "style": style.name,
        "models": {precision: model.sha256 for precision, model in style.card.models.items()},
        "size": list(size),
        "compared_with": rows[0]["name"],
        "contenders": rows,
    }


def measure_at(style: Style, size: tuple[int, int], seconds: float) -> list[dict[str, Any]]:
    """Return a line for every CPU backend and precision at images of `size` = (height, width)."""
    working = [status.name for status in backend_status() if status.works and status.name in CPU_ORDER]
    contenders = {
        f"{name} {precision}": open_backend(name, style, size, precision).backend
        for name in working
        for precision in sorted(CPU_PRECISIONS[name])
        if precision in style.card.models
    }
    image = drawn(size)
    try:
        images = {name: backend.translate(image).astype(int) for name, backend in contenders.items()}
        times_ms = take_turns(contenders, image, seconds)
    finally:
        for backend in contenders.values():
            backend.close()
    first = next(iter(contenders))
    return [row(name, times_ms, np.abs(images[name] - images[first]).max(), first) for name in contenders]


class Translates(Protocol):
    """What takes turns: a backend, or something else that is measured beside backends."""

    def translate(self, rgb: npt.NDArray[np.uint8], /) -> npt.NDArray[np.uint8]:
        """Translate uint8[1, H, W, 3] RGB."""
        ...


def take_turns(
    contenders: Mapping[str, Translates], image: npt.NDArray[np.uint8], seconds: float
) -> dict[str, list[float]]:
    """Return the milliseconds of every counted image by contender.

    All have the same number of turns; together they take about `seconds` for each contender.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in contenders}
    while sum(map(sum, times_ms.values())) < seconds * 1000 * len(contenders):
        for name, backend in contenders.items():
            for number in range(SETTLE + TURN):
                begin = time.perf_counter()
                backend.translate(image)
                if number >= SETTLE:
                    times_ms[name].append((time.perf_counter() - begin) * 1000)
    return times_ms


def drawn(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return uint8[1, H, W, 3] RGB: ramps with seeded grain."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    ramps = np.stack([255 * x / size[1], 255 * y / size[0], 127 * (x / size[1] + y / size[0])], axis=-1)
    grain = np.random.default_rng(0).normal(0, 12, ramps.shape)
    return np.clip(ramps + grain, 0, 255).astype(np.uint8)[None]


def row(name: str, times_ms: dict[str, list[float]], difference: int, first: str) -> dict[str, Any]:
    """Return a contender's line of the result."""
    p50_ms, p95_ms = np.percentile(times_ms[name], [50, 95])
    return {
        "name": name,
        "images": len(times_ms[name]),
        "p50_ms": round(float(p50_ms), 2),
        "p95_ms": round(float(p95_ms), 2),
        "fps": round(1000 / float(np.mean(times_ms[name])), 1),
        "ratio": round(float(p50_ms / np.percentile(times_ms[first], 50)), 3),
        "largest_difference_levels": int(difference),
    }


def shown(result: dict[str, Any]) -> Table:
    """Return the result as people read it."""
    height, width = result["size"]
    title = f"style {result['style']}, {width}x{height}, {result['machine']['cpu']}"
    keys = ("name", "p50_ms", "p95_ms", "fps", "images", "ratio", "largest_difference_levels")
    headings = ("backend", "p50 ms", "p95 ms", "fps", "images", "time ratio", "levels off")
    return table(title, headings, [[row[key] for key in keys] for row in result["contenders"]])


if __name__ == "__main__":
    sys.exit(main())
