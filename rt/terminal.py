"""What the three commands share: results, tables, progress, signals, exit codes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from rt.errors import VideobrushError
from rt.log import LOG, open_closed_streams, set_up_log

USAGE_ERROR = 2
PIPE_CLOSED = 141
QUIET_S = 10.0
"""Seconds between two progress lines where stderr is not a terminal."""
LIVE_S = 1.0
"""Seconds between two status lines of a live run."""
TERMINAL_CLOSED = "terminal closed"
ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""Signals that end a run, and what is said then."""
if sys.platform != "win32":
    ENDINGS[signal.SIGHUP] = TERMINAL_CLOSED

VERBOSE = ("-v", "--verbose")
VERBOSE_HELP = "`-v`, at any place, says more: what was tried and could not be used."

Phases = Callable[[str, int, int], None]
"""Takes the phase, the steps done and all steps."""


def run_command(run: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Run a command line to its end; return the exit status.

    0 done, 1 a fault outside the program (one line on stderr), 2 wrong usage, 129 its terminal was closed,
    130 interrupted, 141 its results are no longer read (`| head`), 143 terminated.
    """
    open_closed_streams()
    set_up_log()
    try:
        return run()
    except VideobrushError as error:
        LOG.error("%s", error)
        return 1
    except KeyboardInterrupt:
        LOG.warning("%s", interrupted)
        return 128 + signal.SIGINT
    except _ReaderLeft:
        return PIPE_CLOSED


def todays_words(typed: Sequence[str]) -> list[str]:
    """Return the arguments with the values of videobrush 0.1 under today's names: `--view image`."""
    words = list(typed)
    for number, word in enumerate(words):
        if word == "--view=picture":
            words[number] = "--view=image"
        elif word == "picture" and number and words[number - 1] == "--view":
            words[number] = "image"
    return words


def take_verbose(typed: Sequence[str]) -> list[str]:
    """Return the arguments without `-v` and `--verbose`, with which the log says more from here on.

    So every command of training and engines takes them, at any place, without a setting of its own.
    """
    words = [word for word in typed if word not in VERBOSE]
    set_up_log(len(words) < len(typed))
    return words


class _ReaderLeft(Exception):
    """Our results are no longer read."""


@contextmanager
def printing() -> Iterator[None]:
    """Bring what is printed within to stdout.

    Raises:
        VideobrushError: the results cannot be printed.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        # What is still buffered has nowhere to go; Python would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise _ReaderLeft from None
        raise VideobrushError(f"the results cannot be printed: {error.strerror}") from None


def print_results(*lines: str) -> None:
    """Print lines to stdout.

    Raises:
        VideobrushError: the results cannot be printed.
    """
    with printing():
        for line in lines:
            print(line)


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


class Signals:
    """Signals that end a run: the first asks it to end, the second raises KeyboardInterrupt.

    Once the result is whole they change nothing.
    """

    def __init__(
        self,
        request: Callable[[], None],
        settled: Callable[[], bool],
        again: Callable[[], None] | None = None,
    ) -> None:
        self.received: int | None = None
        self._again = again
        self._request = request
        self._settled = settled

    @property
    def status(self) -> int:
        """The exit status of a run that a signal ended, 0 where none did."""
        return 0 if self.received is None else 128 + self.received

    @property
    def ending(self) -> str:
        """What is said of the signal: `interrupted`."""
        return ENDINGS[signal.Signals(self.received or signal.SIGINT)]

    def receive(self, number: int, _: FrameType | None) -> None:
        """Take one signal."""
        if self._settled():
            return
        if self.received is not None:
            if self._again is None:
                raise KeyboardInterrupt
            self._again()
            return
        self.received = number
        self._request()


@contextmanager
def signals(
    request: Callable[[], None] = lambda: None,
    settled: Callable[[], bool] = lambda: False,
    again: Callable[[], None] | None = None,
) -> Iterator[Signals]:
    """Take the signals that end a run until the end of the block.

    `request` is called for the first one, within the signal handler, and `again` for the second one, which
    without it raises KeyboardInterrupt. Once `settled` returns True they are ignored. A program started to
    outlive its terminal (`nohup`) is left to run when that is closed.
    """
    received = Signals(request, settled, again)
    numbers = [number for number in ENDINGS if not _is_left_to_run(number)]
    before = {number: signal.signal(number, received.receive) for number in numbers}
    try:
        yield received
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _is_left_to_run(number: signal.Signals) -> bool:
    return ENDINGS[number] == TERMINAL_CLOSED and signal.getsignal(number) == signal.SIG_IGN


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far a run is: a bar where stderr is a terminal, else a line every ten seconds.

    Yields a function that takes the number of frames done so far.
    """
    if not sys.stderr.isatty():
        yield _progress_lines(total)
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

    with _shown(bar):
        yield report


@contextmanager
def phases(what: str) -> Iterator[Phases]:
    """Show the phase of long work, its steps and the time it takes.

    One line in place where stderr is a terminal, else a line every ten seconds.
    """
    if not sys.stderr.isatty():
        yield _phase_lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)

    def report(phase: str, done: int, total: int) -> None:
        bar.update(task, description=f"{what}: {phase}", completed=done, total=total)

    with _shown(bar):
        yield report


@contextmanager
def live_status(describe: Callable[[], str]) -> Iterator[Callable[[int], None]]:
    """Show once a second what `describe` returns: in one place where stderr is a terminal, else line by line.

    Yields a function to call after each frame.
    """
    if not sys.stderr.isatty():
        yield _each(LIVE_S, lambda: LOG.info("%s", describe()))
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False),)
    line = Progress(*columns, console=Console(stderr=True), transient=True)
    task = line.add_task("")
    report = _each(LIVE_S, lambda: line.update(task, description=describe()))
    with _shown(line):
        yield report


@contextmanager
def _shown(bar: Any) -> Iterator[None]:
    """Show a bar until the end of the block; a terminal that was closed is no reason to fail a run."""
    try:
        with suppress(OSError):
            bar.start()
        yield
    finally:
        with suppress(OSError):
            bar.stop()


def _each(seconds: float, show: Callable[[], None]) -> Callable[[int], None]:
    """Return a function that calls `show` when it is called and so many seconds have passed."""
    shown = time.monotonic()

    def report(_: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= seconds:
            shown = now
            show()

    return report


def _progress_lines(total: int | None) -> Callable[[int], None]:
    started = time.monotonic()
    done = 0

    def show() -> None:
        of_total = f" of {total}" if total else ""
        LOG.info("%d%s frames, %.1f fps", done, of_total, done / (time.monotonic() - started))

    tick = _each(QUIET_S, show)

    def report(frames: int) -> None:
        nonlocal done
        done = frames
        tick(frames)

    return report


def _phase_lines(what: str) -> Phases:
    LOG.info("%s ...", what)
    started = time.monotonic()
    now_at = ("", 0, 0)

    def show() -> None:
        LOG.info("%.0f s: %s, %d of %d steps", time.monotonic() - started, *now_at)

    tick = _each(QUIET_S, show)

    def report(phase: str, done: int, total: int) -> None:
        nonlocal now_at
        now_at = (phase, done, total)
        tick(done)

    return report
