"""Line charts as inline SVG."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[int, float]]

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 20
"""Margins around the plot, in units of the view box."""
DRAWN_POINTS = 240
"""Points of a line; more are averaged."""
SMOOTHED_FROM = 40
"""Lines of at least so many points are drawn smoothed over their raw values."""


def draw_chart(lines: Mapping[str, Points], levels: Mapping[str, float] | None = None) -> str:
    """Return an SVG with one line per name, and a dashed level for each of `levels`.

    Args:
        lines: (step, value) of each line, steps ascending; values that are not finite are left out.
        levels: values that do not change with the steps.
    """
    levels = levels or {}
    finite = {name: [point for point in points if math.isfinite(point[1])] for name, points in lines.items()}
    drawn = {name: average(points, DRAWN_POINTS) for name, points in finite.items() if points}
    if not drawn:
        return ""
    steps = [step for points in drawn.values() for step, _ in points]
    low, high = _span([value for points in drawn.values() for _, value in points], list(levels.values()))
    plot = _Plot(min(steps), max(steps), low, high)
    parts = [plot.frame()]
    parts += [plot.level(name, value) for name, value in levels.items()]
    for number, points in enumerate(drawn.values()):
        parts.append(plot.line(points, number))
    return f'<svg class=chart viewBox="0 0 {WIDTH} {HEIGHT}" role=img>{"".join(parts)}</svg>'


def average(points: Points, count: int) -> list[tuple[float, float]]:
    """Return at most `count` points: the means of equally large groups, in order."""
    if len(points) <= count:
        return [(float(step), value) for step, value in points]
    edges = [round(number * len(points) / count) for number in range(count + 1)]
    groups = [points[start:end] for start, end in itertools.pairwise(edges)]
    return [
        (sum(step for step, _ in group) / len(group), sum(value for _, value in group) / len(group))
        for group in groups
    ]


def short(number: float) -> str:
    """Return a number in at most four digits: 1234567 as 1.23M, 0.012345 as 0.0123."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(number) >= 10 * size or (unit == "M" and abs(number) >= size):
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"


def _span(values: list[float], levels: list[float]) -> tuple[float, float]:
    """Return the lowest and highest value to show: a few outliers may leave the plot, levels may not."""
    ordered = sorted(values)
    skipped = len(ordered) // 100
    low = min([ordered[skipped], *levels])
    high = max([ordered[-1 - skipped], *levels])
    room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return (0.0 if 0.0 <= low <= room else low - room), high + room


class _Plot:
    """From steps and values to places in the view box."""

    def __init__(self, first: float, last: float, low: float, high: float) -> None:
        self.first, self.last, self.low, self.high = first, last, low, high

    def x(self, step: float) -> float:
        share = (step - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return TOP + (1.0 - min(1.0, max(0.0, share))) * (HEIGHT - TOP - BOTTOM)

    def frame(self) -> str:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        lines = []
        for part in (0.0, 0.5, 1.0):
            value = self.low + part * (self.high - self.low)
            y = self.y(value)
            lines.append(
                f'<path class=rule d="M{LEFT} {y:.1f}H{right}"/>'
                f"<text class=axis x={LEFT - 5} y={y + 3.5:.1f} text-anchor=end>{short(value)}</text>"
            )
        ends = [(LEFT, "start", self.first), (right, "end", self.last)]
        lines += [
            f"<text class=axis x={x} y={bottom + 14} text-anchor={anchor}>{short(step)}</text>"
            for x, anchor, step in (ends if self.last > self.first else ends[:1])
        ]
        return "".join(lines)

    def level(self, name: str, value: float) -> str:
        y, right = self.y(value), WIDTH - RIGHT
        above = y - 3 if y > TOP + 12 else y + 10
        return (
            f'<path class=level d="M{LEFT} {y:.1f}H{right}"/>'
            f"<text class=axis x={right} y={above:.1f} text-anchor=end>{html.escape(name)}</text>"
        )

    def line(self, points: list[tuple[float, float]], number: int) -> str:
        if len(points) == 1:
            step, value = points[0]
            return f'<circle class="dot c{number % 4}" cx={self.x(step):.1f} cy={self.y(value):.1f} r=3 />'
        if len(points) < SMOOTHED_FROM:
            return self._path(points, f"line c{number % 4}")
        return self._path(points, f"raw c{number % 4}") + self._path(_smooth(points), f"line c{number % 4}")

    def _path(self, points: list[tuple[float, float]], kind: str) -> str:
        places = " ".join(f"{self.x(step):.1f} {self.y(value):.1f}" for step, value in points)
        return f'<path class="{kind}" d="M{places}"/>'


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the moving average over about a twentieth of the line, without lag at its start."""
    keep = 1.0 - 20.0 / len(points)
    total = weight = 0.0
    smoothed = []
    for step, value in points:
        total, weight = keep * total + value, keep * weight + 1.0
        smoothed.append((step, total / weight))
    return smoothed
