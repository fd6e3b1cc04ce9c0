"""Every gate of the project, one after the other: `python tools/check.py [--fix] [--fast] [--only GATE]`.

Each gate prints one line, `ok` or `FAIL` with its seconds; a failing one shows what it said. The tests run
last and speak for themselves, on as many cores as there are up to four. `--fast` leaves out the tests that
are marked slow, and those of whole programs. Exit status 0 where all gates are ok, else 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("rt", "train", "engines", "tools", "tests")
GATES = ("format", "lint", "types", "imports", "tests")
WORKERS = min(os.cpu_count() or 1, 4)
"""Processes of mypy, and of pytest."""
QUICK = ("-m", "not slow", "--ignore=tests/e2e")
"""The quick tests, for pytest."""
# What NumPy 2.5, which needs Python 3.12, says of its types cannot be read as 3.10.
OLDEST = ("--python-version", "3.10") if sys.version_info < (3, 12) else ()
"""The Python whose rules types are checked by, for mypy; its own for later ones."""


def tool(name: str) -> str:
    """Return the path of a command installed beside this Python."""
    suffix = ".exe" if sys.platform == "win32" else ""
    return str(Path(sysconfig.get_path("scripts")) / f"{name}{suffix}")


def gates(fix: bool, fast: bool) -> dict[str, list[str]]:
    """Return the command of each gate by its name, in the order they run."""
    python = [sys.executable, "-m"]
    parallel = ["-n", str(WORKERS), "--dist", "loadgroup", "--no-loadscope-reorder"] if WORKERS > 1 else []
    return {
        "format": [*python, "ruff", "format", *([] if fix else ["--check", "--diff"]), *CODE],
        "lint": [*python, "ruff", "check", *(["--fix"] if fix else []), *CODE],
        "types": [*python, "mypy", *OLDEST],
        "imports": [tool("lint-imports")],
        "tests": [*python, "pytest", *parallel, *(QUICK if fast else [])],
    }


def passes(name: str, command: list[str]) -> bool:
    """Run one gate, print its line, and what it said where it fails."""
    aloud = name == "tests"
    started = time.monotonic()
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={"MYPY_NUM_WORKERS": str(WORKERS), **os.environ},
        stdout=None if aloud else subprocess.PIPE,
        stderr=None if aloud else subprocess.STDOUT,
        text=True,
        check=False,
    )
    ok = result.returncode == 0
    if not ok and result.stdout:
        print(result.stdout.rstrip())
    print(f"{'ok  ' if ok else 'FAIL'} {name:8} {time.monotonic() - started:6.1f} s", flush=True)
    return ok


def main() -> int:
    """Run the gates; all of them, also after one has failed."""
    parser = argparse.ArgumentParser(description="Run every gate of the project.")
    parser.add_argument("--fix", action="store_true", help="let ruff format and mend what it can")
    parser.add_argument("--fast", action="store_true", help="leave out slow tests and those of tests/e2e")
    parser.add_argument("--only", choices=GATES, action="append", help="this gate alone; may come again")
    arguments = parser.parse_args()
    chosen = gates(arguments.fix, arguments.fast)
    results = [passes(name, chosen[name]) for name in arguments.only or GATES]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
