"""The errors a caller may catch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._runtime import runtime

if TYPE_CHECKING:
    from rt.errors import BackendError, SinkError, SourceError, StyleError, VideobrushError
else:
    _errors = runtime("errors")
    VideobrushError = _errors.VideobrushError
    StyleError = _errors.StyleError
    SourceError = _errors.SourceError
    SinkError = _errors.SinkError
    BackendError = _errors.BackendError

__all__ = ["BackendError", "SinkError", "SourceError", "StyleError", "VideobrushError"]
