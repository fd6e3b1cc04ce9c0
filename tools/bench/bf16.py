"""What OpenVINO's bfloat16 brings on this CPU: `python -m tools.bench.bf16`.

The models of one style, computed as their file reads and with the rest in bfloat16, take turns image by image
within one process: compare the ratios, never times of different runs. PSNR is against FP32. Prints a table,
then one JSON object as the last line; `--save` also writes it to tools/bench/results/bf16-<date>.json.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np

from rt.backends.cpu import computes_bf16_in_tiles
from rt.backends.openvino import OpenVinoBackend
from rt.styles import find_style
from tools.bench.backends import drawn
from tools.bench.result import facts, finish, parser, table

SIZES = ((160, 288), (256, 256), (256, 456))
WARM_UP = 3
COLUMNS = ("size", "model", "f32 ms", "bf16 ms", "bf16 / f32", "PSNR f32 dB", "PSNR bf16 dB")


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--style", default="winter", help="name or folder of a style")
    arguments.add_argument("--turns", type=int, default=40, help="images of each kind")
    given = arguments.parse_args()
    style = find_style(given.style)
    rows = [row for size in SIZES for row in measure(style, size, given.turns)]
    shown = table(
        f"style {style.name}, AMX: {'yes' if computes_bf16_in_tiles() else 'no'}, median of the turns",
        COLUMNS,
        [
            [
                f"{row['size'][1]}x{row['size'][0]}",
                row["model"],
                *(f"{row[key]:.2f}" for key in ("f32_ms", "bf16_ms", "ratio", "f32_db", "bf16_db")),
            ]
            for row in rows
        ],
    )
    found = {**facts("bf16"), "style": style.name, "amx": computes_bf16_in_tiles(), "rows": rows}
    finish(found, shown, given.save)
    return 0


def measure(style: Any, size: tuple[int, int], turns: int) -> list[dict[str, Any]]:
    """Return a row for each model of a style at (height, width)."""
    image = drawn(size)
    kinds = [(model, bf16) for model in ("int8", "fp32") for bf16 in (False, True)]
    backends = {kind: OpenVinoBackend(style.model(kind[0]), size, kind[0], bf16=kind[1]) for kind in kinds}
    for backend in backends.values():
        for _ in range(WARM_UP):
            backend.translate(image)
    exact = backends["fp32", False].translate(image).astype(np.float64)
    times: dict[tuple[str, bool], list[float]] = {kind: [] for kind in kinds}
    for _ in range(turns):
        for kind, backend in backends.items():
            started = time.perf_counter()
            backend.translate(image)
            times[kind].append(1000 * (time.perf_counter() - started))
    rows = []
    for model in ("int8", "fp32"):
        plain, tiles = times[model, False], times[model, True]
        row: dict[str, Any] = {
            "size": list(size),
            "model": model,
            "f32_ms": round(statistics.median(plain), 2),
            "bf16_ms": round(statistics.median(tiles), 2),
            "ratio": round(statistics.median(b / a for a, b in zip(plain, tiles, strict=True)), 3),
        }
        for name, bf16 in (("f32_db", False), ("bf16_db", True)):
            error = float(((backends[model, bf16].translate(image) - exact) ** 2).mean())
            row[name] = round(10 * np.log10(255**2 / error), 1) if error else 99.0
        rows.append(row)
    return rows


if __name__ == "__main__":
    sys.exit(main())
