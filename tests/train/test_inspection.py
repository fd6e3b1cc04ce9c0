"""What `videobrush-train check` finds in a data folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from rt.frame import Rgb
from tests.support.drawings import COLOURS, draw_image, make_domains
from tests.support.training import make_classes
from train.data.fingerprint import are_near, find_near, take_fingerprint
from train.data.images import save_image
from train.data.inspection import Check, Inspection, inspect_data
from train.errors import DataError


def draw(seed: int, size: tuple[int, int] = (64, 64), domain: str = "A") -> Rgb:
    """An image unlike those of other seeds: waves with blocks of its own."""
    image = draw_image(*size, seed, COLOURS[domain])
    rng = np.random.default_rng(seed)
    for top, left in rng.integers(0, (size[0] - 20, size[1] - 20), (6, 2)):
        image[top : top + 20, left : left + 20] = rng.integers(0, 256, 3)
    return image


def fill(folder: Path, seeds: range, size: tuple[int, int] = (64, 64)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        save_image(folder / f"{seed:03d}.png", draw(seed, size))
    return folder


def inspect(folder: Path, pairs: str = "auto") -> Inspection:
    return inspect_data(Check(folder, pairs))  # type: ignore[arg-type]


def test_a_clean_set_has_no_faults_and_a_table_of_its_folders(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", range(0, 4))
    fill(tmp_path / "trainB", range(10, 15))
    fill(tmp_path / "testA", range(20, 22), (48, 80))
    fill(tmp_path / "testB", range(30, 32))
    found = inspect(tmp_path)
    assert found.faults == ()
    assert found.notes == ()
    assert found.text.splitlines() == [
        "folder  images  damaged  height×width  stored as",
        "testA        2        0  48×80         2 rgb",
        "testB        2        0  64×64         2 rgb",
        "trainA       4        0  64×64         4 rgb",
        "trainB       5        0  64×64         5 rgb",
        "no faults",
    ]


def test_sizes_and_modes_are_told(tmp_path: Path) -> None:
    fill(tmp_path, range(0, 2))
    save_image(tmp_path / "wide.png", draw(7, (64, 200)))
    cv2.imwrite(str(tmp_path / "grey.png"), draw(8)[..., 0])
    cv2.imwrite(str(tmp_path / "deep.png"), draw(9).astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([draw(10), np.full((64, 64), 9, np.uint8)]))
    row = inspect(tmp_path).text.splitlines()[1]
    assert row.startswith(".            6        0  64×64 to 64×200, 2 sizes  3 rgb, ")
    for mode in ("1 grey", "1 16-bit", "1 alpha"):
        assert mode in row


def test_damaged_files_are_named_and_counted(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", range(3))
    (tmp_path / "trainA" / "bad.jpg").write_bytes(b"not an image")
    (tmp_path / "trainA" / "empty.webp").write_bytes(b"")
    (tmp_path / "trainA" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = inspect(tmp_path)
    assert found.faults == ("trainA: 3 damaged: bad.jpg, empty.webp, gone.png",)
    assert "trainA       3        3  64×64" in found.text
    assert found.text.endswith("1 fault(s)")


def test_the_same_image_twice_is_a_note_within_a_folder_and_a_fault_across(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", range(0, 4))
    fill(tmp_path / "trainB", range(10, 14))
    fill(tmp_path / "testA", range(20, 24))
    # The same pixels in another file format are the same image.
    cv2.imwrite(str(tmp_path / "trainA" / "twin.bmp"), cv2.cvtColor(draw(1), cv2.COLOR_RGB2BGR))
    save_image(tmp_path / "testA" / "leaked.png", draw(2))
    save_image(tmp_path / "trainB" / "strayed.png", draw(3))
    found = inspect(tmp_path)
    assert found.faults == (
        "testA and trainA share 1 image(s), a leak: leaked.png = 002.png",
        "trainA and trainB share 1 image(s), in both domains: 003.png = strayed.png",
    )
    assert "trainA holds 1 image(s) twice: 001.png = twin.bmp" in found.notes
    assert "testA has images but testB has none" in found.notes


def test_nearly_equal_images_are_notes_to_look_at(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", range(0, 5))
    fill(tmp_path / "trainB", range(10, 13))
    fill(tmp_path / "testA", range(20, 24))
    save_image(tmp_path / "testA" / "again.jpg", draw(2))  # JPEG changes pixels, not the image
    save_image(tmp_path / "trainB" / "strayed.jpg", draw(3))
    save_image(tmp_path / "trainB" / "001.jpg", draw(1))  # the other side of the pair 001
    smaller = cv2.resize(draw(4), (50, 50), interpolation=cv2.INTER_AREA).astype(np.uint8)
    save_image(tmp_path / "trainA" / "smaller.png", smaller)
    found = inspect(tmp_path)
    assert found.faults == ()
    assert found.notes[-3:] == (
        "testA and trainA share 1 nearly equal image(s), look at them: again.jpg ~ 002.png",
        "trainA and trainB share 1 nearly equal image(s), look at them: 003.png ~ strayed.jpg",
        "trainA holds 1 nearly equal image(s), look at them: 004.png ~ smaller.png",
    )


def test_side_by_side_pairs_of_a_wrong_width_or_with_equal_halves_are_faults(tmp_path: Path) -> None:
    fill(tmp_path / "train", range(0, 6), (32, 64))
    fill(tmp_path / "test", range(10, 13), (32, 64))
    save_image(tmp_path / "train" / "narrow.png", draw(50, (32, 48)))
    save_image(tmp_path / "test" / "same.png", np.concatenate([draw(60, (32, 32))] * 2, axis=1))
    assert inspect(tmp_path).faults == (
        "test: 1 with the same image on both sides: same.png",
        "train: 1 not twice as wide as high, so no pairs: narrow.png 32×48",
    )
    assert inspect(tmp_path, pairs="no").faults == ()


def test_pairs_in_two_folders_need_equal_names_and_sizes(tmp_path: Path) -> None:
    for domain, first in (("trainA", 0), ("trainB", 0)):
        fill(tmp_path / domain, range(first, first + 20))
    for seed in range(20):  # the other side of each pair
        save_image(tmp_path / "trainB" / f"{seed:03d}.png", 255 - draw(seed))
    assert inspect(tmp_path).faults == ()
    (tmp_path / "trainB" / "003.png").rename(tmp_path / "trainB" / "third.png")
    save_image(tmp_path / "trainB" / "005.png", draw(99, (32, 64)))
    assert inspect(tmp_path).faults == (
        "trainA and trainB: 2 without a partner of that name: 003, third",
        "trainA and trainB: 1 pairs of unequal sizes: 005 64×64 and 32×64",
    )


def test_unpaired_sets_that_share_some_numbers_are_not_taken_for_pairs(tmp_path: Path) -> None:
    fill(tmp_path / "trainA", range(0, 4))
    fill(tmp_path / "trainB", range(2, 10))
    for seed in range(2, 10):
        save_image(tmp_path / "trainB" / f"{seed:03d}.png", draw(100 + seed))
    assert inspect(tmp_path).faults == ()
    assert "8 without a partner" in inspect(tmp_path, pairs="yes").faults[0]


def test_a_split_may_be_the_outer_or_the_inner_folder_and_classes_are_domains(tmp_path: Path) -> None:
    fill(tmp_path / "A" / "train", range(0, 3))
    fill(tmp_path / "test" / "A", range(0, 1))
    fill(tmp_path / "cats", range(40, 43))
    found = inspect(tmp_path)
    assert found.faults == ("A/train and test/A share 1 image(s), a leak: 000.png = 000.png",)
    assert [line.split()[0] for line in found.text.splitlines()[1:4]] == ["A/train", "cats", "test/A"]


def test_missing_folders_and_splits_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder .*nowhere"):
        inspect(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no image in .*: needed is one of \.jpg, "):
        inspect(tmp_path)
    fill(tmp_path / "trainA", range(3))
    (tmp_path / "trainB").mkdir()
    found = inspect(tmp_path)
    assert found.notes == (
        "trainA has images but trainB has none",
        "no test or val images: a run would be judged by what it was trained on",
    )
    assert "trainB       0        0  -             -" in found.text


def test_progress_counts_every_file(tmp_path: Path) -> None:
    make_domains(tmp_path, count=2)
    shown: list[tuple[int, int]] = []
    inspect_data(Check(tmp_path), lambda done, total: shown.append((done, total)))
    assert shown == [(number, 8) for number in range(1, 9)]


def test_fingerprints_tell_a_reencoded_image_from_another_and_from_a_flat_one() -> None:
    image = draw(1)
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert decoded is not None
    first, again, other = (take_fingerprint(rgb) for rgb in (image, decoded.astype(np.uint8), draw(2)))
    assert first.pixels != again.pixels
    assert are_near(first, again)
    assert not are_near(first, other)
    dark, bright = (take_fingerprint(np.full((40, 40, 3), level, np.uint8)) for level in (20, 200))
    assert not are_near(dark, bright)
    assert find_near([first, other, again, dark, bright, dark]) == [(0, 2), (3, 5)]
    ramp = np.tile(np.arange(40, dtype=np.uint8)[None, :, None] // 5 + 100, (40, 1, 3))
    assert not are_near(take_fingerprint(ramp), take_fingerprint(ramp[:, ::-1]))  # fog and other fog
    many = [take_fingerprint(np.full((8, 8, 3), number % 250, np.uint8)) for number in range(1100)]
    assert len(find_near(many)) > 850  # more than one block
    assert find_near([]) == []


def test_a_class_or_a_domain_without_images_is_a_fault(tmp_path: Path) -> None:
    make_classes(tmp_path / "shapes", 2, side=40)
    (tmp_path / "shapes" / "star").mkdir()
    found = inspect_data(Check(data=tmp_path / "shapes"))
    assert "star: no image" in found.faults
    domains = make_domains(tmp_path / "domains", count=2, size=(40, 44))
    for path in (domains / "trainB").iterdir():
        path.unlink()
    assert "trainB: no image" in inspect_data(Check(data=domains)).faults
