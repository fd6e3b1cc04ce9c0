"""What is known of a batch's items: a file each, beside its outputs."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from rt.batch.plan import Plan
from rt.batch.work import Fact
from rt.errors import VideobrushError
from rt.replacing import replacing

_PLAN, _FACTS, _LOCK, _PRECISION = "plan.jsonl", "facts", "lock", "precision"
_DONE, _FAILED, _BEGUN = ".done.json", ".failed.json", ".begun"


class Account:
    """The facts of one batch; no database, the folder is the truth."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the account; it need not exist."""
        self.folder = folder
        self._facts = folder / _FACTS

    @contextmanager
    def held(self, shard: int = 0, shards: int = 1) -> Iterator[None]:
        """Make the folder, and keep other drivers away while the block runs: of the whole, and of this share.

        Raises:
            VideobrushError: another driver works there, or the folder cannot be written.
        """
        try:
            self._facts.mkdir(parents=True, exist_ok=True)
            locks = self.folder / _LOCK, self.folder / f"{_LOCK}-{shard}"
            with locks[0].open("a") as whole, locks[1].open("a") as share:
                if not (_locked(whole, shared=shard > 0 or shards > 1) and _locked(share)):
                    raise VideobrushError(
                        f"{self.folder.parent}: another batch works there; wait for it, or give another --out"
                    )
                yield
        except OSError as error:
            raise VideobrushError(f"cannot write {self.folder}: {error.strerror}") from None

    def write_plan(self, plan: Plan) -> None:
        """Write what is to be done: a line for each item."""
        with replacing(self.folder / _PLAN) as part, part.open("w", encoding="utf-8") as file:
            for item in plan.items:
                said = {
                    "key": item.key,
                    "input": str(item.source),
                    "style": item.style,
                    "output": str(item.output),
                    "bytes": item.source_bytes,
                    "precision": item.precision or item.settings["precision"],
                }
                file.write(json.dumps(said) + "\n")

    def pinned(self, style_sha256: tuple[str, ...], choose: Callable[[], str]) -> str:
        """Return the precision of a style in this batch: the one that the first machine chose.

        `choose` is asked where none has; of several machines that begin at once one is the first.
        """
        name = hashlib.sha256(" ".join(style_sha256).encode()).hexdigest()[:16]
        path = self.folder / f"{_PRECISION}-{name}"
        if not path.exists():
            own = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}")
            own.write_text(choose(), encoding="utf-8")
            try:
                with suppress(FileExistsError):  # another machine was first
                    os.link(own, path)
            except OSError:  # no links here: the last of those that begin in the same moment counts
                own.replace(path)
            own.unlink(missing_ok=True)
        return path.read_text(encoding="utf-8")

    def planned(self) -> list[dict[str, Any]]:
        """Return the lines of the plan.

        Raises:
            VideobrushError: there is none.
        """
        try:
            lines = (self.folder / _PLAN).read_text(encoding="utf-8").splitlines()
        except OSError:
            raise VideobrushError(
                f"{self.folder.parent} is the --out of no batch: it has no {_PLAN}"
            ) from None
        return [json.loads(line) for line in lines]

    def done(self) -> set[str]:
        """Return the keys of what is done: a listing, nothing is read."""
        return self._keys(_DONE)

    def failed(self) -> set[str]:
        """Return the keys of what failed."""
        return self._keys(_FAILED)

    def begun(self) -> set[str]:
        """Return the keys of what was begun and has no end: the driver was killed, an output may be there."""
        return self._keys(_BEGUN)

    def _keys(self, ending: str) -> set[str]:
        try:
            with os.scandir(self._facts) as entries:
                return {entry.name[: -len(ending)] for entry in entries if entry.name.endswith(ending)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def begin(self, key: str) -> None:
        """Note that an item is begun: an output that is found where there was none is its own."""
        (self._facts / f"{key}{_BEGUN}").touch()

    def write(self, fact: Fact) -> None:
        """Note how an item ended; one that was stopped leaves no note."""
        good = fact.status in ("done", "damaged")
        if fact.status != "stopped":
            with replacing(self._facts / f"{fact.key}{_DONE if good else _FAILED}") as part:
                part.write_text(json.dumps(asdict(fact)), encoding="utf-8")
        if good:
            (self._facts / f"{fact.key}{_FAILED}").unlink(missing_ok=True)
        (self._facts / f"{fact.key}{_BEGUN}").unlink(missing_ok=True)

    def read(self, key: str) -> Fact | None:
        """Return how an item ended; None where it did not, or the note cannot be read."""
        for ending in (_DONE, _FAILED):
            try:
                said = json.loads((self._facts / f"{key}{ending}").read_text(encoding="utf-8"))
                return Fact(**{**said, "warnings": tuple(said["warnings"])})
            except (OSError, ValueError, TypeError, KeyError):
                continue
        return None


def _locked(file: IO[str], shared: bool = False) -> bool:
    """Lock a file until it is closed, alone or with others; say whether that was possible."""
    try:
        import fcntl
    except ImportError:  # Windows: two batches in one folder do each other's work, nothing worse
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
