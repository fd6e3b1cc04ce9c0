"""One item: translated in this process, and how that ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rt.backends import Backend
from rt.batch.plan import Item
from rt.commands import Run
from rt.errors import DamagedSource, VideobrushError
from rt.frame import Frame
from rt.job import load_backend, run_job
from rt.log import LOG
from rt.pipeline import Stop
from rt.sources import Source

Status = Literal["done", "damaged", "failed", "stopped"]
_WARNINGS = 20
_KEPT = 4
"""So many loaded networks are kept for the items to come."""


@dataclass(frozen=True)
class Fact:
    """How one item ended."""

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
    """The batch was asked to end while this item was translated."""


def work(
    item: Item,
    loaded: LoadedBackends | None = None,
    on_progress: Callable[[int, int | None], object] = lambda frames, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Fact:
    """Translate one item and return how that ended; nothing is raised but what ends the process.

    The output takes its name when it is whole. `loaded` keeps networks for later items; `on_progress` is
    told frames written and expected; once `cancelled` says so, the item is dropped.
    """

    def watch(frame: Frame) -> None:
        if cancelled():
            raise Cancelled

    started = time.monotonic()
    status: Status = "done"
    message, frames = "", 0
    with _warnings() as warnings:
        try:
            item.output.parent.mkdir(parents=True, exist_ok=True)
            load = load_backend if loaded is None else loaded.load
            asked = replace(item.asked(), overwrite=True)  # whether it may was decided before
            frames = run_job(asked, Stop(), watch, on_progress, load).frames
        except Cancelled:
            status, message = "stopped", "the batch was ended"
        except DamagedSource as error:
            status, message = "damaged", str(error)
        except (VideobrushError, OSError) as error:
            status, message = "failed", " ".join(str(error).split())
        except Exception as error:  # the edge of the process: one bad file must not end the others
            LOG.debug("%s", item.source, exc_info=True)
            status, message = "failed", f"a fault of the program: {type(error).__name__}: {error}"
    size = item.output.stat().st_size if status in ("done", "damaged") and item.output.exists() else 0
    return Fact(
        item.key,
        str(item.source),
        item.style,
        str(item.output),
        status,
        message,
        frames,
        round(time.monotonic() - started, 3),
        size,
        tuple(warnings[:_WARNINGS]),
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
