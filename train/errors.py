"""Errors of training a user can mend; one line on stderr, exit 1."""

from __future__ import annotations

from rt.errors import VideobrushError


class DataError(VideobrushError):
    """An image folder is missing, empty or unreadable."""


class RunError(VideobrushError):
    """A run folder cannot be written, resumed or read."""


class ExportError(VideobrushError):
    """A generator cannot be exported, or the exported one does not compute the same image."""
