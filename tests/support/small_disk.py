"""A batch on a disk that fills: `python -m tests.support.small_disk IN STYLE OUT wait|end`.

`end`: no room is made. `wait`: a large file goes once the batch waits for room. Prints the exit status of the
batch, the parts that are left whole, and the last message.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from rt.batch.driver import run_batch
from rt.batch.plan import make_plan
from rt.batch.report import viewing
from rt.commands import Batch
from rt.log import LOG


class _MakesRoom(logging.Handler):
    def __init__(self, filler: Path) -> None:
        super().__init__()
        self._filler = filler

    def emit(self, record: logging.LogRecord) -> None:
        if "is full" in record.getMessage():
            self._filler.unlink(missing_ok=True)


def main() -> None:
    """Fill the disk but for a part, and translate."""
    inputs, style, out, what = sys.argv[1:]
    filler = Path(out) / "filler"
    filler.write_bytes(bytes(1_750_000))
    if what == "wait":
        LOG.addHandler(_MakesRoom(filler))
    asked = Batch((inputs,), Path(out), (style,), backend="identity", crf=0, chunk=0.7)
    wait_s = 60.0 if what == "wait" else 0.1
    outcome = run_batch(asked, make_plan(asked), lambda: False, viewing, wait_s=wait_s)
    parts = len(list(Path(out).glob(".videobrush/parts/*/[0-9]*.json")))
    half = len(list(Path(out).rglob("*.part")))
    message = outcome.facts[-1].message
    sys.stdout.write(json.dumps([outcome.status, parts, half, message]) + "\n")


if __name__ == "__main__":
    main()
