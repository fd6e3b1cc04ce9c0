"""The demo: a bundled clip through a style, as a video and as a sheet of pictures before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rt.commands import Backend, Run
from rt.errors import SinkError
from rt.fit import side_by_side
from rt.frame import Frame, Rgb
from rt.image import write_image
from rt.job import run_job
from rt.pipeline import Stop
from rt.stats import Stats

CLIP = Path(__file__).parent / "stream.mp4"
SHOWN = (0, 44, 89)
"""The frames of the clip on the sheet."""


@dataclass(frozen=True)
class Demo:
    """What the demo made."""

    stats: Stats
    video: Path
    sheet: Path | None
    """None where the run was stopped before its last frame."""


def run_demo(
    out_dir: Path, style: str, backend: Backend, size_px: int | None, overwrite: bool, stop: Stop
) -> Demo:
    """Translate the bundled clip to `out_dir`/demo.mp4 and draw `out_dir`/demo.png.

    Raises:
        VideobrushError: the style or backend cannot be opened, or a result cannot be written.
    """
    video, sheet = out_dir / "demo.mp4", out_dir / "demo.png"
    if sheet.is_dir():
        raise SinkError(f"cannot write {sheet}: it is a folder; type --out-dir and another folder")
    if sheet.exists() and not overwrite:
        raise SinkError(f"cannot write {sheet}: it exists; add --overwrite to replace it")
    pairs: list[tuple[Rgb, Rgb]] = []

    def watch(frame: Frame) -> None:
        if frame.index in SHOWN and frame.before is not None:
            pairs.append((frame.before, frame.rgb))

    asked = Run(str(CLIP), style, (str(video),), backend=backend, size=size_px, overwrite=overwrite)
    stats = run_job(asked, stop, watch)
    if len(pairs) < len(SHOWN):
        return Demo(stats, video, None)
    write_image(draw_sheet(pairs), sheet)
    return Demo(stats, video, sheet)


def draw_sheet(pairs: list[tuple[Rgb, Rgb]]) -> Rgb:
    """Return one picture of (before, after) pairs of one size: a column each, before above after."""
    columns = [np.concatenate(pair, axis=0) for pair in pairs]
    sheet = columns[0]
    for column in columns[1:]:
        sheet = side_by_side(sheet, column)
    return sheet
