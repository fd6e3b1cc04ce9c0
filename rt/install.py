"""What to type to install an extra, and the version that is installed."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit


def install_hint(extra: str = "", folder: Path | None = None, again: bool = False) -> str:
    """Return the command that installs the program with one of its extras, here.

    From a wheel: `pip install "videobrush[studio]"`. From a checkout, editable or not:
    `pip install ".[studio]"` within `folder` (None for the working folder), elsewhere with the path.
    `again` replaces what is installed.
    """
    here = folder or Path.cwd()
    checkout = _checkout()
    what = "." if checkout == here.resolve() else str(checkout or "videobrush")
    option = "--force-reinstall " if again else ""
    bracketed = f"[{extra}]" if extra else ""
    return f'pip install {option}"{what}{bracketed}"'


def version() -> str | None:
    """Return the version that is installed, None where the program runs from its folder."""
    try:
        return importlib.metadata.version("videobrush")
    except importlib.metadata.PackageNotFoundError:
        return None


def _checkout() -> Path | None:
    """Return the folder the program was installed from, None where that was a wheel."""
    found = list(importlib.metadata.distributions(name="videobrush"))
    if not found:
        return Path(__file__).resolve().parents[1]
    # A build leaves an .egg-info in the checkout, which is found there too and says nothing of its origin.
    origins = [json.loads(each.read_text("direct_url.json") or "{}") for each in found]
    folders = [Path(unquote(urlsplit(each["url"]).path)) for each in origins if "dir_info" in each]
    return folders[0].resolve() if folders else None
