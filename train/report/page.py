"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import cv2

from rt.frame import Rgb
from rt.html import document, embedded, facts, table
from rt.image import encode_image
from rt.replacing import replacing
from train.errors import DataError, RunError
from train.report.chart import Points, draw_chart, short
from train.report.sheet import Sheet

SHOWN_SHEETS = 10
"""Sample sheets in a report: evenly thinned, the first and the last kept."""
OPEN_STRIPS = 3
"""Samples of a kind that are open to view; the others are folded away."""
CELL_PX = 192
"""Longest side in pixels of an embedded image."""
JPEG_QUALITY = 82

DISTANCES = ("swd", "lab", "rkid", "kid", "gram")
"""Metrics that are smaller the nearer two sets are: a floor above the ceiling comes of too few images."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Report:
    """What a report shows."""

    title: str
    state: str
    """Where the run is, in a few words: `running, 40 %`, `finished`, `stopped: loss G is nan`."""
    losses: Mapping[str, Points] = field(default_factory=dict)
    """(step, value) of every loss, steps ascending."""
    sheets: Sequence[Sheet] = ()
    """Sample sheets, steps ascending."""
    metrics: Sequence[tuple[int, Mapping[str, Any]]] = ()
    """(step, metrics) of every validation; a metric is a number or translated, floor and ceiling."""
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, object] = field(default_factory=dict)
    best_step: int | None = None
    """Step of the validation whose checkpoint was kept as the best."""


def write_report(report: Report, path: Path) -> Path:
    """Write the report under a temporary name, rename it, and return its path.

    Raises:
        RunError: the file cannot be written.
        DataError: a sheet does not divide into its cells.
    """
    text = render(report)
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"report {path} cannot be written: {error.strerror}") from None
    return path


def render(report: Report) -> str:
    """Return the report as HTML."""
    sections = (
        ("Metrics", _metrics(report.metrics, report.best_step)),
        ("Samples", _samples(report.sheets)),
        ("Losses", _losses(report.losses)),
        ("Settings", _facts(report.settings)),
        ("Environment", _facts(report.environment)),
    )
    shown = [f"<section>\n<h2>{name}</h2>\n{content}\n</section>" for name, content in sections if content]
    header = f"<header><h1>{escape(report.title)}</h1><p>{escape(report.state)}</p></header>"
    css = files("train.report").joinpath("report.css").read_text(encoding="utf-8")
    return document(report.title, css, "\n".join(["<main>", header, *shown, "</main>"]))


def _samples(sheets: Sequence[Sheet]) -> str:
    """Return a strip per sample: what does not change first, then the newest to the oldest sheet."""
    if not sheets:
        return ""
    rows, columns = sheets[-1].rows, sheets[-1].columns
    alike = [sheet for sheet in sheets if (sheet.rows, sheet.columns) == (rows, columns)]
    shown = _thin(alike, SHOWN_SHEETS)[::-1]
    cells = [_cut(sheet) for sheet in shown]
    parts = ['<p class="note">The same samples over time, the newest first.</p>']
    for group in _groups(rows):
        strips = [
            _strip(shown, [[grid[row][column] for row in group] for grid in cells], group)
            for column in range(columns)
        ]
        parts += strips[:OPEN_STRIPS]
        if more := strips[OPEN_STRIPS:]:
            parts.append(f"<details><summary>{len(more)} more</summary>{''.join(more)}</details>")
    return "\n".join(parts)


def _strip(shown: Sequence[Sheet], cells: Sequence[Sequence[str]], group: Sequence[int]) -> str:
    """Return one sample: cells[time][row of the group] are the addresses of its images."""
    names = [shown[0].rows[row] for row in group]
    fixed = [(name, cell) for name, cell in zip(names, cells[0], strict=True) if _is_fixed(name)]
    figures = [_figure([cell], "", "fixed") for cell in fixed]
    for sheet, column in zip(shown, cells, strict=True):
        stack = [(name, cell) for name, cell in zip(names, column, strict=True) if not _is_fixed(name)]
        figures.append(_figure(stack, f"step {sheet.step:,}", "time"))
    return f'<div class="strip" tabindex="0">{"".join(figures)}</div>'


def _groups(rows: tuple[str, ...]) -> list[list[int]]:
    """Put rows that show one sample together: a fixed row between changing ones begins the next sample."""
    groups: list[list[int]] = [[]]
    for number, name in enumerate(rows):
        later = any(not _is_fixed(other) for other in rows[number:])
        if _is_fixed(name) and later and number > 0 and not _is_fixed(rows[number - 1]):
            groups.append([])
        groups[-1].append(number)
    return groups


def _is_fixed(row: str) -> bool:
    return row.startswith(("real", "teacher"))


def _figure(images: Sequence[tuple[str, str]], caption: str, kind: str) -> str:
    shown = "".join(
        f'<span><img src="{address}" alt="{escape(name)}"><b>{escape(name)}</b></span>'
        for name, address in images
    )
    return f'<figure class="{kind}">{shown}<figcaption>{escape(caption)}</figcaption></figure>'


def _cut(sheet: Sheet) -> list[list[str]]:
    """Return the cells of a sheet, rows of columns, as addresses with the JPEG inside."""
    height, width = sheet.rgb.shape[:2]
    if height % len(sheet.rows) or width % sheet.columns:
        raise DataError(
            f"sample sheet of step {sheet.step} is {height}×{width}: it does not divide into "
            f"{len(sheet.rows)} rows of {sheet.columns}"
        )
    tall, wide = height // len(sheet.rows), width // sheet.columns
    return [
        [
            _embed(sheet.rgb[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide])
            for column in range(sheet.columns)
        ]
        for row in range(len(sheet.rows))
    ]


def _embed(rgb: Rgb) -> str:
    height, width = rgb.shape[:2]
    scale = CELL_PX / max(height, width)
    if scale < 1:
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA).astype(rgb.dtype, copy=False)
    content = encode_image(rgb, "JPEG", options={"quality": JPEG_QUALITY})
    return embedded(content, "image/jpeg")


def _metrics(metrics: Sequence[tuple[int, Mapping[str, Any]]], best_step: int | None) -> str:
    """Return a table of the best validation, or of the last where none is the best, and curves of all."""
    if not metrics:
        return ""
    metrics = [(step, _flat(found)) for step, found in metrics]
    step, chosen = next(((s, found) for s, found in metrics if s == best_step), metrics[-1])
    which = "best" if step == best_step else "last"
    bounded = {name: value for name, value in chosen.items() if _is_bounded(value)}
    shown = table(
        ("metric", "ceiling", "translated", "floor", "way to the floor"),
        [metric_row(name, value) for name, value in bounded.items()],
        last="way",
    )
    note = (
        f'<p class="note">The {which} validation, at step {step:,}. Ceiling: the untranslated inputs; floor: '
        "real against real. These figures are not comparable with the FID or KID of papers.</p>"
    )
    others = _facts({name: value for name, value in chosen.items() if name not in bounded})
    curves = [(name, _history(metrics, name)) for name in bounded] if len(metrics) > 1 else []
    charts = [
        _chart(name, {"translated": points}, {key: bounded[name][key] for key in ("floor", "ceiling")})
        for name, points in curves
    ]
    return note + (shown if bounded else "") + others + _charts(charts)


def _flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return groups of metrics, such as those against a teacher, as metrics of a longer name."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping) and any(map(_is_bounded, value.values())):
            flat |= {f"{name} {inner}": metric for inner, metric in value.items()}
        else:
            flat[name] = value
    return flat


def _history(metrics: Sequence[tuple[int, Mapping[str, Any]]], name: str) -> list[tuple[int, float]]:
    return [(step, found[name]["translated"]) for step, found in metrics if _is_bounded(found.get(name))]


def _is_bounded(value: object) -> bool:
    return isinstance(value, Mapping) and {"translated", "floor", "ceiling"} <= value.keys()


def metric_row(name: str, value: Mapping[str, float]) -> tuple[str, ...]:
    """Return the cells of a row of the table of metrics; its bar is the way from the ceiling to the floor."""
    translated, floor, ceiling = (value[key] for key in ("translated", "floor", "ceiling"))
    way = (ceiling - translated) / (ceiling - floor) if ceiling != floor else 1.0
    filled = 100.0 * min(1.0, max(0.0, way))
    bar = "too few images to judge"
    if name.split()[-1] not in DISTANCES or floor < ceiling:
        bar = f'<meter max="100" value="{filled:.0f}"></meter><span>{100 * way:.0f} %</span>'
    return escape(name), short(ceiling), f"<strong>{short(translated)}</strong>", short(floor), bar


def _losses(losses: Mapping[str, Points]) -> str:
    """Return one chart per kind of loss: those of both directions (`cycle_A`, `cycle_B`) share one."""
    kinds: dict[str, dict[str, Points]] = {}
    for name, points in losses.items():
        stem, _, end = name.rpartition("_")
        kinds.setdefault(stem if stem and len(end) == 1 else name, {})[name] = points
    return _charts([_chart(kind, lines, {}) for kind, lines in kinds.items()])


def _charts(charts: Sequence[str]) -> str:
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _chart(title: str, lines: Mapping[str, Points], levels: Mapping[str, float]) -> str:
    drawn = draw_chart(lines, levels)
    if not drawn:
        return ""
    names = lines if len(lines) > 1 else ()
    legend = "".join(f'<i class="c{number % 4}"></i>{escape(name)} ' for number, name in enumerate(names))
    caption = f"<figcaption>{escape(title)} <small>{legend}</small></figcaption>"
    return f'<figure class="plot">{caption}{drawn}</figure>'


def _facts(known: Mapping[str, object]) -> str:
    return facts((name, escape(_say(value))) for name, value in known.items())


def _say(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_say(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_say, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not set"}[value]
    return str(value)


def _thin(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most `count` items, evenly spaced, the first and the last kept."""
    if len(items) <= count:
        return list(items)
    return [items[round(number * (len(items) - 1) / (count - 1))] for number in range(count)]
