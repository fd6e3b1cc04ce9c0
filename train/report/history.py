"""What happened in a run: its lines, events, sheets and report.

A line of history.jsonl is one JSON object with `step` and `elapsed_s`, and either `images_per_s` and
`losses`, or `validation` and `best`, or `sheet` with its `rows` and `columns`. Steps ascend; a continued run
first drops the lines after the step it goes on from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from rt.replacing import replacing
from train.data.images import load_image, save_image
from train.report.page import Report, write_report
from train.report.sheet import Sheet

HISTORY = "history.jsonl"
REPORT = "report.html"


class History:
    """Writes what happens into the run's folder."""

    def __init__(self, run: Path, step: int) -> None:
        """Open the history of a run that starts, or goes on, at `step`."""
        self.run = run
        self._keep_until(step)
        self._lines = (run / HISTORY).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run / "events"), purge_step=step or None)

    def losses(self, step: int, elapsed_s: float, images_per_s: float, losses: Mapping[str, float]) -> None:
        """Note the losses of a step."""
        for name, loss in losses.items():
            self._board.add_scalar(name, loss, step)
        rounded = {name: float(f"{loss:.6g}") for name, loss in losses.items()}
        self._note(step, elapsed_s, images_per_s=round(images_per_s, 2), losses=rounded)

    def validation(self, step: int, elapsed_s: float, metrics: Mapping[str, Any], best: bool) -> None:
        """Note what a validation found."""
        for name, found in metrics.items():
            if isinstance(found, Mapping):
                self._board.add_scalar(f"validation/{name}", found["translated"], step)
        self._note(step, elapsed_s, validation=metrics, best=best)

    def sheet(self, step: int, elapsed_s: float, sheet: Sheet) -> Path:
        """Write a sample sheet and return its path."""
        path = self.run / f"sample-{step:07d}.jpg"
        save_image(path, sheet.rgb)
        self._note(step, elapsed_s, sheet=path.name, rows=sheet.rows, columns=sheet.columns)
        self._board.add_image("sample", sheet.rgb, step, dataformats="HWC")
        return path

    def report(self, state: str, settings: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Write report.html of everything noted so far.

        Raises:
            RunError: it cannot be written.
        """
        losses: dict[str, list[tuple[int, float]]] = {}
        metrics, best = list[tuple[int, Mapping[str, Any]]](), None
        sheets = list[Sheet]()
        for entry in read_history(self.run):
            for name, loss in entry.get("losses", {}).items():
                losses.setdefault(name, []).append((entry["step"], loss))
            if "validation" in entry:
                metrics.append((entry["step"], entry["validation"]))
                best = entry["step"] if entry["best"] else best
            # A sheet may have been tidied away.
            if "sheet" in entry and (image := load_image(self.run / entry["sheet"])) is not None:
                sheets.append(Sheet(tuple(entry["rows"]), entry["columns"], image, entry["step"]))
        title = f"{settings['recipe']}, {self.run.name}"
        write_report(
            Report(title, state, losses, sheets, metrics, settings, environment, best), self.run / REPORT
        )

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._board.close()

    def _note(self, step: int, elapsed_s: float, **found: Any) -> None:
        self._lines.write(json.dumps({"step": step, "elapsed_s": round(elapsed_s, 1), **found}) + "\n")
        self._lines.flush()

    def _keep_until(self, step: int) -> None:
        path = self.run / HISTORY
        kept = [json.dumps(entry) + "\n" for entry in read_history(self.run) if entry["step"] <= step]
        with replacing(path) as part:
            part.write_text("".join(kept), encoding="utf-8")


def read_history(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's history; a line cut off by a kill is left out."""
    path, entries = run / HISTORY, list[dict[str, Any]]()
    if not path.is_file():
        return entries
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
