"""Batches of visitors, translated in turns by the code of `videobrush batch`."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rt.backends import BackendName, PrecisionName
from rt.batch.driver import DISK_FULL, run_batch
from rt.batch.plan import Item, Plan, make_plan
from rt.batch.work import Fact
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.log import LOG
from rt.styles import Style
from rt.web.protocol import Refused
from rt.web.service import Busy
from rt.web.uploads import DAY_S, Limits, TooMuch, UploadFolder, fitting_name

LEAVE_S = 30.0
"""Seconds after which the files of a page that was left are deleted: it may only have been loaded again."""
SWEEP_S = 5.0
TURN_BYTES = 50_000_000
"""So many bytes of one batch are translated, or one file, before the next batch has its turn."""
NAMES = "{dir}/{stem}-{style}{suffix}"
_SURE = 0.02
"""Share of a batch that is done before its time left is told."""

ItemState = Literal["waiting", "running", "done", "damaged", "failed"]
ENDED = ("done", "damaged", "failed")


class Gone(Exception):
    """There is no such batch, file or result; or not any more."""


@dataclass
class Upload:
    """A file that is there."""

    number: int
    name: str
    bytes: int


@dataclass
class _Entry:
    """How far one item is."""

    item: Item
    number: int
    upload: int
    style: str
    state: ItemState = "waiting"
    message: str = ""
    frames: int = 0
    total: int | None = None
    result_bytes: int = 0

    @property
    def share(self) -> float:
        if self.state in ENDED:
            return 1.0
        return min(1.0, self.frames / self.total) if self.state == "running" and self.total else 0.0

    def said(self) -> dict[str, Any]:
        return {
            "item": self.number,
            "file": self.upload,
            "style": self.style,
            "state": self.state,
            "message": self.message,
            "frames": self.frames,
            "total": self.total,
            "bytes": self.result_bytes,
            "name": Path(self.item.name).name,
        }


@dataclass
class VisitorBatch:
    """One visitor's files, what is asked of them, what became of them. `Batches` changes it."""

    id: str
    folder: Path
    uploads: dict[int, Upload] = field(default_factory=dict)
    entries: list[_Entry] = field(default_factory=list)
    coming: dict[str, int] = field(default_factory=dict)
    """Names and sizes of what is being uploaded."""
    asked: Batch | None = None
    active: bool = False
    """Whether it is translated, or waits for its turn."""
    cancelled: bool = False
    gone: bool = False
    fault: str = ""
    touched_s: float = field(default_factory=time.monotonic)
    leaves_s: float | None = None
    files_ever: int = 0
    items_ever: int = 0
    spent_s: float = 0.0
    """Seconds of its turns since it was started."""
    frames: int = 0
    """Written in them."""

    @property
    def inputs(self) -> Path:
        """Folder of the uploads."""
        return self.folder / "in"

    @property
    def outputs(self) -> Path:
        """Folder of the results, and of their account."""
        return self.folder / "out"


