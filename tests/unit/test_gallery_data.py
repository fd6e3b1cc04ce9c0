"""The pictures that the gallery's styles learn from, and those that stand in for ones nobody may pass on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.support.onnx_styles import drawn_picture
from tools.gallery import draw_facades, paint_pairs
from tools.gallery.kuwahara import kuwahara
from train.data import read_picture, write_picture

Run = Callable[..., None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def _run(main: Callable[[], None], *words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["tool", *map(str, words)])
        main()

    return _run


def test_the_filter_flattens_texture_and_keeps_plain_ground_and_edges() -> None:
    rng = np.random.default_rng(0)
    plain = np.full((48, 64, 3), (40, 130, 220), np.uint8)
    assert np.array_equal(kuwahara(plain, 4), plain)
    edge = plain.copy()
    edge[:, 32:] = (200, 20, 60)
    assert np.abs(kuwahara(edge, 4).astype(int) - edge).max() <= 1
    grain = np.clip(plain + rng.normal(0, 12, plain.shape), 0, 255).astype(np.uint8)
    left = kuwahara(grain, 4).astype(float) - plain
    assert left.std() < 0.5 * (grain.astype(float) - plain).std()


def test_paintings_stand_beside_themselves_flattened_and_graded(run: Run, tmp_path: Path) -> None:
    painting = drawn_picture(256, 256)
    for split in ("trainA", "testA"):
        (tmp_path / "data" / split).mkdir(parents=True)
        write_picture(tmp_path / "data" / split / "a.png", painting)
    run(paint_pairs.main, "paintings", tmp_path / "data", tmp_path / "out", "--variants", 3)
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*/*"))
    assert names == ["test/00000.png", "train/00000.png", "train/00001.png", "train/00002.png"]
    pairs = [read_picture(tmp_path / "out" / name) for name in names]
    for pair in pairs:
        assert pair is not None
        assert pair.shape == (256, 512, 3)
        assert np.array_equal(pair[:, 256:], painting)
    halves = [pair[:, :256].astype(int) for pair in pairs if pair is not None]
    assert all(np.abs(a - b).mean() > 2 for a, b in pairwise(halves))


def test_photos_need_the_network_that_paints_them(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(paint_pairs.main, "photos", tmp_path, tmp_path / "out")
    assert "--run RUN is needed with photos, and with them alone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_drawn_facades_differ_and_one_grows_part_by_part(run: Run, tmp_path: Path) -> None:
    run(draw_facades.main, tmp_path / "plans", "--count", 3)
    plans = [read_picture(path) for path in sorted((tmp_path / "plans").iterdir())]
    assert len(plans) == 3
    for plan in plans:
        assert plan is not None
        colours = {tuple(colour) for colour in plan.reshape(-1, 3).tolist()}
        assert {draw_facades.WALL, draw_facades.WINDOW, draw_facades.DOOR, draw_facades.CORNICE} <= colours
    assert not np.array_equal(plans[0], plans[1])  # type: ignore[arg-type]
    run(draw_facades.main, tmp_path / "growing", "--growing", 30)
    frames = [read_picture(path) for path in sorted((tmp_path / "growing").iterdir())]
    bare = [int((frame == draw_facades.WALL).all(axis=2).sum()) for frame in frames if frame is not None]
    assert bare[0] == draw_facades.SIDE**2
    assert len(bare) == 30
    assert len(set(bare)) >= 20
    assert bare[-1] == bare[-2] < 0.8 * bare[0]


def test_photos_get_the_lightness_of_paintings_and_stronger_colours() -> None:
    dark, pale = (
        np.clip(drawn_picture(64, 64).astype(float) * scale + shift, 0, 255).astype(np.uint8)
        for scale, shift in ((0.5, 0), (0.4, 120))
    )
    lit = paint_pairs.Light([dark], [pale])(dark)
    assert abs(float(lit.mean()) - float(pale.mean())) < 6
    assert float(pale.mean()) - float(dark.mean()) > 80
    gray = np.full((4, 4, 3), 90, np.uint8)
    assert np.ptp(paint_pairs.Light([dark], [dark])(gray)) <= 1
    coloured = np.full((4, 4, 3), (110, 90, 90), np.uint8)
    stronger = paint_pairs.Light([dark], [dark])(coloured)[0, 0]
    assert int(stronger[0]) - int(stronger[1]) >= 24
