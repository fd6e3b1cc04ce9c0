"""An image of what is shown, saved by a key."""

from __future__ import annotations

import logging
from pathlib import Path

from rt.controls import Controls
from rt.errors import SinkError
from rt.frame import Frame
from rt.image import write_image
from rt.sinks.target import timestamped

_log = logging.getLogger(__name__)


def save_snapshot(frame: Frame, controls: Controls, log: bool = True) -> None:
    """Write the translated image, without what is written over it, to the current folder.

    The viewer is told, and with `log` the log.
    """
    path = timestamped(Path(), ".png")
    try:
        write_image(frame.rgb, path)
    except SinkError as error:
        if log:
            _log.warning("%s", error)
        controls.note(str(error))
    else:
        if log:
            _log.info("snapshot: %s", path)
        controls.note(f"snapshot: {path}")
