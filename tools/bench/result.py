"""What every bench here writes down beside its figures: machine, versions, commit, date."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rt.backends.cpu import cpu_name, cpu_threads

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
WIDTH = 120
"""Columns of a table at least: figures are never cut."""
PACKAGES = ("av", "numpy", "onnxruntime", "opencv-python", "openvino", "torch")


def parser(text: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option that every bench has, and a module's docstring as its help."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--save", action="store_true", help="write the result to tools/bench/results")
    return made


def facts(benchmark: str) -> dict[str, Any]:
    """Return what a result begins with."""
    return {
        "benchmark": benchmark,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """Return what the figures hold for."""
    return {
        "cpu": cpu_name(),
        "threads": cpu_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that frames pass through."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the commit measured, with `+` where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table: the first column is words, the others are figures."""
    made = Table(title=title)
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def finish(result: dict[str, Any], shown: Table, save: bool, name: str = "") -> None:
    """Print the table, save the result where asked, and print it as the last line.

    The file is called after the benchmark, the date and `name`.
    """
    Console(width=max(Console().width, WIDTH)).print(shown)
    if save:
        path = RESULTS / f"{'-'.join(filter(None, (result['benchmark'], result['date'], name)))}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"saved {path}", file=sys.stderr)
    print(json.dumps(result))
