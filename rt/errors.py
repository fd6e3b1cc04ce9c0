"""The error tree: everything a user can meet and mend.

VideobrushError          one line on stderr, exit 1
├── StyleError           unknown style, damaged card or model
├── SourceError          a source cannot be opened or read
│   └── DamagedSource    a source ended early or is damaged; the frames before the fault were delivered
├── SinkError            a sink cannot be opened or written
└── BackendError         a backend is not installed, cannot load a model, or gives a wrong image
    └── EngineError      a compiled engine is missing, damaged, or made for something else
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class VideobrushError(Exception):
    """A mistake or fault outside the program. The message says what failed, what was found, what to type."""


class StyleError(VideobrushError):
    """A style is unknown, incomplete or damaged."""


class SourceError(VideobrushError):
    """A source cannot be opened or read."""


class DamagedSource(SourceError):
    """A source ended early or is damaged. Raised after its last readable frame was delivered."""


class SinkError(VideobrushError):
    """A sink cannot be opened or written."""


class BackendError(VideobrushError):
    """A backend is not usable here, cannot load a model, or returned a wrong image."""


class EngineError(BackendError):
    """A compiled engine is missing, damaged, or made for something else."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known name closest to `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def nearest_file(path: Path) -> str:
    """Return what a path that does not exist may have meant, as the end of a message."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except FileNotFoundError:
        return f" (there is no folder {path.parent})"
    except OSError:  # a folder that may not be listed
        return ""
    return nearest(path.name, names)
