"""Kill a batch at one file operation after the other, continue it, and compare with one in peace.

`python -m tests.support.batch_killing IN STYLE FOLDER FIRST STEP` kills at operations FIRST, FIRST + STEP and
so on, and prints one JSON object: the operations a batch has, where outputs differed, and where a part that
was whole was made again. A process of its own: its children are forked before anything has threads.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rt.batch.account import Account
from rt.batch.plan import FOLDER, make_plan
from rt.batch.tasks import Tasks
from rt.batch.work import work
from rt.commands import Batch

WATCHED = ((Path, ("replace", "unlink", "write_text", "mkdir", "open")), (os, ("fsync", "open")))


def main() -> None:
    """Kill, continue and compare until a batch gets through unharmed."""
    inputs, style, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    first, step = map(int, sys.argv[4:])
    peace = Batch((inputs,), folder / "peace", (style,), backend="identity", chunk=0.7)
    assert in_child(partial(translate, peace)) == 0
    wanted = outputs(peace.out)
    different, again = list[int](), list[int]()
    for place in itertools.count(first, step):
        asked = Batch((inputs,), folder / f"killed{place}", (style,), backend="identity", chunk=0.7)
        status = in_child(partial(translate, asked, die=place))
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        before = notes(asked.out)
        assert in_child(partial(translate, asked, before)) == 0
        if status_of(asked.out, before):
            again.append(place)
        if outputs(asked.out) != wanted:
            different.append(place)
        shutil.rmtree(asked.out)
    sys.stdout.write(json.dumps({"places": place, "different": different, "again": again}) + "\n")


def translate(asked: Batch, before: dict[Path, int] | None = None, die: int | None = None) -> None:
    """Do what a driver does, in this process; note whether a part that was whole is made again."""
    if die is not None:
        die_at(die)
    account = Account(asked.out / FOLDER)
    asked.out.mkdir(parents=True, exist_ok=True)
    with account.held():
        plan = make_plan(asked)
        account.write_plan(plan)
        done = account.done()
        tasks = Tasks(item for item in plan.items if item.key not in done)
        while (task := tasks.take()) is not None:
            account.begin(task.item.key)
            fact = work(task)
            now = notes(asked.out)
            if any(now.get(note, made) != made for note, made in (before or {}).items()):
                (asked.out / FOLDER / "again").touch()
            if (ended := tasks.ended(task, fact)) is not None:
                assert ended.status == "done", ended
                account.write(ended)


def status_of(out: Path, before: dict[Path, int]) -> bool:
    """Tell whether a part that was whole was made again."""
    return bool(before) and (out / FOLDER / "again").exists()


def notes(out: Path) -> dict[Path, int]:
    """Return when each whole part was made."""
    return {note: note.stat().st_mtime_ns for note in (out / FOLDER).glob("parts/*/[0-9]*.json")}


def outputs(out: Path) -> dict[str, bytes]:
    """Return all that is to be there at the end, and whatever else is beside it."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def die_at(place: int) -> None:
    """Let this process be killed before file operation number `place`."""
    left = [place]

    def dying(operation: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return operation(*arguments, **named)

        return watched

    for owner, names in WATCHED:
        for name in names:
            setattr(owner, name, dying(getattr(owner, name)))


def in_child(work_on: Callable[[], object]) -> int:
    """Do the work in a forked process and return its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work_on()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main()
