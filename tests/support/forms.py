"""What is known of the forms in which this CPU computes styles."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rt.backends.forms import forms_file


def keep_forms(ms: Mapping[str, Mapping[str, float]], db: Mapping[str, float] | None = None) -> None:
    """Write measurements where the program keeps its own: milliseconds and PSNR, see `rt.backends.forms`."""
    path = forms_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ms": ms, "db": db or {}}))
