"""How far a build is, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from engines.build import Report
from rt.log import LOG, QUIET_S


@contextmanager
def building(what: str) -> Iterator[Report]:
    """Show a build's phase, its steps and the time it takes: a line that moves on a terminal, else lines."""
    if not sys.stderr.isatty():
        yield _spoken(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def report(phase: str, done: int, total: int) -> None:
            bar.update(task, description=f"{what}: {phase}", completed=done, total=total)

        yield report


def _spoken(what: str) -> Report:
    LOG.info("%s ...", what)
    started = spoken = time.monotonic()

    def report(phase: str, done: int, total: int) -> None:
        nonlocal spoken
        now = time.monotonic()
        if now - spoken >= QUIET_S:
            spoken = now
            LOG.info("%.0f s: %s, %d of %d steps", now - started, phase, done, total)

    return report
