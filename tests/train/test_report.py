"""The report of a run and its charts."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from rt.frame import Rgb
from train.errors import DataError, RunError
from train.report.chart import average, draw_chart, short
from train.report.page import CELL_PX, SHOWN_SHEETS, Report, render, write_report
from train.report.sheet import Sheet

VOID = {"meta", "img", "path", "circle"}
OPTIONAL_END = {"tr", "th", "td", "dt", "dd"}


class Page(HTMLParser):
    """Collects what a page holds, and notes elements that are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID | OPTIONAL_END:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in OPTIONAL_END and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def sheet(step: int, rows: tuple[str, ...] = ("real_A", "fake_B", "rec_A"), columns: int = 2) -> Sheet:
    """A sheet whose cell in row r, column c is grey of level 40 r + 10 c + 1 % of the step."""
    side = 16
    image = np.zeros((side * len(rows), side * columns, 3), np.uint8)
    for row in range(len(rows)):
        for column in range(columns):
            level = 40 * row + 10 * column + step // 100
            image[row * side : (row + 1) * side, column * side : (column + 1) * side] = level
    return Sheet(rows, columns, image, step)


def decoded(image: dict[str, str | None]) -> Rgb:
    content = base64.b64decode((image["src"] or "").removeprefix("data:image/jpeg;base64,"))
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found.astype(np.uint8)


def level_of(image: dict[str, str | None]) -> int:
    return int(np.median(decoded(image)))


METRICS = [
    (100, {"swd": {"translated": 0.2, "floor": 0.1, "ceiling": 0.3}, "compared": 28}),
    (200, {"swd": {"translated": 0.125, "floor": 0.1, "ceiling": 0.3}, "compared": 28}),
]


def test_a_report_holds_everything_and_asks_for_nothing() -> None:
    report = Report(
        title="cyclegan · <run>",
        state="finished & done",
        losses={"G_A": [(0, 1.0), (20, 0.5)], "G_B": [(0, 1.0), (20, 0.75)], "D": [(0, 0.5), (20, 0.25)]},
        sheets=[sheet(100), sheet(200)],
        metrics=METRICS,
        settings={"learning_rate": 2e-4, "amp": True, "steps": None, "policy": ["translation", "cutout"]},
        environment={"command": "videobrush-train cyclegan --data 'a<b'"},
        best_step=100,
    )
    page = Page(text := render(report))
    assert page.wrong == []
    assert page.open == []
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text
    said = "".join(page.texts)
    for words in ("cyclegan · <run>", "finished & done", "--data 'a<b'", "0.0002", "translation, cutout"):
        assert words in said
    assert text.count("<svg") == 3  # losses G and D, metric swd


def test_strips_show_what_is_fixed_once_and_the_newest_translation_first() -> None:
    page = Page(render(Report("run", "done", sheets=[sheet(100), sheet(200)])))
    shown = [(image["alt"], level_of(image)) for image in page.images]
    first = [("real_A", 2), ("fake_B", 42), ("rec_A", 82), ("fake_B", 41), ("rec_A", 81)]
    second = [("real_A", 12), ("fake_B", 52), ("rec_A", 92), ("fake_B", 51), ("rec_A", 91)]
    assert shown == first + second
    assert [text for text in page.texts if text.startswith("step")] == ["step 200", "step 100"] * 2


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B"), 2),
        (("real_A", "fake_B", "real_B"), 1),
        (("real_A", "teacher", "student"), 1),
        (("fake",), 1),
    ],
)
def test_rows_that_show_one_sample_stand_together(rows: tuple[str, ...], expected: int) -> None:
    text = render(Report("run", "done", sheets=[sheet(100, rows, columns=1)]))
    assert text.count('class="strip"') == expected
    assert [image["alt"] for image in Page(text).images].count("fake_B") == rows.count("fake_B")


def test_many_samples_are_folded_and_many_sheets_thinned() -> None:
    text = render(Report("run", "done", sheets=[sheet(100 * n, columns=5) for n in range(31)]))
    assert "<summary>2 more</summary>" in text
    steps = re.findall(r"step ([\d,]+)<", text)[:SHOWN_SHEETS]
    assert (steps[0], steps[-1]) == ("3,000", "0")
    assert len(set(steps)) == SHOWN_SHEETS


