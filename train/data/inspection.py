"""What is wrong with a folder of training images."""

from __future__ import annotations

import io
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from rt.errors import SourceError
from rt.image import StillImage, is_litter, read_image
from rt.text import first_few
from train.config import Pix2Pix, Training
from train.data.fingerprint import Fingerprint, find_near, take_fingerprint
from train.data.images import SUFFIXES, is_image
from train.errors import DataError

SIDE_BY_SIDE = 1.2
"""Width over height from which an image may be two, of upright ones."""
SHOWN_NAMES = 5
"""Files named per finding; the others are counted."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Check:
    """Look for damaged, doubled, leaked and wrongly paired images in a data folder."""

    data: Annotated[Path, tyro.conf.Positional]
    """Folder with trainA and trainB, with train and test of pairs, with one per class, or of images."""
    pairs: Literal["auto", "yes", "no"] = "auto"
    """Whether images are paired, side by side or by name in two folders; auto: where most of them fit."""


@dataclass(frozen=True, eq=False)
class Image:
    """What is known of one readable image."""

    path: Path
    height: int
    width: int
    mode: str
    """As stored: rgb, grey, alpha, 16-bit, and where an image is stored turned, `, turned`."""
    equal_halves: bool
    """The left half is the right half."""
    print: Fingerprint


@dataclass(frozen=True, eq=False)
class Group:
    """The images of one folder."""

    name: str
    """Relative to the data folder."""
    split: str
    """train, val, test, or nothing."""
    domain: str
    """A, B, the name of a class, or nothing."""
    images: list[Image]
    damaged: list[str]
    """Names of files that cannot be decoded."""


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    text: str
    """A table of the folders, then faults and notes, one a line."""
    faults: tuple[str, ...]
    """What spoils a training run or its figures."""
    notes: tuple[str, ...]
    """What is worth a look."""


def inspect_data(config: Check, show: Callable[[int, int], None] = lambda done, total: None) -> Inspection:
    """Decode every image of a data folder and report what is wrong.

    Args:
        config: which folder.
        show: called with the number of images done and their total.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    groups = read_groups(config.data, show)
    faults, doubled = _exact(groups)
    faults = [*_empty(groups), *_damaged(groups), *faults, *_wrong_pairs(groups, config.pairs)]
    notes = [*_missing(groups), *doubled, *_near(groups)]
    lines = [_table(groups), *(f"fault: {fault}" for fault in faults), *(f"note: {note}" for note in notes)]
    lines.append("no faults" if not faults else f"{len(faults)} fault(s)")
    return Inspection("\n".join(lines), tuple(faults), tuple(notes))


def refuse_wrong_pairs(config: Training, say: Callable[[str], None]) -> None:
    """Look through the images of a run; say what is wrong, and refuse pairs that are none.

    Raises:
        DataError: what should be pairs is not.
    """
    if not config.data.is_dir():
        return  # what is needed there is said by who opens it
    try:
        groups = read_groups(config.data, lambda done, total: None)
    except DataError:
        return
    paired = isinstance(config, Pix2Pix) and config.pair == "none"
    singles = [group for group in groups if paired and group.domain not in ("A", "B") and group.images]
    for group in singles:
        wide = [image for image in group.images if image.width >= SIDE_BY_SIDE * image.height]
        if 2 * len(wide) < len(group.images):
            found = f"{len(group.images)} images ({_sizes(group.images)})"
            raise DataError(
                f"no pairs in {config.data / group.name}: its {found} are not two "
                "side by side each; give two folders (--from DIR --to DIR), for photos alone --pair gray or "
                "--pair edges, or use cyclegan"
            )
    if paired and (wrong := _wrong_pairs(groups, "auto")):
        raise DataError(f"wrong pairs, {wrong[0]}; type videobrush-train check {config.data} for all of it")
    exact, _ = _exact(groups)
    for fault in exact:
        say(f"warning: {fault}")


