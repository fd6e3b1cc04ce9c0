"""Errors of making engines a user can mend; one line on stderr, exit 1."""

from __future__ import annotations

from rt.errors import VideobrushError


class PrecisionError(VideobrushError):
    """A network cannot be read, cast or quantised, or what came of it is below its gate."""


class AdoptError(VideobrushError):
    """A foreign network cannot become a style."""


class CalibrationError(VideobrushError):
    """The frames to calibrate or compare with are missing or unreadable."""
