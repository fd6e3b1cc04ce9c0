"""Does a long run stay flat: `python -m tools.bench.memory`.

Carries 100 000 small frames through a style and looks at resident memory, threads and open files on the way,
then tells the peak of translating a 1080p file. Linux only. Prints a table, then one JSON object as the last
line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

from rt.backends import open_backend
from rt.fit import style_size
from rt.frame import Frame
from rt.pipeline import run_pipeline
from rt.sinks.null import NullSink
from rt.sources import SourceOptions, open_source
from rt.styles import Style, find_style
from rt.translator import Translator
from tools.bench.clips import make_clip
from tools.bench.result import ROOT, facts, finish, parser, table

FPS = 30
LOOKS = 10


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--style", default="winter", help="name of a style, or the path of its folder")
    arguments.add_argument("--frames", type=int, default=100_000)
    arguments.add_argument("--side", type=int, default=64, help="height and width of the small frames")
    typed = arguments.parse_args()
    style = find_style(typed.style)
    looks = carry(style, typed.frames, typed.side)
    result = {
        **facts("memory"),
        "style": style.name,
        "frames": typed.frames,
        "side": typed.side,
        "looks": looks,
        "grown_mib": round(looks[-1]["rss_mib"] - looks[1]["rss_mib"], 1),
        "peak_1080p_mib": peak_1080p(style),
    }
    keys = ("frames", "rss_mib", "threads", "open_files")
    rows = [[look[key] for key in keys] for look in looks]
    finish(result, table(f"{typed.frames} frames of {typed.side}x{typed.side}", keys, rows), typed.save)
    return 0


def carry(style: Style, frames: int, side: int) -> list[dict[str, Any]]:
    """Carry small frames; return what was seen at each tenth of them."""
    card = style.card
    size = style_size(card, side, side)
    translator = Translator(open_backend("auto", style, size, mode="throughput").backend)
    options = SourceOptions(Fraction(FPS), side, side, duration_s=frames / FPS)
    looks: list[dict[str, Any]] = []

    class Watching(NullSink):
        def write(self, frame: Frame) -> None:
            super().write(frame)
            if self.frames % max(1, frames // LOOKS) == 0:
                looks.append({"frames": self.frames, **look()})

    try:
        run_pipeline(open_source("pattern://?unpaced", options), translator.translate_all, Watching())
    finally:
        translator.close()
    return looks


def look() -> dict[str, Any]:
    """Return what this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "rss_mib": round(pages * resource.getpagesize() / 2**20, 1),
        "threads": threading.active_count(),
        "open_files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208  a count of names
    }


def peak_1080p(style: Style) -> float:
    """Return the peak in MiB of the command that translates a 1080p file into a file."""
    with tempfile.TemporaryDirectory() as folder:
        clip, out = make_clip(Path(folder) / "clip.mp4", 1080, 1920, 60), Path(folder) / "out.mp4"
        command = [sys.executable, "-m", "rt", "run", str(clip), str(out), "--style", str(style.folder)]
        subprocess.run(command, cwd=ROOT, check=True)
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    sys.exit(main())
