"""videobrush for other programs: images and videos through a style.

    import videobrush

    with videobrush.load("winter") as winter:
        after = winter(before)                       # uint8[H, W, 3] RGB, any size

    videobrush.run("in.mp4", "out.mp4", style="winter", on_progress=print)

    with (
        videobrush.frames("in.mp4") as clip,
        videobrush.load("winter") as winter,
        videobrush.writer("out.mp4", like=clip) as out,
    ):
        for frame in clip:
            out.write(winter(frame.rgb), frame)

Importing it loads nothing heavy. Errors of files, styles and devices are `VideobrushError`; wrong arguments
are `ValueError`.
"""

from ._errors import BackendError, SinkError, SourceError, StyleError, VideobrushError
from ._load import LoadedStyle, load
from ._styles import Style, styles
from ._video import Frame, Frames, Result, Writer, frames, run, writer

__all__ = [
    "BackendError",
    "Frame",
    "Frames",
    "LoadedStyle",
    "Result",
    "SinkError",
    "SourceError",
    "Style",
    "StyleError",
    "VideobrushError",
    "Writer",
    "frames",
    "load",
    "run",
    "styles",
    "writer",
]
