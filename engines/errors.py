"""Errors of making engines a user can mend; one line on stderr, exit 1."""

from __future__ import annotations

from rt.errors import FrameshiftError


class PrecisionError(FrameshiftError):
    """A network cannot be read, cast or quantised, or what came of it is below its gate."""


class AdoptError(FrameshiftError):
    """A foreign network cannot become a style."""


class CalibrationError(FrameshiftError):
    """The frames to calibrate or compare with are missing or unreadable."""
