"""The images that the gallery's styles learn from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.support.onnx_styles import drawn_image
from tests.support.training import tiny, train_tiny
from tools.gallery import draw_facades, paint_pairs, select_snow
from train.checkpoint import BEST
from train.config import Pix2Pix
from train.data.images import load_image, save_image
from train.nets import make_generator

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
    assert np.array_equal(paint_pairs.flattened(plain, 4), plain)
    edge = plain.copy()
    edge[:, 32:] = (200, 20, 60)
    assert np.abs(paint_pairs.flattened(edge, 4).astype(int) - edge).max() <= 1
    grain = np.clip(plain + rng.normal(0, 12, plain.shape), 0, 255).astype(np.uint8)
    left = paint_pairs.flattened(grain, 4).astype(float) - plain
    assert left.std() < 0.5 * (grain.astype(float) - plain).std()


def test_paintings_stand_beside_themselves_flattened_and_graded(run: Run, tmp_path: Path) -> None:
    painting = drawn_image(256, 256)
    for split in ("trainA", "testA"):
        (tmp_path / "data" / split).mkdir(parents=True)
        save_image(tmp_path / "data" / split / "a.png", painting)
    run(paint_pairs.main, "paintings", tmp_path / "data", tmp_path / "out", "--variants", 3)
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*/*"))
    assert names == ["test/00000.png", "train/00000.png", "train/00001.png", "train/00002.png"]
    pairs = [load_image(tmp_path / "out" / name) for name in names]
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
    plans = [load_image(path) for path in sorted((tmp_path / "plans").iterdir())]
    assert len(plans) == 3
    for plan in plans:
        assert plan is not None
        colours = {tuple(colour) for colour in plan.reshape(-1, 3).tolist()}
        assert {draw_facades.WALL, draw_facades.WINDOW, draw_facades.DOOR, draw_facades.CORNICE} <= colours
    first, second = plans[:2]
    assert first is not None
    assert second is not None
    assert not np.array_equal(first, second)
    run(draw_facades.main, tmp_path / "growing", "--growing", 30)
    frames = [load_image(path) for path in sorted((tmp_path / "growing").iterdir())]
    bare = [int((frame == draw_facades.WALL).all(axis=2).sum()) for frame in frames if frame is not None]
    assert bare[0] == draw_facades.SIZE[0] * draw_facades.SIZE[1]
    assert len(bare) == 30
    assert len(set(bare)) >= 20
    assert bare[-1] == bare[-2] < 0.8 * bare[0]


def test_photos_get_the_lightness_of_paintings_veiled_and_broken_colours() -> None:
    dark, pale = (
        np.clip(drawn_image(64, 64).astype(float) * scale + shift, 0, 255).astype(np.uint8)
        for scale, shift in ((0.5, 0), (0.4, 120))
    )
    lit = paint_pairs.Light([dark], [pale])(dark)
    assert abs(float(lit.mean()) - float(pale.mean())) < 6
    assert float(pale.mean()) - float(dark.mean()) > 80
    ramp = np.repeat(np.linspace(20, 235, 64).astype(np.uint8)[:, None, None], 3, axis=2).repeat(64, axis=1)
    veiled = paint_pairs.Light([ramp], [ramp])(ramp).astype(int)
    darkest, middle, lightest = (int(veiled[row, 32, 0]) - int(ramp[row, 32, 0]) for row in (4, 32, -5))
    assert abs(middle) <= 8
    assert darkest > 10
    assert lightest < -10
    same = paint_pairs.Light([dark], [dark])
    gray = np.full((64, 64, 3), 90, np.uint8)
    assert np.ptp(same(gray)) <= 1
    dabs = np.full((64, 64, 3), (110, 90, 90), np.uint8)
    dabs[16:20, 16:20] = (90, 90, 110)
    apart, before = same(dabs), dabs.astype(int)
    for rgb, most in ((apart.astype(int), 2.4), (before, 1.0)):
        bluer = (rgb[18, 18] - rgb[50, 50])[2] - (rgb[18, 18] - rgb[50, 50])[0]
        assert bluer >= most * 40


def test_what_is_painted_at_several_places_comes_back_where_it_was() -> None:
    flat = drawn_image(48, 64, seed=4)
    assert np.array_equal(paint_pairs._painted(make_generator("hg48", "none").eval(), flat), flat)


def test_photos_are_painted_by_the_newest_network_the_first_of_each_as_it_is(
    run: Run, tmp_path: Path
) -> None:
    for folder, seed in (("trainA", 1), ("trainB", 2), ("testA", 3)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        save_image(tmp_path / "data" / folder / "a.png", drawn_image(256, 272, seed=seed))
    pairs = tmp_path / "pairs"
    run(paint_pairs.main, "paintings", tmp_path / "data", pairs, "--variants", 1)
    painter = tiny(Pix2Pix, pairs, tmp_path / "painter", steps=1)
    train_tiny(painter)
    (painter.run / BEST).unlink(missing_ok=True)
    (painter.run / BEST).write_bytes(b"not looked at")
    painted = tmp_path / "painted"
    run(paint_pairs.main, "photos", tmp_path / "data", painted, "--run", painter.run, "--variants", 2)
    first, second = (load_image(painted / "train" / f"0000{number}.png") for number in (0, 1))
    assert first is not None
    assert second is not None
    assert np.array_equal(first[:, :272], drawn_image(256, 272, seed=1))
    assert not np.array_equal(second[:, :272], first[:, :272])
    assert first.shape == (256, 544, 3)
    assert np.abs(first[:, 272:].astype(int) - first[:, :272]).mean() > 5


def test_tools_say_in_one_line_what_they_cannot_read_or_would_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tool", str(tmp_path / "nothing"), str(tmp_path / "out")])
    assert select_snow.main() == 1
    assert capsys.readouterr().err == (
        f"error: no folder {tmp_path}/nothing/trainA: needed is a folder with images\n"
    )
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(sys, "argv", ["tool", str(tmp_path)])
    with pytest.raises(SystemExit, match=rf"^error: {tmp_path} exists: remove it, or give another folder$"):
        draw_facades.main()
