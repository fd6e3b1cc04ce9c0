"""What fills a style's card and previews."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from rt.card import read_card
from rt.demo import CLIP
from rt.image import write_image
from tests.support.onnx_styles import drawn_image, make_style, save_negative
from tools.bench.result import ROOT
from tools.gallery import describe, look, previews
from train.data.images import load_image

Run = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_style(tmp_path, model=save_negative(tmp_path / "negative.onnx"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def typed(main: Callable[[], int], *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["tool", *map(str, arguments)])
        return main()

    return typed


def test_each_option_fills_its_own_part_of_the_card(folder: Path, run: Run, tmp_path: Path) -> None:
    notes = {"data": {"name": "drawn", "terms": "none"}, "faults": ["It is a negative."]}
    (tmp_path / "facts.json").write_text(json.dumps(notes))
    make = ROOT / "tools" / "gallery" / "winter" / "make.sh"
    assert run(describe.main, folder, "--facts", tmp_path / "facts.json", "--make", make) == 0
    card = read_card(folder)
    assert (card.faults, card.data) == (("It is a negative.",), notes["data"])
    assert card.training["made_with"] == "tools/gallery/winter/make.sh"
    assert card.metrics == {}


def test_the_speed_is_given_for_every_backend_at_the_common_and_the_styles_own_size(
    folder: Path, run: Run
) -> None:
    assert run(describe.main, folder, "--speed", 0.01) == 0
    speed = read_card(folder).metrics["speed"]
    assert {"commit", "machine", "versions", "date"} <= speed.keys()
    assert [(row["name"], row["size"]) for row in speed["rows"]] == [
        (f"{name} fp32", size) for size in ([256, 256], [32, 56]) for name in ("openvino", "onnxruntime")
    ]
    assert all(row["p50_ms"] > 0 and row["fps"] > 0 for row in speed["rows"])


def test_the_warping_error_of_a_negative_is_the_clips_own(folder: Path, run: Run) -> None:
    assert run(describe.main, folder, "--clips", CLIP, "--frames", 4) == 0
    clips = read_card(folder).metrics["clips"]
    (row,) = clips["rows"]
    assert (row["clip"], row["frames"], row["size"]) == ("clip.mp4", 4, [32, 56])
    assert row["style"] == pytest.approx(1, abs=0.01)
    assert clips["median"]["style"] == row["style"]
    assert "teacher" not in row


def test_what_cannot_be_described_is_one_line(
    folder: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(describe.main, folder, "--make", tmp_path / "make.sh") == 1
    assert capsys.readouterr().err == (
        f"describe: --make {tmp_path / 'make.sh'}: needed is a script within {ROOT}\n"
    )
    (tmp_path / "facts.json").write_text('{"terms": "none"}')
    assert run(describe.main, folder, "--facts", tmp_path / "facts.json") == 1
    assert "needed is an object with only `data`, `faults` and `expects`" in capsys.readouterr().err


@pytest.mark.slow
def test_previews_are_a_grid_a_pair_and_a_clip_within_their_bytes(
    folder: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(7):
        write_image(drawn_image(120, 160, seed=number), images / f"{number}.png")
    typed = folder, "--images", images, "--clip", CLIP
    assert run(previews.main, *typed) == 1
    assert capsys.readouterr().err == "previews: --images: 7 found, 8 needed\n"
    write_image(drawn_image(160, 120, seed=7), images / "7.png")
    assert run(previews.main, *typed) == 0
    grid, pair = (load_image(folder / "previews" / name) for name in ("grid.jpg", "pair.jpg"))
    assert grid is not None
    assert pair is not None
    assert (grid.shape, pair.shape) == ((576, 768, 3), (360, 960, 3))
    before, after = pair[:, :480].astype(int), pair[:, 480:].astype(int)
    assert np.abs(before + after - 255).mean() < 20  # beside each image lies its negative
    assert (folder / "previews" / "grid.jpg").stat().st_size <= previews.GRID_BYTES
    with av.open(str(folder / "previews" / "clip.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert (len(frames), frames[0].shape) == (45, (192, 684, 3))
    assert (folder / "previews" / "clip.mp4").stat().st_size <= previews.CLIP_BYTES
    assert run(previews.main, *typed, "--start", 5) == 1
    assert "24 frames in 3 s from 5 s, 45 are needed" in capsys.readouterr().err


def test_frames_to_look_at_are_written_at_full_size_and_consecutive_ones_enlarged(
    folder: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(look.main, folder, CLIP, "--out", tmp_path / "looks") == 0
    names = capsys.readouterr().out.split()
    assert len(names) == 3 * 3 + 1
    images = {Path(name).stem: load_image(Path(name)) for name in names}
    before, full, half, sheet = (
        images[f"drawn-clip-{name}"] for name in ("0072-before", "0072-1", "0072-0.5", "consecutive")
    )
    assert before is not None
    assert full is not None
    assert half is not None
    assert sheet is not None
    assert before.shape == full.shape == half.shape == (360, 640, 3)
    changed = np.abs(full.astype(int) - before).mean()
    assert np.abs(half.astype(int) - before).mean() == pytest.approx(changed / 2, rel=0.1)
    assert sheet.shape == (2 * 512, 4 * 512, 3)
    assert (sheet[:4, :4] == sheet[0, 0]).all()  # a pixel has become a square of 4 by 4
