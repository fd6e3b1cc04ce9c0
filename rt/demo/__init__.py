"""The demo: a bundled clip in four styles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rt.commands import Backend, Run
from rt.errors import SinkError
from rt.fit import side_by_side
from rt.frame import Frame, Rgb
from rt.image import write_image
from rt.job import load_backend
from rt.pipeline import Stop, run_pipeline
from rt.sinks import SinkOptions, open_sink
from rt.sources import open_source
from rt.stats import Stats
from rt.terminal import progress
from rt.translator import Translator

CLIP = Path(__file__).parent / "clip.mp4"
FRAMES, SCENES = 144, 4
SCENE_FRAMES = FRAMES // SCENES
STYLES = ("winter", "starry", "comic", "scream")
"""The style of each scene, where none is asked for."""
SHOWN = tuple(SCENE_FRAMES * scene + SCENE_FRAMES * 5 // 6 for scene in range(SCENES))
"""The frames on the sheet: one of each scene."""
_WIPED = 0.6
"""The share of a scene after which all of the frame is translated."""
_LINE_PX = 2


@dataclass(frozen=True)
class Demo:
    """What the demo made."""

    stats: Stats
    video: Path
    sheet: Path | None
    """None where the run was stopped before its last frame."""


def run_demo(
    out_dir: Path, styles: Sequence[str], backend: Backend, size_px: int | None, overwrite: bool, stop: Stop
) -> Demo:
    """Translate the bundled clip to `out_dir`/demo.mp4 and draw `out_dir`/demo.png.

    The scenes are in the `styles` in turn. In each of them a line wipes from the frame to its translation.

    Raises:
        VideobrushError: a style or backend cannot be opened, or a result cannot be written.
    """
    video, sheet = out_dir / "demo.mp4", out_dir / "demo.png"
    if sheet.is_dir():
        raise SinkError(f"cannot write {sheet}: it is a folder; type --out-dir and another folder")
    if sheet.exists() and not overwrite:
        raise SinkError(f"cannot write {sheet}: it exists; add --overwrite to replace it")
    pairs: list[tuple[Rgb, Rgb]] = []
    with ExitStack() as opened:
        source = open_source(str(CLIP))
        opened.callback(source.close)
        sink = open_sink(str(video), source.info, SinkOptions(overwrite=overwrite))
        opened.callback(sink.abort)  # does nothing once the sink is closed
        translators = []
        for name in styles:
            asked = Run(str(CLIP), name, backend=backend, size=size_px)
            translators.append(Translator(load_backend(asked, name, source)))
            opened.callback(translators[-1].close)

        def translate(frames: Iterable[Frame]) -> Iterator[Frame]:
            for frame in frames:
                scene, number = divmod(frame.index, SCENE_FRAMES)
                after = translators[scene % len(translators)].translate(frame)
                if frame.index in SHOWN:
                    pairs.append((frame.rgb, after.rgb))
                yield wiped(frame, after, number / SCENE_FRAMES / _WIPED)

        with progress("demo", FRAMES) as report:
            stats = run_pipeline(source, translate, sink, stop=stop, on_progress=report)
    if len(pairs) < len(SHOWN):
        return Demo(stats, video, None)
    write_image(draw_sheet(pairs), sheet)
    return Demo(stats, video, sheet)


def wiped(before: Frame, after: Frame, share: float) -> Frame:
    """Return the frame of which the left `share` is translated, with a white line at its border."""
    if share >= 1:
        return after
    rgb = np.array(before.rgb)
    border = round(share * rgb.shape[1])
    rgb[:, :border] = after.rgb[:, :border]
    rgb[:, border : border + _LINE_PX] = 255
    return replace(after, image=rgb)


def draw_sheet(pairs: list[tuple[Rgb, Rgb]]) -> Rgb:
    """Return one image of (before, after) pairs of one size: a column each, before above after."""
    columns = [np.concatenate(pair, axis=0) for pair in pairs]
    sheet = columns[0]
    for column in columns[1:]:
        sheet = side_by_side(sheet, column)
    return sheet
