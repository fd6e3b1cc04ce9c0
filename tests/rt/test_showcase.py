"""The page of the styles: whole, escaped and honest."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rt import styles
from rt.card import Expects, read_card, write_card
from rt.cli import main
from rt.showcase import make_page
from rt.styles import Listed, Style, find_style, list_styles
from tests.support.onnx_styles import make_style

MEASURED = {"translated": 0.71, "floor": 0.98, "ceiling": 0.07}
METRICS = {
    "swd": {"translated": 0.106, "floor": 0.075, "ceiling": 0.2155},
    "classified_as_target": MEASURED,
    "compared": 28,
    "measured_on": "held-out images",
    "teacher": {"psnr": {"translated": 28.14, "floor": 100.0, "ceiling": 9.0}},
    "teacher_itself": {"classified_as_target": {**MEASURED, "translated": 0.83}},
    "int8": {"psnr_db": 48.06},
    "clips": {"median": {"style": 1.2, "seen": 1.1}, "rows": [{}, {}]},
    "speed": {
        "date": "2026-01-02",
        "machine": {"cpu": "a <fast> one", "threads": 2},
        "rows": [{"name": "openvino int8", "size": [160, 288], "p50_ms": 6.3, "p95_ms": 7.9, "fps": 163.4}],
    },
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOBRUSH_STYLES", str(tmp_path / "own"))
    monkeypatch.setattr(styles, "GALLERY", tmp_path / "gallery")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


class Balance(HTMLParser):
    """Checks that what is opened is closed."""

    EMPTY = ("meta", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page() -> str:
    made = make_page(list_styles())
    balance = Balance()
    balance.feed(made)
    assert balance.open == []
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', made) == []  # nothing but what is in it
    return made


def rows(made: str) -> list[str]:
    """Return the table rows as text, their cells parted by |."""
    found = re.findall(r"<tr>(.*?)</tr>", made)
    return [re.sub(r"<[^>]+>", "", re.sub(r"</t[hd]>", "|", row)).rstrip("|") for row in found]


def test_figures_stand_between_floor_and_ceiling_beside_the_teachers(own: Path) -> None:
    folder = make_style(own)
    write_card(replace(read_card(folder), metrics=METRICS), folder)
    made = page()
    assert rows(made) == [
        "|style|teacher|floor|ceiling|from ceiling to floor",
        "Sliced Wasserstein distance|0.106|–|0.075|0.215",
        "Classified as target|71 %|83 %|98 %|7 %",
        "|PSNR, dB|SSIM",
        "Style to its teacher|28.1|–",
        "INT8 to FP32|48.1|–",
        "|warping error over the clip’s",
        "The network's images|1.2",
        "What a viewer sees|1.1",
        "|ms, p50|p95|images/s",
        "openvino int8, 288×160|6.3|7.9|163",
    ]
    assert re.findall(r"width:(\d+)%", made) == ["78", "70"]
    assert "Held-out images. Distances compare 28 images with as many. Floor: " in made
    assert "The network alone on a &lt;fast&gt; one, 2 cores, 2026-01-02." in made
    assert "Median of 2 real clips; 1 is as steady as the clip itself." in made


def test_words_of_a_card_are_no_html(own: Path) -> None:
    folder = make_style(own)
    card = replace(
        read_card(folder),
        title='<b> & "quoted"',
        faults=("<script>alert(1)</script>",),
        data={"terms": "<i>none</i>"},
        training={"command": "videobrush-train cyclegan --data <here>", "machine": {"<a>": 1}},
    )
    write_card(card, folder)
    (folder / "previews").mkdir()
    (folder / "previews" / "clip.mp4").write_bytes(b"clip")
    (folder / "previews" / "grid.jpg").write_bytes(b"grid")
    made = page()
    assert "<script>alert" not in made
    assert "<li>&lt;script&gt;alert(1)&lt;/script&gt;</li>" in made
    assert "&lt;b&gt; &amp; &quot;quoted&quot;: eight images before and after" in made
    assert "<dd>&lt;i&gt;none&lt;/i&gt;</dd>" in made
    assert "<code>videobrush-train cyclegan --data &lt;here&gt;</code>" in made
    assert "data:video/mp4;base64,Y2xpcA==" in made
    assert "data:image/jpeg;base64,Z3JpZA==" in made


def test_what_is_missing_or_damaged_is_said(own: Path) -> None:
    make_style(own, "bare")
    (own / "empty").mkdir()
    made = page()
    assert "It has no previews." in made
    assert "Nothing was measured." in made
    assert f'<p class="damaged">{own / "empty"} is not a style: it has no card.json</p>' in made
    assert '<a href="#bare">bare</a><a href="#empty">empty</a>' in made


def test_pairs_stand_in_for_a_missing_grid_but_never_the_demos_sheet(own: Path) -> None:
    folder = make_style(own)
    (folder / "previews").mkdir()
    for name in ("demo", "one", "two"):
        (folder / "previews" / f"{name}.jpg").write_bytes(name.encode())
    assert re.findall(r'alt="(\w+)"', page()) == ["one", "two"]


def test_the_command_writes_one_file_and_replaces_none_unasked(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_style(own, "one")
    make_style(own, "two")
    assert main(["styles", "--html"]) == 0
    assert capsys.readouterr() == ("styles.html: 2 styles\n", "")
    first = Path("styles.html").read_text(encoding="utf-8")
    assert first == make_page(list_styles())
    assert main(["styles", "one", "--html"]) == 1
    assert capsys.readouterr().err == (
        "error: styles.html exists: add --overwrite to replace it, or name another file with --out\n"
    )
    assert Path("styles.html").read_text(encoding="utf-8") == first
    assert main(["styles", "one", "--html", "--overwrite"]) == 0
    assert capsys.readouterr().out == "styles.html: 1 style\n"
    assert find_style("one").card.title in Path("styles.html").read_text(encoding="utf-8")
    assert main(["styles", "--html", "--out", "nowhere/page.html"]) == 1
    assert main(["styles", "--out", "page.html"]) == 2
    assert capsys.readouterr().err == (
        "error: nowhere/page.html cannot be written: No such file or directory\n"
        "error: --out and --overwrite belong to --html\n"
    )


@pytest.mark.parametrize(
    ("expects", "camera"), [("photo", True), ("gray photo", False), ("label map", False)]
)
def test_a_camera_is_offered_to_styles_for_photos_alone(
    expects: Expects, camera: bool, tmp_path: Path
) -> None:
    folder = make_style(tmp_path, "meadow", expects=expects)
    page = make_page([Listed("meadow", folder, Style(folder, read_card(folder)), None)])
    assert ("videobrush run 0 " in page) == ("videobrush studio" in page) == camera
    assert "--style meadow" in page
    assert (f"a {expects}" in page) != camera