def read_groups(data: Path, show: Callable[[int, int], None]) -> list[Group]:
    """Read every folder of images in `data`, itself included, two levels deep, in name order.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not data.is_dir():
        raise DataError(f"no folder {data}")
    folders = [data, *_folders(data)]
    found = {folder: _files(folder) for folder in folders}
    found = {folder: paths for folder, paths in found.items() if paths or _should_hold(data, folder, found)}
    total = sum(map(len, found.values()))
    if total == 0:
        raise DataError(f"no image in {data}: needed is one of {', '.join(SUFFIXES)}")
    groups, done = [], 0
    for folder, paths in found.items():
        images, damaged = [], []
        for path in paths:
            image = _read(path)
            if image is None:
                damaged.append(path.name)
            else:
                images.append(image)
            done += 1
            show(done, total)
        groups.append(Group(*_place(data, folder), images, damaged))
    return groups


def _folders(data: Path) -> list[Path]:
    """Return the folders in a data folder, two levels deep, without those that a system left there."""
    outer = sorted(path for path in data.iterdir() if path.is_dir() and not is_litter(path))
    inner = [path for each in outer for path in each.iterdir() if path.is_dir() and not is_litter(path)]
    return sorted([*outer, *inner])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_image(path))


def _should_hold(data: Path, folder: Path, found: Mapping[Path, Sequence[Path]]) -> bool:
    """Tell whether a folder without images is a domain or a class that should hold some.

    A class is one whose neighbours hold images, while it has no folders itself.
    """
    if folder.parent == data and re.fullmatch(r"(train|val|test)[AB]", folder.name):
        return True
    if folder == data or any(path.is_dir() for path in folder.iterdir()):
        return False
    return any(paths for other, paths in found.items() if other != data and other.parent == folder.parent)


def _place(data: Path, folder: Path) -> tuple[str, str, str]:
    """Return name, split and domain of a folder: trainA, train/A and A/train are the same place."""
    parts = folder.relative_to(data).parts
    split = domain = ""
    for part in parts:
        match = re.fullmatch(r"(train|val|test)_?([AB]?)", part)
        if match:
            split, domain = match[1], match[2] or domain
        else:
            domain = part
    return "/".join(parts) or ".", split, domain


def _read(path: Path) -> Image | None:
    try:
        still = read_image(path)
    except SourceError:
        return None
    rgb = still.rgb
    height, width = still.size
    half = width // 2
    equal_halves = width % 2 == 0 and np.array_equal(rgb[:, :half], rgb[:, half:]) and bool(rgb.std() > 0)
    return Image(path, height, width, _mode(still), equal_halves, take_fingerprint(rgb))


def _mode(still: StillImage) -> str:
    """Say how an image is stored."""
    red, green, blue = (still.rgb[..., channel] for channel in range(3))
    mode = still.stored
    if mode in ("rgb", "alpha") and np.array_equal(red, green) and np.array_equal(green, blue):
        mode = "grey"
    return f"{mode}, turned" if still.turned else mode


Finding = tuple[list[str], list[str]]
"""Faults and notes."""


def _empty(groups: Sequence[Group]) -> list[str]:
    empty = [group for group in groups if not group.images and not group.damaged]
    return [f"{group.name}: no image" for group in empty]


def _damaged(groups: Sequence[Group]) -> list[str]:
    return [
        f"{group.name}: {len(group.damaged)} damaged: {_names(group.damaged)}"
        for group in groups
        if group.damaged
    ]


def _missing(groups: Sequence[Group]) -> list[str]:
    """Note what a run would do without."""
    places = {(group.split, group.domain) for group in groups if group.images}
    notes = []
    for split in SPLITS:
        present = [domain for domain in "AB" if (split, domain) in places]
        if len(present) == 1:
            lacking = "B" if present == ["A"] else "A"
            notes.append(f"{split}{present[0]} has images but {split}{lacking} has none")
    splits = {split for split, _ in places}
    if "train" in splits and not splits & {"val", "test"}:
        notes.append("no test or val images: a run would be judged by what it was trained on")
    return notes


Shared = dict[tuple[Group, Group], list[str]]
"""What two folders have in common, or one folder has twice: `this.jpg = that.jpg`."""


def _exact(groups: Sequence[Group]) -> Finding:
    """Find equal images: a leak between splits, a mistake between domains, a doubling within a folder."""
    places: dict[bytes, list[tuple[Group, Image]]] = defaultdict(list)
    for group in groups:
        for image in group.images:
            places[image.print.pixels].append((group, image))
    shared: Shared = defaultdict(list)
    for same in places.values():
        for (group, image), (other, twin) in itertools.combinations(same, 2):
            shared[group, other].append(f"{image.path.name} = {twin.path.name}")
    faults, notes = [], []
    for (group, other), names in shared.items():
        if group is other:
            notes.append(f"{group.name} holds {len(names)} image(s) twice: {_names(names)}")
        else:
            what = "in both domains" if group.domain != other.domain else "a leak"
            faults.append(
                f"{group.name} and {other.name} share {len(names)} image(s), {what}: {_names(names)}"
            )
    return faults, notes


def _near(groups: Sequence[Group]) -> list[str]:
    """Note nearly equal images, which only eyes can judge."""
    known = [(group, image) for group in groups for image in group.images]
    shared: Shared = defaultdict(list)
    for i, j in find_near([image.print for _, image in known]):
        (group, image), (other, twin) = known[i], known[j]
        if image.print.pixels == twin.print.pixels:
            continue
        # Both sides of a pair, which have one name, may well look alike.
        if group.domain == other.domain or image.path.stem != twin.path.stem:
            shared[group, other].append(f"{image.path.name} ~ {twin.path.name}")
    notes = []
    for (group, other), names in shared.items():
        where = f"{group.name} holds" if group is other else f"{group.name} and {other.name} share"
        notes.append(f"{where} {len(names)} nearly equal image(s), look at them: {_names(names)}")
    return notes


def _wrong_pairs(groups: Sequence[Group], pairs: str) -> list[str]:
    if pairs == "no":
        return []
    faults: list[str] = []
    by_place = {(group.split, group.domain): group for group in groups}
    for group in groups:
        partner = by_place.get((group.split, "B"))
        if group.domain == "A" and partner is not None:
            faults += _two_folders(group, partner, pairs)
        elif group.domain not in ("A", "B") and (group.split or pairs == "yes"):
            faults += _side_by_side(group, pairs)
    return faults


def _two_folders(group: Group, partner: Group, pairs: str) -> list[str]:
    """Compare names and sizes of two folders of pairs: told so, or nine names of ten have a partner."""
    ours = {image.path.stem: image for image in group.images}
    theirs = {image.path.stem: image for image in partner.images}
    both = ours.keys() & theirs.keys()
    if pairs == "auto" and len(both) < 0.9 * max(len(ours), len(theirs)):
        return []
    where, faults = f"{group.name} and {partner.name}", []
    if alone := sorted(ours.keys() ^ theirs.keys()):
        faults.append(f"{where}: {len(alone)} without a partner of that name: {_names(alone)}")
    unequal = [
        f"{name} {_size(ours[name])} and {_size(theirs[name])}"
        for name in sorted(both)
        if _size(ours[name]) != _size(theirs[name])
    ]
    if unequal:
        faults.append(f"{where}: {len(unequal)} pairs of unequal sizes: {_names(unequal)}")
    return faults


def _side_by_side(group: Group, pairs: str) -> list[str]:
    """Compare widths and halves of side-by-side pairs: told so, or most are twice as wide as high."""
    wrong = [image for image in group.images if image.width != 2 * image.height]
    if pairs == "auto" and 2 * len(wrong) >= len(group.images):
        return []
    faults = []
    if wrong:
        names = [f"{image.path.name} {_size(image)}" for image in wrong]
        faults.append(f"{group.name}: {len(wrong)} not twice as wide as high, so no pairs: {_names(names)}")
    if same := [image.path.name for image in group.images if image.equal_halves]:
        faults.append(f"{group.name}: {len(same)} with the same image on both sides: {_names(same)}")
    return faults


def _size(image: Image) -> str:
    return f"{image.height}×{image.width}"


def _names(names: Sequence[str]) -> str:
    return first_few(names, SHOWN_NAMES)


def _table(groups: Sequence[Group]) -> str:
    """Return the folders as a plain text table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("folder", "images", "damaged", "height×width", "stored as"):
        table.add_column(heading, justify="right" if heading in ("images", "damaged") else "left")
    for group in groups:
        table.add_row(
            group.name,
            str(len(group.images)),
            str(len(group.damaged)),
            _sizes(group.images),
            _counted(image.mode for image in group.images),
        )
    written = io.StringIO()
    Console(file=written, width=200).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().rstrip().splitlines())


def _sizes(images: Sequence[Image]) -> str:
    sizes = sorted({(image.height, image.width) for image in images}, key=lambda size: size[0] * size[1])
    if not sizes:
        return "-"
    spelled = [f"{height}×{width}" for height, width in sizes]
    return spelled[0] if len(sizes) == 1 else f"{spelled[0]} to {spelled[-1]}, {len(sizes)} sizes"


def _counted(modes: Iterable[str]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for mode in modes:
        counts[mode] += 1
    return (
        ", ".join(f"{count} {mode}" for mode, count in sorted(counts.items(), key=lambda item: -item[1]))
        or "-"
    )
