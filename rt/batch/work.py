"""One task: translated in this process, and how that ended."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rt.backends import Backend
from rt.batch.chunk import (
    Chunk,
    Cuts,
    Join,
    NotCuttable,
    Part,
    Parts,
    find_cuts,
    join_parts,
    translate_chunk,
)
from rt.batch.plan import Item, program_version
from rt.commands import Run
from rt.errors import DamagedSource, VideobrushError
from rt.frame import Frame
from rt.job import load_backend, run_job
from rt.log import LOG
from rt.pipeline import Stop
from rt.sources import Source
from rt.styles import find_style

Task = Item | Chunk | Join
"""What `work` takes: an input, a chunk of one, or the parts of one that are to be joined."""
Status = Literal["done", "damaged", "failed", "stopped", "cut", "part", "whole"]
DROPPED = "the batch was ended"
_WARNINGS = 20
_KEPT = 4
"""So many loaded networks are kept for the items to come."""


@dataclass(frozen=True)
class Fact:
    """How one task ended.

    An item ends in `done`, `damaged` or `failed`. `cut`: it is long, its chunks are to be translated; `part`:
    one of them is; `whole`: it has to be translated whole after all.
    """

    key: str
    source: str
    style: str
    output: str
    status: Status
    message: str = ""
    """Why it failed, or what is damaged; one line."""
    frames: int = 0
    seconds: float = 0.0
    output_bytes: int = 0
    warnings: tuple[str, ...] = ()


class Cancelled(Exception):
    """The batch was asked to end while this task was worked on."""


def work(
    task: Task,
    loaded: LoadedBackends | None = None,
    on_progress: Callable[[int, int | None], object] = lambda frames, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    attempt: str = "",
) -> Fact:
    """Work on one task and return how that ended; nothing is raised but what ends the process.

    An output takes its name when it is whole. `loaded` keeps networks for later tasks; `on_progress` is
    told frames written and expected; once `cancelled` says so, the task is dropped. `attempt` is a name for
    this attempt where another one may still be running on a machine that was given up: they write different
    files then, and the last to end gives the output its name.
    """
    running = _Running(task, loaded, on_progress, cancelled, attempt)
    started = time.monotonic()
    with _warnings() as running.warnings:
        status, message = running.end()
    output, warnings = task.item.output, running.warnings
    size = output.stat().st_size if status in ("done", "damaged") and output.exists() else 0
    return _fact(
        task,
        status,
        message,
        running.frames,
        round(time.monotonic() - started + running.earlier_s, 3),
        size,
        tuple(dict.fromkeys(warnings))[:_WARNINGS],
    )


def _fact(task: Task, status: Status, message: str, *rest: Any) -> Fact:
    item = task.item
    return Fact(item.key, str(item.source), item.style, str(item.output), status, message, *rest)


def failed(task: Task, message: str) -> Fact:
    """Return the fact of a task that failed."""
    return _fact(task, "failed", message)


def stopped(task: Task) -> Fact:
    """Return the fact of a task that was dropped."""
    return _fact(task, "stopped", DROPPED)


class _Running:
    """A task being worked on."""

    def __init__(
        self,
        task: Task,
        loaded: LoadedBackends | None,
        on_progress: Callable[[int, int | None], object],
        cancelled: Callable[[], bool],
        attempt: str,
    ) -> None:
        self.frames = 0
        self.earlier_s = 0.0
        self.warnings: list[str] = []
        self._task, self._item = task, task.item
        self._load = load_backend if loaded is None else loaded.load
        self._on_progress, self._cancelled, self._attempt = on_progress, cancelled, attempt

    def end(self) -> tuple[Status, str]:
        """Work until the end; return how it ended and why."""
        task = self._task
        try:
            self._check_machine()
            if isinstance(task, Chunk):
                return self._translate_chunk(task)
            if isinstance(task, Join):
                return self._join(task)
            return self._translate_or_cut()
        except Cancelled:
            return "stopped", DROPPED
        except NotCuttable as error:
            self._give_up_chunks(str(error))
            return "whole", str(error)
        except DamagedSource as error:
            return "damaged", str(error)
        except (VideobrushError, OSError) as error:
            return "failed", " ".join(str(error).split())
        except Exception as error:  # the edge of the process: one bad file must not end the others
            LOG.debug("%s", self._item.source, exc_info=True)
            return "failed", f"a fault of the program: {type(error).__name__}: {error}"

    def _translate_or_cut(self) -> tuple[Status, str]:
        parts, item = Parts(self._item), self._item
        cuts = parts.cuts() or find_cuts(item)
        if cuts is not None and not cuts.whole:
            parts.write_cuts(cuts)
            return "cut", ""
        with self._written() as output:
            asked = replace(item.asked(), output=(str(output),), overwrite=True)  # whether it may is decided
            self.frames = run_job(asked, Stop(), self._look, self._on_progress, self._load).frames
        return "done", ""

    def _translate_chunk(self, chunk: Chunk) -> tuple[Status, str]:
        cuts = Parts(self._item).cuts()
        if cuts is None or cuts.whole:  # another chunk found that out meanwhile, or the item has ended
            return "stopped", "its file is translated whole"
        attempt = self._attempt or f"{os.getpid()}{secrets.token_hex(4)}"
        self.frames = translate_chunk(
            chunk, attempt, self._load, self._on_progress, self._check, self.warnings
        )
        self._check_input()
        return "part", ""

    def _join(self, join: Join) -> tuple[Status, str]:
        with self._written() as output:
            parts = join_parts(join, output, self._check)
        self._take_over(parts)
        return "done", ""

    def _take_over(self, parts: Sequence[Part]) -> None:
        self.frames = sum(part.facts.frames for part in parts)
        self.earlier_s = sum(part.seconds for part in parts)
        self.warnings[:0] = [warning for part in parts for warning in part.warnings]

    def _give_up_chunks(self, why: str) -> None:
        parts = Parts(self._item)
        parts.remove()
        parts.write_cuts(Cuts(whole=why))

    @contextmanager
    def _written(self) -> Iterator[Path]:
        """Yield the name under which the output is written; it has its own at the end."""
        item = self._item
        item.output.parent.mkdir(parents=True, exist_ok=True)
        if not self._attempt:
            path = item.output
        else:
            path = item.parts / f"{self._attempt}{item.output.suffix}"
            item.parts.mkdir(parents=True, exist_ok=True)
        try:
            try:
                yield path
            finally:  # what is damaged is published too
                if path != item.output and path.exists():
                    path.replace(item.output)
        except VideobrushError as error:
            raise type(error)(str(error).replace(str(path), str(item.output))) from None
        try:
            self._check_input()
        except VideobrushError:
            item.output.unlink(missing_ok=True)  # of an input that changed while it was read
            raise

    def _look(self, frame: Frame) -> None:
        self._check()

    def _check(self) -> None:
        if self._cancelled():
            raise Cancelled

    def _check_machine(self) -> None:
        """Refuse to work with anything else than what was planned.

        Raises:
            VideobrushError: the program, the style or the input is another one here.
        """
        item, here = self._item, socket.gethostname()
        if program_version() != item.version:
            raise VideobrushError(
                f"{here} has videobrush {program_version()}, the batch was planned by {item.version}; "
                "install the same version on every machine"
            )
        models = find_style(item.style).card.models.values()
        if tuple(model.sha256 for model in models) != item.style_sha256:
            raise VideobrushError(
                f"{here} has another style {item.style} than the batch was planned with; "
                "give every machine the same"
            )
        self._check_input()

    def _check_input(self) -> None:
        """Refuse an input that is not what was planned.

        Raises:
            VideobrushError: it is gone, or has changed.
        """
        item = self._item
        try:
            known = item.source.stat()
        except OSError as error:
            raise VideobrushError(f"cannot read {item.source}: {error.strerror}") from None
        if (known.st_size, known.st_mtime_ns) != (item.source_bytes, item.modified_ns):
            raise VideobrushError(
                f"{item.source} has changed since the batch began; the same command takes it as it is now"
            )


class LoadedBackends:
    """Networks that stay loaded from item to item of one process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Backend] = {}

    def load(
        self,
        asked: Run,
        name: str,
        source: Source,
        size: tuple[int, int] | None = None,
        say: Callable[..., None] = LOG.info,
    ) -> Backend:
        """Do what `rt.job.load_backend` does, or give again what it gave for the same."""
        info = source.info
        chosen = (asked.backend, asked.precision, asked.size, asked.view, asked.still)
        key = (name, size, info.height, info.width, *chosen, source.live)
        backend = self._kept.pop(key, None)
        if backend is None:
            backend = load_backend(asked, name, source, size, say)
            while len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept))).close()
        self._kept[key] = backend  # the newest last
        return _Kept(backend)

    def close(self) -> None:
        """Close them all."""
        while self._kept:
            self._kept.popitem()[1].close()


class _Kept:
    """A backend that outlives the run that uses it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.info = backend.info

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """See `rt.backends.Backend`."""
        return self._backend.translate(rgb)

    def start(self, rgb: npt.NDArray[np.uint8]) -> Any:
        """See `rt.backends.Backend`."""
        return self._backend.start(rgb)

    def close(self) -> None:
        """Leave it open."""


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what is warned of within, instead of printing it."""
    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                collected.append(record.getMessage())

    before, LOG.handlers = LOG.handlers, [Collector()]
    propagate, LOG.propagate = LOG.propagate, False
    try:
        yield collected
    finally:
        LOG.handlers, LOG.propagate = before, propagate
