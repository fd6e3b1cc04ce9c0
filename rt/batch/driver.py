"""A batch from its plan to its end."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from rt.backends import pinned_precision
from rt.batch.account import Account
from rt.batch.local import carry
from rt.batch.plan import Item, Plan, is_there
from rt.batch.work import Fact
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.log import LOG
from rt.styles import find_style

DISK_FULL = 75
"""The exit status of a batch that a full disk ended; schedulers take it for: try again."""
GRACE_S = 10.0
"""Seconds that what runs has to end when a batch is ended; what is longer is dropped."""
DISK_WAIT_S = 60.0
"""Seconds for which room is waited for on a full disk."""
_ROOM_BYTES = 1_000_000
_LOOK_S = 0.5
_SETTLE_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """How a batch ended."""

    facts: tuple[Fact, ...]
    """Of this run, as they ended."""
    skipped: int
    """Items that were done before."""
    left: int
    """Items that were not begun, or dropped."""
    seconds: float

    @property
    def counts(self) -> Counter[str]:
        """How many ended how."""
        return Counter(fact.status for fact in self.facts)

    @property
    def status(self) -> int:
        """0 all done or skipped, 1 some failed or are damaged, 75 the disk is full: try again."""
        if any(is_disk_full(fact.message) for fact in self.facts):
            return DISK_FULL
        return 1 if self.counts["failed"] or self.counts["damaged"] else 0


class Shown(Protocol):
    """What a running batch tells of itself."""

    def progress(self, slot: int, item: Item, frames: int, total: int | None) -> None:
        """A slot has written so many frames of its item."""
        ...

    def ended(self, fact: Fact) -> None:
        """An item ended."""
        ...


def is_disk_full(message: str) -> bool:
    """Tell whether a message is that of a full disk."""
    return "no space left" in message.lower() or "quota exceeded" in message.lower()


def run_batch(
    asked: Batch,
    plan: Plan,
    cancelled: Callable[[], bool],
    shown: Callable[[int], AbstractContextManager[Shown]],
    hurried: Callable[[], bool] = lambda: False,
    grace_s: float = GRACE_S,
    wait_s: float = DISK_WAIT_S,
) -> Outcome:
    """Translate what is not done yet; `shown` is opened with the number of items.

    Once `cancelled` says so nothing new is begun; what runs may end within `grace_s`, and is dropped then, or
    once `hurried` says so. Where the disk is full room is waited for, `wait_s` at most.

    Raises:
        VideobrushError: the folder of the outputs cannot be written, or another batch works there.
    """
    started = time.monotonic()
    account = Account(plan.folder)
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VideobrushError(f"cannot make {asked.out}: {error.strerror}") from None
    shard, shards = asked.share
    with account.held(shard, shards):
        plan = _pinned(plan, account, asked)
        if shard == 0:
            account.write_plan(plan)
        # A watched folder looks different to each machine, from moment to moment: no numbers then.
        mine = [
            item
            for number, item in enumerate(plan.items)
            if (int(item.key, 16) if asked.watch else number) % shards == shard
        ]
        (todo, other), begun = _todo(mine, account, asked), account.begun()
        skipped = len(mine) - len(todo) - other
        refused = [
            _refused(item)
            for item in todo
            if is_there(item.output) and item.key not in begun and not _replaceable(item, asked)
        ]
        keys = {fact.key for fact in refused}
        for fact in refused:
            account.write(fact)
        todo = [item for item in todo if item.key not in keys]
        _check_space(asked.out, sum(item.source_bytes for item in todo))
        facts, full = list(refused), threading.Event()
        ending = _Ending(cancelled, full, hurried, grace_s)
        with shown(len(todo) + len(refused)) as view:
            for fact in refused:
                view.ended(fact)
            for fact in _carrier(asked)(
                todo,
                min(asked.workers, max(1, len(todo))),
                ending.asked,
                view.progress,
                on_begin=lambda item: account.begin(item.key),
                dropped=ending.dropped,
                again=lambda fact: is_disk_full(fact.message) and _has_room(asked.out, ending.asked, wait_s),
            ):
                if is_disk_full(fact.message):
                    full.set()  # the others would meet the same
                    fact = replace(fact, message=f"{fact.message}; {_needed(asked.out, todo, facts)}")
                account.write(fact)
                facts.append(fact)
                view.ended(fact)
    ended = [fact for fact in facts if fact.status != "stopped"]
    return Outcome(tuple(ended), skipped, len(mine) - skipped - len(ended), time.monotonic() - started)


def _carrier(asked: Batch) -> Callable[..., Iterator[Fact]]:
    """Return what carries the work: to processes of this machine, or to a cluster."""
    if asked.ray is None:
        return carry
    from rt.batch.ray import carry_by_ray

    return partial(carry_by_ray, asked.ray, asked.task_cpus, asked.task_gpus)


def _pinned(plan: Plan, account: Account, asked: Batch) -> Plan:
    """Return the plan with what `--precision auto` stands for: the same for each process and machine."""

    def precision(item: Item) -> str:
        def choose() -> str:
            try:
                return pinned_precision(asked.backend, find_style(item.style), asked.precision)
            except VideobrushError:  # each item says so in its turn
                return asked.precision

        return account.pinned(item.style_sha256, choose)

    if asked.precision != "auto":
        return plan
    chosen = {item.style_sha256: item for item in plan.items}
    pinned = {style: precision(item) for style, item in chosen.items()}
    return replace(
        plan, items=tuple(replace(item, precision=pinned[item.style_sha256]) for item in plan.items)
    )


class _Ending:
    """When nothing new is begun, and when what runs is dropped."""

    def __init__(
        self,
        cancelled: Callable[[], bool],
        full: threading.Event,
        hurried: Callable[[], bool],
        grace_s: float,
    ) -> None:
        self._cancelled, self._full = cancelled, full
        self._hurried, self._grace_s = hurried, grace_s
        self._since: float | None = None

    def asked(self) -> bool:
        """Tell whether nothing new is begun."""
        return self._cancelled() or self._full.is_set()

    def dropped(self) -> bool:
        """Tell whether what runs is to be dropped; called again and again."""
        if self._since is None and self.asked():
            self._since = time.monotonic()
            if self._cancelled():
                LOG.warning("what runs may end within %g s; again: it is dropped at once", self._grace_s)
        return self._hurried() or (
            self._since is not None and time.monotonic() - self._since >= self._grace_s
        )


def _has_room(out: Path, ending: Callable[[], bool], wait_s: float) -> bool:
    """Wait until the disk of the outputs has more room than now; False where it gets none."""
    had, until = shutil.disk_usage(out).free, time.monotonic() + wait_s
    LOG.warning("the disk of %s is full; make room within %.0f s, or the batch ends", out, wait_s)
    while time.monotonic() < until and not ending():
        time.sleep(_LOOK_S)
        if shutil.disk_usage(out).free >= had + _ROOM_BYTES:
            return True
    return False


def _needed(out: Path, todo: Sequence[Item], facts: Sequence[Fact]) -> str:
    ended = {fact.key for fact in facts}
    left = sum(item.source_bytes for item in todo if item.key not in ended)
    return f"about {_size(left)} are needed, {_size(shutil.disk_usage(out).free)} are free"


def _todo(items: Sequence[Item], account: Account, asked: Batch) -> tuple[list[Item], int]:
    """Return the items to translate, largest first, so that no slot waits long for the last one; and how
    many others are left.
    """
    done = account.done()
    left = [item for item in items if not (item.key in done and is_there(item.output))]
    todo = left
    if asked.retry_failed or asked.watch:  # what failed would fail again with each look at a watched folder
        failed = account.failed()
        todo = [item for item in left if (item.key in failed) == asked.retry_failed]
    return sorted(todo, key=lambda item: -item.source_bytes), len(left) - len(todo)


def _replaceable(item: Item, asked: Batch) -> bool:
    return asked.overwrite and item.output.is_file()


def _refused(item: Item) -> Fact:
    message = (
        f"{item.output} exists, and not from this input with these settings; add --overwrite to replace it"
    )
    return Fact(item.key, str(item.source), item.style, str(item.output), "failed", message)


def _check_space(out: Path, input_bytes: int) -> None:
    """Warn where the disk of the outputs has less room than the inputs take."""
    free = shutil.disk_usage(out).free
    if free < input_bytes:
        LOG.warning("the inputs have %s, %s has %s free", _size(input_bytes), out, _size(free))


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def watch_plans(make: Callable[[], Plan], cancelled: Callable[[], bool]) -> Iterator[Plan]:
    """Yield a plan whenever other inputs have settled in size and time, until `cancelled`.

    Raises:
        VideobrushError: the first plan cannot be made; that a later one cannot is warned of.
    """
    before: dict[Path, tuple[int, int]] | None = None
    yielded: set[str] = set()
    said = ""
    while not cancelled():
        try:
            plan = make()
        except VideobrushError as error:
            if before is None:
                raise
            if str(error) != said:
                LOG.warning("%s; waiting until that is mended", error)
            said = str(error)
        else:
            said, known = "", before or {}
            before = {item.source: (item.source_bytes, item.modified_ns) for item in plan.items}
            settled = tuple(item for item in plan.items if known.get(item.source) == before[item.source])
            keys = {item.key for item in settled}
            if keys - yielded:
                yield Plan(plan.out, settled, plan.left_out)
            yielded = keys
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline and not cancelled():
            time.sleep(0.1)
