"""What page and programs are told about the styles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rt.styles import Style
from rt.web.protocol import SIZES_PX


def describe_styles(styles: Mapping[str, Style]) -> list[dict[str, Any]]:
    """Return the styles as JSON objects."""
    return [
        {
            "id": name,
            "title": style.card.title,
            "size": style.card.size_px,
            "sizes": [] if style.card.fixed_size else [px for px in SIZES_PX if px >= style.card.minimum_px],
            "precisions": sorted(style.card.models),
            "preview": f"/previews/{name}" if preview_path(style) else None,
        }
        for name, style in styles.items()
    ]


def preview_path(style: Style) -> Path | None:
    """Return the preview of a style, a JPEG of before and after side by side; None where it has none."""
    found = sorted((style.folder / "previews").glob("*.jpg"))
    fitting = [path for path in found if path.stem not in ("demo", "grid")]
    return fitting[0] if fitting else None
