"""A batch in words: its plan, progress and end."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from rt.batch.account import Account
from rt.batch.driver import Outcome
from rt.batch.plan import Item, Plan, absolute, is_there
from rt.batch.work import Fact
from rt.errors import VideobrushError
from rt.expects import is_misfit
from rt.html import document, embedded, table
from rt.log import LOG
from rt.replacing import replacing

_NAMED = 20
_THUMB_PX = 160
_PAGE_PAIRS = 200
SUFFIXES = (".json", ".csv", ".html")


def plan_lines(plan: Plan, done: set[str]) -> Iterator[str]:
    """Yield the plan as text: what becomes what, and what is left out."""
    for item in plan.items:
        state = "done    " if item.key in done and is_there(item.output) else "to do   "
        note = f"  ({item.note})" if item.note else ""
        yield f"{state} {item.source} -> {item.output}  {item.style}{note}"
    for left in plan.left_out[:_NAMED]:
        yield f"left out {left.source}: {left.reason}"
    if len(plan.left_out) > _NAMED:
        yield f"left out {len(plan.left_out) - _NAMED} more"
    yield summary(plan)


def summary(plan: Plan) -> str:
    """Return the plan in a line."""
    images = sum(item.image for item in plan.items)
    size = sum(item.source_bytes for item in plan.items)
    left = f", {len(plan.left_out)} left out" if plan.left_out else ""
    counts = f"{_count(len(plan.items) - images, 'video')} and {_count(images, 'image')}"
    return f"{counts}, {size / 1e6:.1f} MB{left}"


def end_lines(outcome: Outcome, retry: str) -> Iterator[str]:
    """Yield how it ended: the counts, then each failure with its reason, then what to type."""
    counts, frames = outcome.counts, sum(fact.frames for fact in outcome.facts)
    fps = frames / outcome.seconds if outcome.seconds > 0 else 0.0
    parts = [f"{counts['done'] + counts['damaged']} done", f"{counts['failed']} failed"]
    if outcome.skipped:
        parts.append(f"{outcome.skipped} done before")
    if outcome.left:
        parts.append(f"{outcome.left} left")
    yield f"{', '.join(parts)}: {frames} frames in {outcome.seconds:.1f} s, {fps:.1f} fps"
    for warning, sources in _by_warning(outcome).items():
        others = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        yield f"note     {sources[0]}{others}: {warning}"
    for fact in outcome.facts:
        if fact.status != "done":
            yield f"{fact.status:8} {fact.source} ({fact.style}): {fact.message}"
    if counts["failed"]:  # where some are left, they are to be done too
        yield f"again:   {retry.removesuffix(' --retry-failed') if outcome.left else retry}"


def _by_warning(outcome: Outcome) -> dict[str, list[str]]:
    """Return which inputs were warned of alike."""
    found: dict[str, list[str]] = {}
    for fact in outcome.facts:
        for warning in dict.fromkeys(fact.warnings):
            found.setdefault(warning, []).append(fact.source)
    return found


def status_lines(account: Account) -> Iterator[str]:
    """Yield how far the batch of an account is.

    Raises:
        VideobrushError: there is none.
    """
    planned = account.planned()
    facts = [(line, account.read(line["key"])) for line in planned]
    counts = Counter("to do" if fact is None else fact.status for _, fact in facts)
    yield ", ".join(f"{counts[name]} {name}" for name in ("done", "damaged", "failed", "to do"))
    for line, fact in facts:
        if fact is not None and fact.status != "done":
            yield f"{fact.status:8} {line['input']} ({line['style']}): {fact.message}"


class View:
    """Says what a batch does, on stderr: a bar of the whole and one for each slot, or lines."""

    def __init__(self, bars: Any, whole: Any, total: int) -> None:
        self._bars, self._whole, self._total = bars, whole, total
        self._slots: dict[int, tuple[Any, Item]] = {}
        self._ended = self._frames = 0
        self._said: set[str] = set()
        self._started = time.monotonic()

    def progress(self, slot: int, item: Item, frames: int, total: int | None) -> None:
        """Show how far a slot is."""
        if self._bars is None:
            return
        known = self._slots.get(slot)
        if known is None or known[1] is not item:
            if known is not None:
                self._bars.remove_task(known[0])
            known = self._bars.add_task(f"  {item.source.name}", total=total), item
            self._slots[slot] = known
        self._bars.update(known[0], completed=frames, total=total)

    def ended(self, fact: Fact) -> None:
        """Show that an item ended."""
        self._ended += 1
        self._frames += fact.frames
        self._say_misfits(fact)
        if self._bars is not None:
            self._bars.update(self._whole, completed=self._ended, description=f"{self._fps():.0f} fps, all")
            return
        left_s = (time.monotonic() - self._started) / self._ended * (self._total - self._ended)
        what = fact.output if fact.status == "done" else f"{fact.source}: {fact.message}"
        LOG.info("%d of %d, %.1f fps, %.0f s left: %s", self._ended, self._total, self._fps(), left_s, what)

    def _say_misfits(self, fact: Fact) -> None:
        """Say at once, not after hours, that a style is for something else; once for each style."""
        for warning in fact.warnings:
            if is_misfit(warning) and warning not in self._said:
                self._said.add(warning)
                LOG.warning("%s", warning)

    def _fps(self) -> float:
        return self._frames / max(time.monotonic() - self._started, 1e-3)


@contextmanager
def viewing(total: int) -> Iterator[View]:
    """Show a batch of so many items while the block runs."""
    if not sys.stderr.isatty():
        yield View(None, None, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield View(bars, bars.add_task("all", total=total), total)


def write_report(path: Path, outcome: Outcome) -> None:
    """Write how a batch ended as JSON, CSV or a page with images before and after.

    Raises:
        VideobrushError: the suffix is another, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        text = json.dumps([asdict(fact) for fact in outcome.facts], indent=1)
    elif suffix == ".csv":
        text = _as_csv(outcome.facts)
    else:
        text = _as_page(outcome)
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of any bytes
    except OSError as error:
        raise VideobrushError(f"cannot write {path}: {error.strerror}") from None


