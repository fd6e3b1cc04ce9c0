"""Cards and measurements as lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rt.terminal import table
from rt.text import megabytes, width_x_height

if TYPE_CHECKING:
    from rt.bench import Speed
    from rt.commands import Bench
    from rt.stats import Stats
    from rt.steadiness import Comparison
    from rt.styles import Listed, Style


def live_lines(stats: Stats) -> Iterator[str]:
    """Yield what is to be said of a live run beside its frame rate."""
    if stats.latency:
        spans = ", ".join(f"{stage} {span}" for stage, span in stats.latency.items())
        yield f"{stats.dropped} dropped; latency p50/p95/p99: {spans}"


def style_row(entry: Listed) -> tuple[str, str, str, str, str]:
    """Return name, title, size, precisions and folder of a style in a list."""
    if entry.style is None:
        return entry.name, "(damaged)", "-", "-", str(entry.folder)
    card = entry.style.card
    size = megabytes(sum(path.stat().st_size for path in entry.folder.rglob("*") if path.is_file()))
    return entry.name, card.title, size, ", ".join(sorted(card.models)), str(entry.folder)


def card_lines(style: Style) -> Iterator[str]:
    """Yield everything a card says."""
    card = style.card
    yield f"{card.name}: {card.title}"
    yield f"folder: {style.folder}"
    if card.fixed_size is None:
        yield (
            f"network image: short side {card.size_px} px, sides multiples of {card.multiple}, "
            f"at least {card.minimum_px}"
        )
    else:
        yield f"network image: {card.fixed_size[0]}x{card.fixed_size[1]} (height x width), no other"
    if card.expects != "photo":
        yield f"made for a {card.expects}"
    if card.view != "image":
        yield f"the network sees the image's {card.view}"
    if card.detail == "network":
        yield "the network's image is shown instead of the frame, not as its residual"
    for precision, model in card.models.items():
        yield f"model {precision}: {model.file}, {megabytes(model.size_bytes)}, SHA-256 {model.sha256}"
    yield f"recipe: {card.recipe}"
    for title in ("network", "data", "training", "metrics"):
        facts: Mapping[str, Any] = getattr(card, title)
        if facts:
            yield f"{title}:"
            yield from _fact_lines(facts, "  ")
    yield "known faults:" if card.faults else "known faults: none stated"
    for fault in card.faults:
        yield f"  - {fault}"


def _fact_lines(facts: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _fact_lines(value, f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield f"{indent}{key}:"
            for entry in value:
                yield f"{indent}  - {', '.join(f'{name} {fact}' for name, fact in entry.items())}"
        elif isinstance(value, list):
            yield f"{indent}{key}: {', '.join(str(entry) for entry in value)}"
        else:
            yield f"{indent}{key}: {value}"


def speed_lines(speed: Speed, version: str) -> Iterator[str]:
    """Yield a table of how fast a style is, then its figures as JSON."""
    height, width = speed.network_size
    yield (
        f"style {speed.style}, {speed.backend} {speed.precision} on {speed.device}, "
        f"{speed.in_flight} in flight"
    )
    yield (
        f"network image {width}x{height}, frames {width_x_height(speed.frame_size)}, "
        f"{speed.turns} turns, {speed.frames} frames each"
    )
    if speed.gpu:
        yield f"GPU at the end: {speed.gpu}"
    yield from table(
        [
            ("", "frames/s"),
            ("network alone", f"{speed.network_fps:.1f}"),
            ("whole pipeline", f"{speed.pipeline_fps:.1f}"),
            ("ratio", f"{speed.pipeline_ratio:.3f}"),
        ]
    )
    yield json.dumps({"benchmark": "speed", "version": version, **asdict(speed)})


def steady_lines(found: Comparison, asked: Bench, version: str) -> Iterator[str]:
    """Yield a table of how steady a style is on a clip, then its figures as JSON."""
    yield f"style {asked.style} on {found.frames} frames of {asked.clip}, steady off and {asked.steady}"
    sides = found.source, found.off, found.on
    yield from table(
        [
            ("", "clip", "off", "on"),
            ("E_warp over the clip's", *_figures(1.0, found.warping_off, found.warping_on)),
            ("E_warp, levels of 255", *_figures(*(side.warping_levels for side in sides))),
            ("tOF, px", *_figures(*(side.tof_px for side in sides))),
            ("deviation over time, levels", *_figures(*(side.deviation_levels for side in sides))),
            ("sharpness, variance of Laplacian", *_figures(*(side.sharpness for side in sides))),
        ]
    )
    added = (
        "" if found.flicker_cut is None else f", {found.flicker_cut:.0%} of what the style adds to the clip's"
    )
    yield f"warping error cut by {found.warping_cut:.0%}{added}; sharpness kept {found.sharpness_kept:.0%}"
    yield json.dumps(
        {
            "benchmark": "steady",
            "version": version,
            "style": asked.style,
            "clip": asked.clip,
            "steady": asked.steady,
            **asdict(found),
            "warping_cut": found.warping_cut,
            "flicker_cut": found.flicker_cut,
            "sharpness_kept": found.sharpness_kept,
        }
    )


def _figures(*figures: float | None) -> Iterator[str]:
    for figure in figures:
        yield "-" if figure is None else f"{figure:.3g}"