def test_images_are_embedded_small() -> None:
    big = Sheet(("fake",), 1, np.zeros((600, 900, 3), np.uint8), 1)
    image = Page(render(Report("run", "done", sheets=[big]))).images[0]
    assert decoded(image).shape == (128, CELL_PX, 3)


def test_metrics_stand_between_ceiling_and_floor_and_name_their_step() -> None:
    best = render(Report("run", "done", metrics=METRICS, best_step=100))
    assert "The best validation, at step 100" in best
    assert "<td>0.3</td><td><strong>0.2</strong></td><td>0.1</td>" in best
    assert '<meter max="100" value="50">' in best
    last = render(Report("run", "done", metrics=METRICS))
    assert "The last validation, at step 200" in last
    assert "<span>88 %</span>" in last
    assert "<dt>compared</dt><dd>28</dd>" in last


def test_groups_of_metrics_are_shown_under_their_name() -> None:
    grouped = {"teacher": {"ssim": {"translated": 0.9, "floor": 1.0, "ceiling": 0.5}, "compared": 3}}
    text = render(Report("run", "done", metrics=[(1, grouped)]))
    assert "<th>teacher ssim</th><td>0.5</td><td><strong>0.9</strong></td><td>1</td>" in text
    assert "<dt>teacher compared</dt><dd>3</dd>" in text


def test_an_empty_report_has_no_empty_sections(tmp_path: Path) -> None:
    text = write_report(Report("run", "just started"), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<section>" not in text
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_what_cannot_be_written_or_cut_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"report .*nowhere/report\.html cannot be written: No such file"):
        write_report(Report("run", "done"), tmp_path / "nowhere" / "report.html")
    odd = Sheet(("real_A", "fake_B"), 3, np.zeros((32, 49, 3), np.uint8), 7)
    with pytest.raises(DataError, match="step 7 is 32×49: it does not divide into 2 rows of 3"):
        render(Report("run", "done", sheets=[odd]))


def path_of(svg: str, kind: str) -> list[tuple[float, float]]:
    found = re.search(rf'class="{kind}" d="M([^"]+)"', svg)
    assert found is not None
    numbers = list(map(float, found[1].split()))
    return list(zip(numbers[0::2], numbers[1::2], strict=True))


def test_a_chart_goes_from_the_first_step_to_the_last_and_from_low_to_high() -> None:
    svg = draw_chart({"loss": [(0, 0.0), (50, 1.0), (100, 0.5)]})
    places = path_of(svg, "line c0")
    assert [x for x, _ in places] == [44.0, 178.0, 312.0]
    assert places[0][1] == 130.0  # zero is the ground
    assert places[1][1] == pytest.approx(8 + 122 * 0.06 / 1.06, abs=0.1)
    assert ">100</text>" in svg


def test_values_that_are_not_finite_are_left_out_and_none_leave_no_chart() -> None:
    svg = draw_chart({"loss": [(0, 1.0), (10, float("nan")), (20, 2.0)]})
    assert len(path_of(svg, "line c0")) == 2
    assert draw_chart({"loss": [(0, float("inf"))]}) == ""
    assert draw_chart({}) == ""
    assert "<circle" in draw_chart({"loss": [(5, 1.0)]})
    assert "nan" not in draw_chart({"loss": [(0, 3.0), (1, 3.0)]})


def test_long_lines_are_averaged_and_smoothed_and_levels_are_named() -> None:
    noisy = [(step, 1.0 + (-1) ** step) for step in range(5000)]
    svg = draw_chart({"loss": noisy}, {"floor": 0.5})
    assert len(path_of(svg, "raw c0")) == len(path_of(svg, "line c0")) == 240
    assert ">floor</text>" in svg
    assert average([(0, 1.0), (1, 3.0), (2, 5.0), (3, 7.0)], 2) == [(0.5, 2.0), (2.5, 6.0)]


@pytest.mark.parametrize(
    ("number", "said"),
    [(0.0, "0"), (0.012345, "0.0123"), (12.345, "12.3"), (7035.9, "7036"), (12345, "12.3k"), (4.2e6, "4.2M")],
)
def test_numbers_are_said_short(number: float, said: str) -> None:
    assert short(number) == said
