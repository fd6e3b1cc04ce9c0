"""The platform's places for what a program keeps of its user."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_folder(variable: str, unix: str, mac: str = "Application Support") -> Path:
    """Return the program's folder within one of these places; it need not exist.

    `variable` names the place on Linux where it is set (`XDG_DATA_HOME`), else it is `unix` below the home;
    `mac` is its name below Library on macOS; Windows has one place for all.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / mac
    else:
        base = Path(os.environ.get(variable) or Path.home() / unix)
    return base / "videobrush"
