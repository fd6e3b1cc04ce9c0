"""How fast every style is beside the papers' network: `python -m tools.bench.gallery`.

Each style's INT8 and FP32 model on OpenVINO, and ResNet-9 with 64 channels in PyTorch without compilation,
take turns within one process at 256x256; the ratio of one run is what counts, images a second hold for an
idle machine alone. Prints a table, then one JSON object as the last line; `--save` also writes it to
tools/bench/results/gallery-<date>.json.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rt.backends import open_backend
from rt.backends.cpu import cpu_threads
from rt.errors import VideobrushError
from rt.styles import GALLERY, Style, find_style
from tools.bench.backends import Translates, drawn, take_turns
from tools.bench.result import facts, finish, parser, table
from train.graph import PixelsInOut
from train.nets import make_generator

SIZE = (256, 256)
PAPERS = "ResNet-9, PyTorch eager"
LEAST_FPS = 100
LEAST_TIMES = 25
"""What INT8 is to reach on two cores: images a second, and times as many as the papers' network."""


class Eager:
    """The papers' generator, untrained: its speed is that of a trained one."""

    def __init__(self) -> None:
        torch.set_num_threads(cpu_threads())
        self._graph = PixelsInOut(make_generator("resnet9")).eval()

    @torch.inference_mode()
    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[1, H, W, 3] RGB."""
        return np.asarray(self._graph(torch.from_numpy(rgb)).numpy(), np.uint8)


def main() -> int:
    """Measure, print, and save where asked."""
    given = parse()
    try:
        result = measure([find_style(folder) for folder in given.styles], given.seconds)
    except VideobrushError as error:
        print(f"gallery: {error}", file=sys.stderr)
        return 1
    keys = ("style", "precision", "p50_ms", "fps", "times_papers", "reached")
    headings = ("style", "precision", "p50 ms", "fps", f"times {PAPERS}", "aim")
    title = f"256x256, {result['machine']['cpu']}, {result['machine']['threads']} threads"
    shown = table(title, headings, [[row[key] for key in keys] for row in result["rows"]])
    finish(result, shown, given.save)
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__)
    gallery = sorted(path for path in GALLERY.iterdir() if path.is_dir())
    made.add_argument("styles", nargs="*", default=gallery, help="names or folders; default: the gallery")
    made.add_argument("--seconds", type=float, default=5.0, help="seconds of measuring per contender")
    return made.parse_args()


def measure(styles: list[Style], seconds: float) -> dict[str, Any]:
    """Let every style and the papers' network take turns; return all there is to say."""
    backends = {
        (style.name, precision): open_backend("openvino", style, SIZE, precision).backend
        for style in styles
        for precision in ("int8", "fp32")
        if precision in style.card.models
    }
    contenders: dict[str, Translates] = {" ".join(key): backend for key, backend in backends.items()}
    contenders[PAPERS] = Eager()
    image = drawn(SIZE)
    try:
        for contender in contenders.values():
            contender.translate(image)  # compiles, allocates
        times_ms = take_turns(contenders, image, seconds)
    finally:
        for backend in backends.values():
            backend.close()
    papers_ms = float(np.median(times_ms[PAPERS]))
    rows = [
        row(style, precision, times_ms[f"{style} {precision}"], papers_ms) for style, precision in backends
    ]
    rows.append(row(PAPERS, "fp32", times_ms[PAPERS], papers_ms))
    return {**facts("gallery"), "size": list(SIZE), "rows": rows}


def row(style: str, precision: str, times_ms: list[float], papers_ms: float) -> dict[str, Any]:
    """Return a contender's line of the result."""
    p50_ms = float(np.median(times_ms))
    fps, times = 1000 / p50_ms, papers_ms / p50_ms
    judged = precision == "int8"
    return {
        "style": style,
        "precision": precision,
        "images": len(times_ms),
        "p50_ms": round(p50_ms, 2),
        "p95_ms": round(float(np.percentile(times_ms, 95)), 2),
        "fps": round(fps, 1),
        "times_papers": round(times, 1),
        "reached": ("yes" if fps >= LEAST_FPS and times >= LEAST_TIMES else "no") if judged else "-",
    }


if __name__ == "__main__":
    sys.exit(main())
