"""Where and how a run was made."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from rt.backends.cpu import cpu_name, cpu_threads


def describe_environment() -> dict[str, Any]:
    """Return machine, versions, commit and command of this process as a JSON object."""
    return {
        "machine": f"{cpu_name()}, {cpu_threads()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def commit() -> str:
    """Return the commit of the program's source, `-dirty` where it was changed, or `unknown`."""
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