class Batches:
    """All batches of a studio; one thread translates, another deletes what its visitor left behind."""

    def __init__(
        self,
        styles: Mapping[str, Style],
        places: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        backend: BackendName = "auto",
        precision: PrecisionName = "auto",
    ) -> None:
        """Uploads lie in a folder of their own within `places`, until `close`."""
        self.limits, self.styles = limits, styles
        self._backend, self._precision = backend, precision
        self._folder = UploadFolder(places)
        self._changed = threading.Condition()
        self._batches: dict[str, VisitorBatch] = {}
        self._queue: deque[VisitorBatch] = deque()
        self._current: VisitorBatch | None = None
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=f"videobrush-{name}", daemon=True)
            for name, run in (("batches", self._run), ("sweep", self._sweep))
        ]
        for thread in self._threads:
            thread.start()

    # ---- for the API, from any thread ----

    def open(self) -> VisitorBatch:
        """Begin a batch.

        Raises:
            Busy: there are as many as the studio takes.
            VideobrushError: its folder cannot be made.
        """
        with self._changed:
            if self._over.is_set() or len(self._batches) >= self.limits.batches:
                raise Busy(
                    f"{self.limits.batches} batches are open, the limit of this studio; try again later"
                )
            name = secrets.token_urlsafe(18)
            batch = VisitorBatch(name, self._folder.path() / secrets.token_hex(8))
            batch.inputs.mkdir(parents=True)
            self._batches[name] = batch
            return batch

    def get(self, name: str) -> VisitorBatch:
        """Return a batch.

        Raises:
            Gone: there is none of that name.
        """
        with self._changed:
            if (batch := self._batches.get(name)) is None:
                raise Gone("there is no such batch, or its files are deleted already")
            return batch

    @contextmanager
    def receive(self, batch: VisitorBatch, typed: str, size: int) -> Iterator[Receiver]:
        """Yield what takes a file of `size` bytes; it is part of the batch when the block ends.

        Raises:
            Refused: no video or image by its name, too many files, too large, or not as many bytes.
            Gone: the batch was deleted meanwhile.
        """
        with self._changed:
            name = self._admit(batch, typed, size)
            batch.coming[name] = size
            batch.files_ever += 1
            number = batch.files_ever
        part = batch.folder / f"{number}.part"
        try:
            self._folder.check_room(size)
            with part.open("wb") as file:
                receiver = Receiver(file.write, size, batch)
                yield receiver
            if receiver.received < size:
                raise Refused(f"the file ended after {receiver.received} of {size} bytes")
            with self._changed:
                if batch.gone:
                    raise Gone("the batch is deleted")
                path = batch.inputs / name
                path.parent.mkdir(parents=True, exist_ok=True)
                part.replace(path)
                batch.uploads[number] = receiver.upload = Upload(number, name, size)
                batch.touched_s = time.monotonic()
        except TimeoutError:  # of the connection; Python counts it among the system's errors
            raise
        except OSError as error:
            if batch.gone:
                raise Gone("the batch is deleted") from None
            raise TooMuch(f"the file cannot be kept: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)
            with self._changed:
                batch.coming.pop(name, None)

    def _admit(self, batch: VisitorBatch, typed: str, size: int) -> str:
        there = {upload.name: upload.bytes for upload in batch.uploads.values()} | batch.coming
        name = fitting_name(typed, there)
        if len(there) >= self.limits.files:
            raise TooMuch(f"a batch takes {self.limits.files} files")
        room = self.limits.total_bytes - sum(there.values())
        if size > room:
            raise TooMuch(
                f"a batch takes {self.limits.total_bytes / 1e9:g} GB, this file has {size / 1e6:.1f} MB "
                f"and {room / 1e6:.1f} MB are left"
            )
        if size == 0:
            raise Refused("the file is empty")
        return name

    def remove_file(self, batch: VisitorBatch, number: int) -> None:
        """Delete an upload and what it became.

        Raises:
            Gone: there is no such file.
            Refused: the batch is being translated.
        """
        with self._changed:
            if number not in batch.uploads:
                raise Gone("there is no such file")
            if batch.active:
                raise Refused("the batch is being translated; stop it first")
            upload = batch.uploads.pop(number)
            (batch.inputs / upload.name).unlink(missing_ok=True)
            for entry in batch.entries:
                if entry.upload == number:
                    entry.item.output.unlink(missing_ok=True)
            batch.entries = [entry for entry in batch.entries if entry.upload != number]

    def start(self, batch: VisitorBatch, styles: Sequence[str], strength: float, steady: float) -> None:
        """Translate every file in every one of these styles; what is done already stays.

        Raises:
            Refused: there is nothing to translate, or no such style.
        """
        if unknown := [name for name in styles if name not in self.styles]:
            raise Refused(f"there is no style {unknown[0][:40]!r}; known: {', '.join(self.styles)}")
        if not styles:
            raise Refused("choose a style")
        names = {str(self.styles[name].folder): name for name in styles}
        asked = Batch(
            inputs=(str(batch.inputs),),
            out=batch.outputs,
            style=tuple(names),
            name=NAMES,
            strength=strength,
            steady=steady or "off",
            backend=self._backend,
            precision=self._precision,
            overwrite=True,
        )
        with self._changed:
            if batch.active or batch.gone:
                raise Refused("the batch is being translated already")
            if not batch.uploads:
                raise Refused("there is nothing to translate: upload a file first")
            try:
                plan = make_plan(asked)
            except VideobrushError as error:
                raise Refused(str(error).replace(f"{batch.folder}/", "")) from None
            self._take(batch, plan, names)
            batch.asked, batch.active, batch.cancelled, batch.fault = asked, True, False, ""
            batch.spent_s, batch.frames = 0.0, 0
            batch.touched_s = time.monotonic()
            self._queue.append(batch)
            self._changed.notify_all()

    def _take(self, batch: VisitorBatch, plan: Plan, names: Mapping[str, str]) -> None:
        """Make the entries of a plan; those of items that are done already stay as they are."""
        numbers = {str(batch.inputs / upload.name): upload.number for upload in batch.uploads.values()}
        before = {entry.item.key: entry for entry in batch.entries if entry.state in ("done", "damaged")}
        kept = {item.key for item in plan.items}
        outputs = {item.output for item in plan.items}
        # Results of other styles stay too, unless the same file is made anew with other settings.
        entries = [
            entry
            for entry in before.values()
            if entry.item.key not in kept and entry.item.output not in outputs
        ]
        for item in plan.items:
            if (entry := before.get(item.key)) is None:
                item.output.unlink(missing_ok=True)  # of other settings, which may have been asked before
                batch.items_ever += 1
                entry = _Entry(item, batch.items_ever, numbers[str(item.source)], names[item.style])
            entries.append(entry)
        batch.entries = entries

    def stop(self, batch: VisitorBatch) -> None:
        """Drop what is not done yet; works twice."""
        with self._changed:
            batch.cancelled = True
            if batch is not self._current and batch.active:
                self._queue.remove(batch)
                batch.active = False
            self._changed.notify_all()

    def leave(self, batch: VisitorBatch) -> None:
        """Delete the batch after a while, unless its visitor comes back: the page was closed."""
        with self._changed:
            batch.leaves_s = time.monotonic() + LEAVE_S

    def stay(self, batch: VisitorBatch) -> None:
        """Keep the batch: the page is there again."""
        with self._changed:
            batch.leaves_s = None
            batch.touched_s = time.monotonic()

    def remove(self, batch: VisitorBatch) -> None:
        """Delete a batch with all its files; works twice. What runs of it ends first."""
        with self._changed:
            self.stop(batch)
            batch.gone = True
            self._batches.pop(batch.id, None)
            running = batch is self._current
        if not running:
            shutil.rmtree(batch.folder, ignore_errors=True)

    def result(self, batch: VisitorBatch, number: int) -> Path:
        """Return the file of a result.

        Raises:
            Gone: there is none.
        """
        with self._changed:
            for entry in batch.entries:
                if entry.number == number and entry.state in ("done", "damaged"):
                    return entry.item.output
        raise Gone("there is no such result")

    def results(self, batch: VisitorBatch) -> list[tuple[str, Path]]:
        """Return the names and files of all results.

        Raises:
            Gone: there is none.
        """
        with self._changed:
            found = [
                (entry.item.name, entry.item.output)
                for entry in batch.entries
                if entry.state in ("done", "damaged")
            ]
        if not found:
            raise Gone("there are no results yet")
        return found

    def describe(self, batch: VisitorBatch) -> dict[str, Any]:
        """Return the state of a batch as a JSON object."""
        with self._changed:
            weights = [(max(1, entry.item.source_bytes), entry.share) for entry in batch.entries]
            whole = sum(weight for weight, _ in weights)
            share = sum(weight * part for weight, part in weights) / whole if whole else 0.0
            sure = batch.active and share > _SURE and batch.spent_s > 1
            running = sum(entry.frames for entry in batch.entries if entry.state == "running")
            frames = batch.frames + running
            return {
                "id": batch.id,
                "state": self._state(batch),
                "ahead": len(self._queue) if batch.active and batch is not self._current else 0,
                "fault": batch.fault,
                "leaving": batch.leaves_s is not None,
                "files": [dict(vars(upload)) for upload in batch.uploads.values()],
                "items": [entry.said() for entry in batch.entries],
                "share": round(share, 4),
                "fps": round(frames / batch.spent_s, 1) if batch.spent_s > 1 else None,
                "left_s": round(batch.spent_s * (1 - share) / share) if sure else None,
                "limits": {"files": self.limits.files, "bytes": self.limits.total_bytes},
            }

    def _state(self, batch: VisitorBatch) -> str:
        if batch.active:
            return "running" if batch is self._current else "waiting"
        return "ended" if batch.entries else "new"

    def close(self) -> None:
        """Drop what runs, end the threads, delete every file; works twice."""
        with self._changed:
            self._over.set()
            for batch in self._batches.values():
                batch.cancelled = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._folder.close()

    # ---- the thread that deletes ----

    def _sweep(self) -> None:
        while not self._over.wait(SWEEP_S):
            self.sweep(time.monotonic())

    def sweep(self, now_s: float) -> None:
        """Delete the batches that were left, and those of which nothing was asked for a day."""
        with self._changed:
            old = [
                batch
                for batch in self._batches.values()
                if (batch.leaves_s is not None and now_s >= batch.leaves_s)
                or (not batch.active and now_s >= batch.touched_s + DAY_S)
            ]
        for batch in old:
            self.remove(batch)

    # ---- the thread that translates ----

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._translate(batch)
            except VideobrushError as error:
                batch.fault = str(error)
            except Exception as error:  # the edge of the thread: one batch must not end the others
                LOG.exception("a visitor's batch")
                batch.fault = f"a fault of the program: {type(error).__name__}: {error}"
            with self._changed:
                self._current = None
                self._end_turn(batch)
            if batch.gone:
                shutil.rmtree(batch.folder, ignore_errors=True)

    def _next(self) -> VisitorBatch | None:
        with self._changed:
            while not self._queue and not self._over.is_set():
                self._changed.wait()
            if self._over.is_set():
                return None
            self._current = self._queue.popleft()
            return self._current

    def _translate(self, batch: VisitorBatch) -> None:
        """Translate as much of a batch as one turn takes."""
        assert batch.asked is not None
        with self._changed:
            turn = _turn([entry for entry in batch.entries if entry.state == "waiting"])
        shown = _Shown(self._changed, batch)
        plan = Plan(batch.outputs, tuple(entry.item for entry in turn))
        outcome = run_batch(batch.asked, plan, lambda: batch.cancelled, shown.viewing, grace_s=0, wait_s=0)
        with self._changed:
            for entry in turn:
                if entry.state == "waiting" and not batch.cancelled:  # it would have its turn for ever
                    entry.state, entry.message = "failed", "it was passed over"
        if outcome.status == DISK_FULL:
            raise VideobrushError("the studio's disk is full: what is done is kept; try again later")

    def _end_turn(self, batch: VisitorBatch) -> None:
        for entry in batch.entries:
            if entry.state == "running":  # dropped
                entry.state, entry.frames = "waiting", 0
        left = any(entry.state == "waiting" for entry in batch.entries)
        batch.active = left and not batch.cancelled and not batch.fault
        batch.touched_s = time.monotonic()
        if batch.active:
            self._queue.append(batch)
        self._changed.notify_all()


def _turn(entries: Sequence[_Entry]) -> list[_Entry]:
    """Return the first entries, at least one, up to so many bytes."""
    taken: list[_Entry] = []
    size = 0
    for entry in entries:
        size += entry.item.source_bytes
        if taken and size > TURN_BYTES:
            break
        taken.append(entry)
    return taken


class Receiver:
    """Takes the bytes of one file as they come."""

    def __init__(self, write: Callable[[bytes], object], size: int, batch: VisitorBatch) -> None:
        self.received = 0
        self.upload: Upload | None = None
        """What became of it, after the block."""
        self._write, self._size, self._batch = write, size, batch

    def take(self, content: bytes) -> None:
        """Write some bytes.

        Raises:
            Refused: more come than were announced.
            Gone: the batch was deleted.
        """
        self.received += len(content)
        if self.received > self._size:
            raise Refused(f"more than the {self._size} bytes announced")
        if self._batch.gone:
            raise Gone("the batch is deleted")
        self._write(content)


class _Shown:
    """Notes in a batch how far its turn is; see `rt.batch.driver.Shown`."""

    def __init__(self, changed: threading.Condition, batch: VisitorBatch) -> None:
        self._changed, self._batch = changed, batch
        self._entries = {entry.item.key: entry for entry in batch.entries}
        self._since_s = time.monotonic()

    @contextmanager
    def viewing(self, total: int) -> Iterator[_Shown]:
        yield self

    def _count_time(self) -> None:
        now = time.monotonic()
        self._batch.spent_s += now - self._since_s
        self._since_s = now

    def progress(self, slot: int, item: Item, frames: int, total: int | None) -> None:
        with self._changed:
            entry = self._entries[item.key]
            if entry.state in ("waiting", "running"):
                entry.state, entry.frames, entry.total = "running", frames, total
            self._count_time()

    def ended(self, fact: Fact) -> None:
        with self._changed:
            self._count_time()
            entry = self._entries[fact.key]
            if fact.status not in ("done", "damaged", "failed"):
                entry.state, entry.frames = "waiting", 0
                return
            entry.state, entry.frames = fact.status, fact.frames
            entry.message = fact.message.replace(f"{self._batch.folder}/in/", "").replace(
                f"{self._batch.folder}/out/", ""
            )
            entry.result_bytes = fact.output_bytes
            self._batch.frames += fact.frames
