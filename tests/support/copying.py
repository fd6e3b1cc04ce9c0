"""Frames and whole files through `FileSource` and `FileSink`, without a model."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks.file import FileSink
from rt.sources.base import DEFAULTS, SourceOptions
from rt.sources.file import FileSource
from tests.support.media import drawn

UNIT = Fraction(1, 25)


def frame(
    index: int, size: tuple[int, int] = (48, 64), pts: int | None = None, unit: Fraction = UNIT
) -> Frame:
    """Return a drawn frame; `pts` is its index where not given."""
    return Frame(drawn(index, *size), index if pts is None else pts, unit, index)


def copy(
    source_path: Path,
    target: Path,
    ahead: int = 4,
    stop_after: int | None = None,
    options: SourceOptions = DEFAULTS,
) -> None:
    """Read and write a file like a run without a model, the reader `ahead` frames before the writer."""
    source = FileSource(source_path, options.start_s, options.duration_s, options=options)
    try:
        sink = FileSink(target, source.info)
        waiting: list[Frame] = []
        written = 0
        for read in source:
            waiting.append(read)
            if len(waiting) > ahead:
                sink.write(waiting.pop(0))
                written += 1
            if written == stop_after:
                waiting.clear()
                break
        for left in waiting:
            sink.write(left)
        sink.close()
    finally:
        source.close()


def refusal(path: Path | str, **arguments: Any) -> str:
    """Return what a `FileSink` that cannot be opened says; nothing in the folder may have changed."""
    before = {entry: entry.lstat().st_mtime_ns for entry in Path(path).parent.glob("*")}
    with pytest.raises(SinkError) as caught:
        FileSink(path, **{"size": (48, 64), **arguments})
    assert {entry: entry.lstat().st_mtime_ns for entry in Path(path).parent.glob("*")} == before
    message = str(caught.value)
    assert "\n" not in message
    return message
