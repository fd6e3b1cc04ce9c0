"""What the program says while it works: everything here goes to stderr, results go to stdout."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOG = logging.getLogger("rt")
"""What any module of `rt` says: `info` lines as they are, `warning` and `error` with their level in front."""

QUIET_S = 10.0
"""Seconds between two progress lines where stderr is not a terminal."""
LIVE_S = 1.0
"""Seconds between two status lines of a live run."""


class _StderrHandler(logging.Handler):
    """One line per record, to what `sys.stderr` is now: a progress bar may have put itself in front of it."""

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        with suppress(OSError):  # whoever listened has left: no reason to lose the frames of a run
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


def set_up_log() -> None:
    """Send `LOG` and Python's warnings to stderr, one line each. Works twice."""
    if not LOG.handlers:
        LOG.addHandler(_StderrHandler())
        LOG.propagate = False
    LOG.setLevel(logging.INFO)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        LOG.warning("%s", message)

    warnings.showwarning = show


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far a run is: a bar where stderr is a terminal, else a line every ten seconds.

    Yields a function that takes the number of frames done so far.
    """
    if not sys.stderr.isatty():
        yield _spoken_progress(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} fps"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=total, fps=0.0)

    def report(frames: int) -> None:
        fps = frames / max(time.monotonic() - started, 1e-3)
        # The count a file states is an estimate: the bar never claims less than was done.
        bar.update(task, completed=frames, fps=fps, total=None if total is None else max(total, frames))

    try:
        with suppress(OSError):
            bar.start()
        yield report
    finally:
        with suppress(OSError):  # the terminal was closed: no reason to fail a run
            bar.stop()


@contextmanager
def live_status(describe: Callable[[], str]) -> Iterator[Callable[[int], None]]:
    """Show once a second what `describe` returns: in one place where stderr is a terminal, else line by line.

    Yields a function to call after each frame.
    """
    if not sys.stderr.isatty():
        yield _each_second(lambda: LOG.info("%s", describe()))
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    line = Progress(
        TextColumn("{task.description}", markup=False), console=Console(stderr=True), transient=True
    )
    task = line.add_task("")
    try:
        with suppress(OSError):
            line.start()
        yield _each_second(lambda: line.update(task, description=describe()))
    finally:
        with suppress(OSError):
            line.stop()


def _each_second(show: Callable[[], None]) -> Callable[[int], None]:
    shown = time.monotonic()

    def report(_: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= LIVE_S:
            shown = now
            show()

    return report


def _spoken_progress(total: int | None) -> Callable[[int], None]:
    started = spoken = time.monotonic()

    def report(frames: int) -> None:
        nonlocal spoken
        now = time.monotonic()
        if now - spoken >= QUIET_S:
            spoken = now
            of_total = f" of {total}" if total else ""
            LOG.info("%d%s frames, %.1f fps", frames, of_total, frames / (now - started))

    return report
