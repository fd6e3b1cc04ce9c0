"""Every gate of the project, one after the other: `python tools/check.py [--fix]`.

Each gate prints one line, `ok` or `FAIL` with its seconds; a failing one shows what it said. The tests run
last and speak for themselves. Exit status 0 where all gates are ok, else 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("rt", "train", "engines", "tools", "tests")


def tool(name: str) -> str:
    """Return the path of a command installed beside this Python."""
    suffix = ".exe" if sys.platform == "win32" else ""
    return str(Path(sysconfig.get_path("scripts")) / f"{name}{suffix}")


def gates(fix: bool) -> dict[str, list[str]]:
    """Return the command of each gate by its name, in the order they run."""
    python = [sys.executable, "-m"]
    return {
        "format": [*python, "ruff", "format", *([] if fix else ["--check", "--diff"]), *CODE],
        "lint": [*python, "ruff", "check", *(["--fix"] if fix else []), *CODE],
        "types": [*python, "mypy"],
        "imports": [tool("lint-imports")],
        "tests": [*python, "pytest"],
    }


def passes(name: str, command: list[str]) -> bool:
    """Run one gate, print its line, and what it said where it fails."""
    aloud = name == "tests"
    started = time.monotonic()
    result = subprocess.run(
        command,
        cwd=ROOT,
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
    arguments = parser.parse_args()
    results = [passes(name, command) for name, command in gates(arguments.fix).items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
