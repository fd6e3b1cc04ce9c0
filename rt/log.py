"""Logging to stderr, one line each; results go to stdout."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from contextlib import suppress

LOG = logging.getLogger(__package__)
"""What any module of `rt` says: `info` lines as they are, `warning` and `error` with their level in front."""


class _StderrHandler(logging.Handler):
    """One line per record, to what `sys.stderr` is now: a progress bar may have put itself in front of it."""

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        with suppress(OSError):  # the reader has left: no reason to lose the frames of a run
            sys.stderr.write(f"{level}{text}\n")
            sys.stderr.flush()


def open_closed_streams() -> None:
    """Let stdin, stdout and stderr lead somewhere, and print any text. Works twice.

    One that was closed at start (`>&-`) leads to the null device: else the next file opened would get its
    number, and whatever is printed past Python would be written into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper) and stdout.errors == "strict":
        # The name of a file or a style may hold letters that the terminal's encoding lacks.
        stdout.reconfigure(errors="backslashreplace")


def set_up_log(verbose: bool = False) -> None:
    """Send `LOG` and Python's warnings to stderr, one line each. Works twice.

    `verbose` shows the `debug` lines too: what was tried and does not matter.
    """
    if not LOG.handlers:
        LOG.addHandler(_StderrHandler())
        LOG.propagate = False
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        LOG.warning("%s", message)

    warnings.showwarning = show