def check_report(path: Path | None, out: Path | None = None) -> None:
    """Refuse a report that could not be written, before anything is translated; `out` will be made.

    Raises:
        VideobrushError: its suffix is unknown, or there is no such folder.
    """
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise VideobrushError(f"--report {path}: its name must end in one of {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise VideobrushError(f"--report {path}: it is a folder; a file is needed")
    if not path.absolute().parent.is_dir() and (out is None or absolute(path.parent) != absolute(out)):
        raise VideobrushError(f"--report {path}: there is no folder {path.parent}; create it first")


def _as_csv(facts: Sequence[Fact]) -> str:
    names = [name for name in Fact.__dataclass_fields__ if name != "warnings"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "warnings"])
    for fact in facts:
        writer.writerow([*(getattr(fact, name) for name in names), "; ".join(fact.warnings)])
    return text.getvalue()


def _as_page(outcome: Outcome) -> str:
    counts = outcome.counts
    rows = []
    for number, fact in enumerate(outcome.facts):
        shown = (
            "".join(_thumbnail(Path(name)) for name in (fact.source, fact.output))
            if number < _PAGE_PAIRS
            else ""
        )
        cells = (
            fact.status,
            Path(fact.source).name,
            fact.style,
            f"{fact.frames}",
            f"{fact.seconds:.1f}",
            fact.message,
        )
        rows.append((shown, *(escape(cell) for cell in cells)))
    style = (
        "body{font:15px system-ui;margin:2rem;color:#222;background:#fff}table{border-collapse:collapse}"
        "td,th{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:left}"
        "img{height:90px;margin-right:4px}"
        "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}}"
    )
    headings = ("before, after", "", "file", "style", "frames", "s", "")
    ended = f"<h1>{counts['done']} done, {counts['damaged']} damaged, {counts['failed']} failed</h1>"
    return document("videobrush batch", style, f"{ended}\n{table(headings, rows)}")


def _thumbnail(path: Path) -> str:
    """Return the first frame of a file as an image of the page; empty where there is none."""
    content = thumbnail(path, _THUMB_PX)
    return f'<img alt="" src="{embedded(content, "image/jpeg")}">' if content else ""


def thumbnail(path: Path, width_px: int) -> bytes:
    """Return the first frame of a file as JPEG, at most so wide; empty where there is none."""
    from rt.fit import shrink
    from rt.image import encode_image
    from rt.sources import SourceOptions, open_source

    try:
        source = open_source(str(path), SourceOptions())
        try:
            rgb = next(iter(source)).rgb
        finally:
            source.close()
        height, width = rgb.shape[:2]
        size = max(1, round(height * width_px / width)), width_px
        return encode_image(shrink(rgb, size) if width > width_px else rgb, "JPEG")
    except (VideobrushError, StopIteration, OSError):
        return b""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
