"""The real command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("av", "cv2", "numpy", "onnx", "onnxruntime", "openvino", "rich", "torch")
LIMIT_S = 100
DRIVER = """
import atexit, os, sys
heavy = os.environ["HEAVY"].split()
atexit.register(lambda: open(os.environ["LOADED"], "w").write(" ".join(n for n in heavy if n in sys.modules)))
from rt.cli import main
sys.exit(main())
"""


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a process without a display, 100 columns wide."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1", **changes}


def videobrush(*arguments: object, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `videobrush ARGUMENTS` to its end and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "rt", *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def start(*arguments: object, cwd: Path, **changes: str) -> subprocess.Popen[str]:
    """Start `videobrush ARGUMENTS` and return the running process."""
    return subprocess.Popen(
        [sys.executable, "-m", "rt", *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def loaded(
    *arguments: object, cwd: Path, **changes: str
) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run `videobrush ARGUMENTS`; return what it said and which heavy packages it had loaded at its end."""
    note = cwd / "loaded.txt"
    said = subprocess.run(
        [sys.executable, "-c", DRIVER, *map(str, arguments)],
        cwd=cwd,
        env=environment(LOADED=str(note), HEAVY=" ".join(HEAVY), **changes),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    names = set(note.read_text().split())
    note.unlink()
    return said, names


def wait_until_it_writes(running: subprocess.Popen[str], part: Path) -> None:
    """Wait until the file being written has grown past its header."""
    deadline = time.monotonic() + LIMIT_S
    while not part.exists() or part.stat().st_size < 2000:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.01)
