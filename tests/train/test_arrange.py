"""People's folders: every layout becomes a data folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.drawings import COLOURS, draw_image
from train.config import CycleGan, Pix2Pix
from train.data.arrange import arrange
from train.data.folders import open_pairs, open_unpaired
from train.data.images import save_image
from train.data.inspection import refuse_wrong_pairs
from train.errors import DataError

SMALL: dict[str, Any] = {"load_size": 36, "crop_size": 32, "patch": "16", "generator": "hg48", "steps": 1}


def fill(folder: Path, names: list[str], domain: str, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        save_image(folder / name, draw_image(40, 44, seed + number, COLOURS[domain]))


def names(count: int, ending: str = ".png") -> list[str]:
    return [f"{number:03d}{ending}" for number in range(count)]


def counted(data: Path) -> dict[str, int]:
    return {folder.name: len(list(folder.iterdir())) for folder in sorted(data.iterdir())}


LAYOUTS = ["A B", "input target", "photos_A paintings_B", "train/A train/B", "source target"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [6, 40])
def test_unpaired_folders_of_every_layout_are_found_and_split(
    tmp_path: Path, layout: str, count: int
) -> None:
    for name, domain in zip(layout.replace("photos_A paintings_B", "x_A x_B").split(), "AB", strict=True):
        fill(tmp_path / "data" / name, names(count), domain, 1000 * ord(domain))
    said: list[str] = []
    config = arrange(CycleGan(data=tmp_path / "data", run=tmp_path / "run", **SMALL), said.append)
    assert config.data == tmp_path / "run" / "data"
    found = counted(config.data)
    held = {} if count == 6 or "/" in layout else {"testA": 4, "testB": 4}
    assert found == {"trainA": count - held.get("testA", 0), "trainB": count - held.get("testB", 0), **held}
    assert said[0].startswith(f"data: {config.data}, links to your images: ")
    feed = open_unpaired(config, 8)
    assert feed.counts == {"trainA": found["trainA"], "trainB": found["trainB"]}


def test_from_and_to_are_two_folders_anywhere(tmp_path: Path) -> None:
    fill(tmp_path / "summer", names(20), "A")
    fill(tmp_path / "snow", names(30), "B", 500)
    both: dict[str, Any] = {"source": tmp_path / "summer", "target": tmp_path / "snow"}
    config = arrange(CycleGan(data=tmp_path / "run/data", run=tmp_path / "run", **both, **SMALL), print)
    assert counted(config.data) == {"testA": 4, "testB": 4, "trainA": 16, "trainB": 26}
    linked = next((config.data / "trainA").iterdir())
    assert linked.resolve().parent == (tmp_path / "summer").resolve()
    with pytest.raises(DataError, match="--from and --to go together"):
        arrange(CycleGan(data=tmp_path, run=tmp_path, source=tmp_path / "summer", **SMALL), print)
    os.environ["WORLD_SIZE"] = "2"
    try:
        with pytest.raises(DataError, match="several processes share a folder that has trainA and trainB"):
            arrange(CycleGan(data=tmp_path, run=tmp_path, **both, **SMALL), print)
    finally:
        del os.environ["WORLD_SIZE"]


@pytest.mark.parametrize("layout", ["A B", "input target", "A/train B/train", "suffixes", "from to"])
def test_pairs_of_every_layout_keep_their_partners(tmp_path: Path, layout: str) -> None:
    data, count = tmp_path / "data", 20
    options: dict[str, Any] = {}
    for domain in "AB":
        if layout == "suffixes":
            fill(data, [f"{stem}_{domain}.png" for stem in names(count, "")], domain)
            continue
        folder = data / layout.split()["AB".index(domain)]
        fill(folder, names(count), domain)
        if "/" in layout:
            fill(folder.parent / "val", names(5), domain, 300)
    if layout == "from to":
        options = {"source": data / "from", "target": data / "to"}
    config = arrange(Pix2Pix(data=data, run=tmp_path / "run", **options, **SMALL), print)
    held = 5 if "/" in layout else 4
    trained = 20 if "/" in layout else 16
    assert counted(config.data) == {"testA": held, "testB": held, "trainA": trained, "trainB": trained}
    for split in ("train", "test"):
        ours, theirs = (sorted(p.name for p in (config.data / f"{split}{d}").iterdir()) for d in "AB")
        assert ours == theirs
    assert len(open_pairs(config, 8).inputs) == trained


def test_what_training_reads_as_it_is_is_left_alone(tmp_path: Path) -> None:
    for name in ("trainA", "trainB"):
        fill(tmp_path / name, names(3), name[-1])
    config = CycleGan(data=tmp_path, run=tmp_path / "run", **SMALL)
    assert arrange(config, print) is config
    assert not (tmp_path / "run").exists()


def test_nearly_equal_images_are_on_one_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fill(tmp_path / "B", names(20), "B", 900)
    (tmp_path / "A").mkdir()
    for scene in range(10):  # ten scenes of three frames that hardly differ
        rgb = draw_image(40, 44, 7000 + 37 * scene, COLOURS["A"])
        rgb = np.roll(rgb, 4 * scene, axis=scene % 2)
        for frame in range(3):
            noise = rng.integers(-1, 2, rgb.shape)
            save_image(tmp_path / "A" / f"{scene}-{frame}.png", np.clip(rgb + noise, 0, 255).astype(np.uint8))
    config = arrange(CycleGan(data=tmp_path, run=tmp_path / "run", **SMALL), print)
    sides = [
        {path.name.partition("-")[0] for path in (config.data / f"{split}A").iterdir()}
        for split in ("train", "test")
    ]
    assert not sides[0] & sides[1]
    assert sides[1]


def test_partners_that_are_missing_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "A", names(3), "A")
    fill(tmp_path / "B", names(2), "B")
    with pytest.raises(DataError, match=r"1 image\(s\) have no partner of their name, the first is 002;"):
        arrange(Pix2Pix(data=tmp_path, run=tmp_path / "run", **SMALL), print)


def test_single_images_are_not_taken_for_pairs(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for number in range(48):
        save_image(tmp_path / "train" / f"{number}.png", draw_image(40, 40, number, COLOURS["A"]))
    config = Pix2Pix(data=tmp_path, run=tmp_path / "run", **SMALL)
    with pytest.raises(DataError, match=r"no pairs in .*train: its 48 images \(40×40\) are not two side by"):
        refuse_wrong_pairs(config, print)
    gray = Pix2Pix(data=tmp_path, run=tmp_path / "run", pair="gray", **SMALL)
    refuse_wrong_pairs(gray, print)
