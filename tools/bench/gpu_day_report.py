"""The report of `tools.bench.gpu_day` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST = 160
"""Characters of a cell."""


def as_markdown(result: Mapping[str, Any]) -> str:
    """Return the report: what there is, a table of all sections, then each one's figures and last words."""
    found, machine = result["found"], result["machine"]
    lines = [
        f"# {found.get('name', 'No GPU')}, {result['date']}",
        "",
        f"Commit {result['commit']}; {machine['cpu']}, {machine['threads']} threads, {machine['system']}, "
        f"Python {machine['python']}; {result.get('seconds', 0)} s in all.",
        "",
        f"GPU: {_found(found)}",
        "",
        "Packages: "
        + ", ".join(f"{name} {version or '(missing)'}" for name, version in result["packages"].items()),
        "",
        "| section | ended | s | why |",
        "|---|---|---|---|",
    ]
    for section in result["sections"]:
        why = _cell(section["reason"])
        lines.append(f"| {section['name']} | {section['ended']} | {section['seconds']:.1f} | {why} |")
    for section in result["sections"]:
        lines += _section(section)
    return "\n".join(lines) + "\n"


def _found(found: Mapping[str, Any]) -> str:
    kept = ("model", "compute_capability", "driver_cuda", "nvrtc", "runtime", "torch", "torch_gpu")
    return "; ".join(f"{key} {found[key]}" for key in kept if found.get(key)) or "none is found"


def _section(section: Mapping[str, Any]) -> list[str]:
    if not section["rows"] and not section["words"]:
        return []
    lines = ["", f"## {section['name']}", ""]
    rows = [_flat(row) for row in section["rows"]]
    if rows:
        headings = list(dict.fromkeys(key for row in rows for key in row))
        lines += [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
        lines += [f"| {' | '.join(_cell(row.get(key, '')) for key in headings)} |" for row in rows]
    if section["words"]:
        lines += ["", "```", *section["words"], "```"]
    return lines


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without what a table cannot show: lists of rows, which the JSON keeps."""
    return {key: value for key, value in row.items() if not (isinstance(value, list) and len(value) > 6)}


def _cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
