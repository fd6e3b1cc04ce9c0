"""Is a live view in time: `python -m tools.bench.live`.

A drawn camera of 1280x720 at 30 frames a second goes through a style into a sink that counts. Told are drops,
latency from capture to sink by stage, and the longest gap between two frames, all of it once more while the
style is switched every ten seconds. Needs an idle machine. Prints a table, then one JSON object as the last
line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from rt.backends import Backend, open_backend
from rt.controls import Controls
from rt.fit import style_size
from rt.frame import Frame
from rt.pipeline import run_pipeline
from rt.sinks.null import NullSink
from rt.sources import SourceOptions, open_source
from rt.styles import Style, find_style
from rt.switcher import Switcher
from rt.translator import Translator
from tools.bench.result import facts, finish, parser, table

SWITCH_S = 10.0


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--style", default="winter", help="name of a style, or the path of its folder")
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--height", type=int, default=720)
    arguments.add_argument("--width", type=int, default=1280)
    arguments.add_argument("--fps", type=int, default=30)
    arguments.add_argument("--steady", type=float, default=0.0)
    typed = arguments.parse_args()
    logging.getLogger("rt").setLevel(logging.WARNING)
    options = SourceOptions(Fraction(typed.fps), typed.height, typed.width, duration_s=typed.seconds)
    style = find_style(typed.style)
    with tempfile.TemporaryDirectory() as folder:
        twin = _twin(style, Path(folder))
        runs = {
            "one style": run(options, typed.steady, [style], switch_s=None),
            "switched every 10 s": run(options, typed.steady, [style, twin], SWITCH_S),
        }
    result = {**facts("live"), "style": style.name, "steady": typed.steady, "runs": runs}
    result["source"] = f"{typed.width}x{typed.height}, {typed.fps} fps, {typed.seconds:.0f} s"
    rows = [
        [name, *(found[key] for key in ("frames", "dropped", "longest_gap_ms")), *_spans(found)]
        for name, found in runs.items()
    ]
    headings = ("run", "frames", "dropped", "longest gap ms", "total p50/p95/p99", "translate p50/p95/p99")
    finish(result, table(f"{style.name}, {result['source']}", headings, rows), typed.save)
    return 0


def run(options: SourceOptions, steady: float, styles: list[Style], switch_s: float | None) -> dict[str, Any]:
    """Carry the drawn camera through the styles, changing them every `switch_s` seconds."""
    assert options.height is not None
    assert options.width is not None
    frame_size = options.height, options.width
    by_name = {str(style.folder): style for style in styles}
    controls = Controls(tuple(by_name), next(iter(by_name)), steady=steady)

    def load(name: str) -> Backend:
        card = by_name[name].card
        size = style_size(card, *frame_size)
        return open_backend("auto", by_name[name], size).backend

    first = load(controls.style)
    switcher = Switcher(first, controls, load, lambda backend: Translator(backend, controls))
    source = open_source("pattern://", options)
    sink = Timed(controls, switch_s)

    def translate(frames: Iterable[Frame]) -> Iterator[Frame]:
        return switcher.translate_all(frames)

    try:
        stats = run_pipeline(source, translate, sink)
    finally:
        switcher.close()
    gaps_ms = [1000 * (later - earlier) for earlier, later in itertools.pairwise(sink.times_s)]
    return {
        "backend": f"{first.info.name} {first.info.precision}",
        "frames": stats.frames,
        "dropped": stats.dropped,
        "fps": round(stats.fps, 2),
        "longest_gap_ms": round(max(gaps_ms), 1),
        "switches": sink.switches,
        "latency": {
            stage: {name: round(span_ms, 2) for name, span_ms in asdict(spans).items()}
            for stage, spans in stats.latency.items()
        },
    }


class Timed(NullSink):
    """Counts frames, remembers when they came, and changes the style from time to time."""

    def __init__(self, controls: Controls, switch_s: float | None) -> None:
        super().__init__()
        self.times_s: list[float] = []
        self.switches = 0
        self._controls = controls
        self._switch_s = switch_s
        self._due_s = time.perf_counter() + (switch_s or 0)

    def write(self, frame: Frame) -> None:
        """Take one frame."""
        super().write(frame)
        now_s = time.perf_counter()
        self.times_s.append(now_s)
        if self._switch_s is not None and now_s >= self._due_s:
            self._due_s = now_s + self._switch_s
            self.switches += 1
            self._controls.select(1 + self.switches % len(self._controls.styles))


def _twin(style: Style, folder: Path) -> Style:
    """Return a copy of a style in another folder: something else to switch to."""
    return find_style(Path(shutil.copytree(style.folder, folder / "twin")))


def _spans(found: dict[str, Any]) -> list[str]:
    return [
        "/".join(f"{found['latency'][stage][key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms"))
        for stage in ("total", "translate")
    ]


if __name__ == "__main__":
    sys.exit(main())
