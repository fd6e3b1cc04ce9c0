"""A batch from its plan to its end."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rt.batch.account import Account
from rt.batch.local import carry
from rt.batch.plan import Item, Plan
from rt.batch.work import Fact
from rt.commands import Batch
from rt.errors import VideobrushError
from rt.log import LOG

DISK_FULL = "no space left"
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
        if any(DISK_FULL in fact.message for fact in self.facts):
            return 75
        return 1 if self.counts["failed"] or self.counts["damaged"] else 0


class Shown(Protocol):
    """What a running batch tells of itself."""

    def progress(self, slot: int, item: Item, frames: int, total: int | None) -> None:
        """A slot has written so many frames of its item."""
        ...

    def ended(self, fact: Fact) -> None:
        """An item ended."""
        ...


def run_batch(
    asked: Batch,
    plan: Plan,
    cancelled: Callable[[], bool],
    shown: Callable[[int], AbstractContextManager[Shown]],
) -> Outcome:
    """Translate what is not done yet; `shown` is opened with the number of items.

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
    with account.held(shard):
        if shard == 0:
            account.write_plan(plan)
        mine = [item for number, item in enumerate(plan.items) if number % shards == shard]
        todo = list(_todo(mine, account, asked))
        refused = [_refused(item) for item in todo if item.output.exists() and not _replaceable(item, asked)]
        keys = {fact.key for fact in refused}
        for fact in refused:
            account.write(fact)
        todo = [item for item in todo if item.key not in keys]
        facts = list(refused)
        with shown(len(todo)) as view:
            for fact in refused:
                view.ended(fact)
            for fact in carry(todo, min(asked.workers, max(1, len(todo))), cancelled, view.progress):
                account.write(fact)
                facts.append(fact)
                view.ended(fact)
    ended = [fact for fact in facts if fact.status != "stopped"]
    skipped = len(mine) - len(todo) - len(refused)
    return Outcome(tuple(ended), skipped, len(mine) - skipped - len(ended), time.monotonic() - started)


def _todo(items: Iterable[Item], account: Account, asked: Batch) -> Iterator[Item]:
    """Yield the items without a whole output; largest first, so that no slot waits long for the last one."""
    done, failed = account.done(), account.failed() if asked.retry_failed else frozenset()
    left = [item for item in items if not (item.key in done and item.output.exists())]
    if asked.retry_failed:
        left = [item for item in left if item.key in failed]
    return iter(sorted(left, key=lambda item: -item.source_bytes))


def _replaceable(item: Item, asked: Batch) -> bool:
    return asked.overwrite and item.output.is_file()


def _refused(item: Item) -> Fact:
    message = f"{item.output} exists and is not of this batch; add --overwrite to replace it"
    return Fact(item.key, str(item.source), item.style, str(item.output), "failed", message)


def check_space(plan: Plan, bytes_needed: int) -> None:
    """Warn where the disk of the outputs has less room than they need."""
    folder = next(path for path in (plan.out, *plan.out.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < bytes_needed:
        LOG.warning("about %s are needed in %s, %s are free", _size(bytes_needed), folder, _size(free))


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def watch_plans(make: Callable[[], Plan], cancelled: Callable[[], bool]) -> Iterator[Plan]:
    """Yield a plan whenever there are inputs whose size and time have settled, until `cancelled`."""
    before: dict[Path, tuple[int, int]] = {}
    while not cancelled():
        plan = make()
        now = {item.source: (item.source_bytes, item.modified_ns) for item in plan.items}
        settled = tuple(item for item in plan.items if before.get(item.source) == now[item.source])
        before = now
        if settled:
            yield Plan(plan.out, settled, plan.left_out)
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline and not cancelled():
            time.sleep(0.1)
