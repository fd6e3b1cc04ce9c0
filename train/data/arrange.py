"""People's folders become data folders: domains found, every tenth image held out."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from train.config import Pix2Pix, Training, TwoDomains
from train.data.fingerprint import find_near, take_fingerprint
from train.data.images import image_paths, is_image, load_image
from train.errors import DataError

FOLDERS = (("A", "B"), ("input", "target"), ("inputs", "targets"), ("source", "target"), ("from", "to"))
"""Names of two folders that are taken for the domains A and B."""
SPLITS = {"train": "train", "test": "test", "val": "test"}
"""Splits within such folders, as the authors of pix2pix lay them out, and what they become."""
HELD_SHARE = 0.1
FEWEST_HELD = 4
"""Held-out images that a validation needs."""
FEWEST_SPLIT = 16
"""Images of which some are held out; fewer all train."""

Domains = dict[str, list[tuple[str, Path]]]
"""Images by folder of the layout, each with the name it gets there."""
Config = TypeVar("Config", bound=Training)


def arrange(config: Config, say: Callable[[str], None]) -> Config:
    """Return the settings with --data as training reads it; RUN/data is made of links where it is not so.

    Raises:
        DataError: --from or --to is missing, or has no image; pairs do not have equal names.
    """
    if not isinstance(config, TwoDomains):
        return config
    paired = isinstance(config, Pix2Pix)
    if config.source is not None or config.target is not None:
        if config.source is None or config.target is None:
            raise DataError("--from and --to go together: give the folder to translate from and the one to")
        found = _from_folders(config.source, config.target, paired)
    elif (layout := _find(config.data, paired)) is not None:
        found = layout
    else:
        return config
    data = config.run / "data"
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise DataError(
            "several processes share a folder that has trainA and trainB (testA, testB): start once with one "
            f"process, which makes {data}, and give --data {data}"
        )
    if not config.resume:
        _link(data, found)
    counts = ", ".join(f"{len(files)} in {name}" for name, files in sorted(found.items()))
    say(f"data: {data}, links to your images: {counts}")
    return dataclasses.replace(config, data=data, source=None, target=None)


def _find(data: Path, paired: bool) -> Domains | None:
    """Find two domains in a folder laid out otherwise; None: it is as training reads it, or unknown."""
    if not data.is_dir() or any((data / name).is_dir() for name in ("trainA", "trainB")):
        return None
    folders = {path.name: path for path in sorted(data.iterdir()) if path.is_dir()}
    chosen = [(folders[a], folders[b]) for a, b in FOLDERS if a in folders and b in folders]
    for a in folders:
        if a.endswith(("_A", "-A")) and (b := f"{a[:-1]}B") in folders:
            chosen.append((folders[a], folders[b]))
    if not chosen and (within := folders.get("train")) is not None:
        return _nested(data, within)
    if chosen:
        return _from_folders(*chosen[0], paired)
    return _from_suffixes(data) if paired else None


def _nested(data: Path, train: Path) -> Domains | None:
    """Find train/A and train/B, test/A and test/B; None where there are none."""
    if not all((train / domain).is_dir() for domain in "AB"):
        return None
    found: Domains = {}
    for split, kind in SPLITS.items():
        for domain in "AB":
            if (folder := data / split / domain).is_dir():
                found.setdefault(f"{kind}{domain}", []).extend(_named(image_paths(folder)))
    return found


def _from_folders(folder_A: Path, folder_B: Path, paired: bool) -> Domains:
    """Split two folders, or take their own train, val and test."""
    both = {"A": folder_A, "B": folder_B}
    if all((folder / "train").is_dir() for folder in both.values()):
        found: Domains = {}
        for split, kind in SPLITS.items():
            if all((folder / split).is_dir() for folder in both.values()):
                for domain, folder in both.items():
                    found.setdefault(f"{kind}{domain}", []).extend(_named(image_paths(folder / split)))
        return found
    images = {domain: _named(image_paths(folder)) for domain, folder in both.items()}
    if paired:
        return _split_pairs(_partners(images, folder_A, folder_B))
    parts: Domains = {}
    for domain, files in images.items():
        held = _held_out([files])
        parts[f"train{domain}"] = [file for number, file in enumerate(files) if number not in held]
        if held:
            parts[f"test{domain}"] = [files[number] for number in sorted(held)]
    return parts


def _from_suffixes(data: Path) -> Domains | None:
    """Find pairs by the end of their names in one folder: 001_A.jpg and 001_B.jpg."""
    files = [path for path in sorted(data.iterdir()) if is_image(path)]
    images: dict[str, list[tuple[str, Path]]] = {"A": [], "B": []}
    for path in files:
        for domain in "AB":
            if path.stem.endswith((f"_{domain}", f"-{domain}")):
                images[domain].append((path.stem[:-2] + path.suffix, path))
    if not images["A"] or not images["B"]:
        return None
    return _split_pairs(_partners(images, data, data))


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    return [(path.name, path) for path in paths]


def _partners(
    images: Mapping[str, Sequence[tuple[str, Path]]], folder_A: Path, folder_B: Path
) -> dict[str, list[tuple[str, Path]]]:
    """Return pairs in one order."""
    ours, theirs = ({Path(name).stem: (name, path) for name, path in images[domain]} for domain in "AB")
    if alone := sorted(ours.keys() ^ theirs.keys()):
        raise DataError(
            f"wrong pairs in {folder_A} and {folder_B}: {len(alone)} image(s) have no partner of their name, "
            f"the first is {alone[0]}; needed are equal names, for unpaired images use cyclegan"
        )
    stems = sorted(ours)
    return {"A": [ours[stem] for stem in stems], "B": [theirs[stem] for stem in stems]}


def _split_pairs(pairs: Mapping[str, Sequence[tuple[str, Path]]]) -> Domains:
    held = _held_out([pairs["A"], pairs["B"]])
    found: Domains = {}
    for domain in "AB":
        files = pairs[domain]
        found[f"train{domain}"] = [file for number, file in enumerate(files) if number not in held]
        if held:
            found[f"test{domain}"] = [files[number] for number in sorted(held)]
    return found


def _held_out(sides: Sequence[Sequence[tuple[str, Path]]]) -> set[int]:
    """Return the numbers of about a tenth of the images; what is nearly the same stays on one side."""
    count = len(sides[0])
    if count < FEWEST_SPLIT:
        return set()
    group = _groups(sides)
    wanted, held = max(FEWEST_HELD, round(HELD_SHARE * count)), set[int]()
    members: dict[int, set[int]] = {}
    for number, first in enumerate(group):
        members.setdefault(first, set()).add(number)
    # Evenly spread over the names, so that one series of photos is not the whole held-out set.
    stride = max(1, len(members) // wanted)
    order = list(members.values())
    for same in [*order[stride - 1 :: stride], *order]:
        if len(held) < wanted and len(held | same) <= max(2 * wanted, FEWEST_HELD) and not same & held:
            held |= same
    return held if len(held) < count else set()


def _groups(sides: Sequence[Sequence[tuple[str, Path]]]) -> list[int]:
    """Return for each image the number of the first one that it is nearly the same as, by way of others."""
    group = list(range(len(sides[0])))

    def first(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    for files in sides:
        read = [(number, load_image(path)) for number, (_, path) in enumerate(files)]
        known = [(number, take_fingerprint(rgb)) for number, rgb in read if rgb is not None]
        for i, j in find_near([fingerprint for _, fingerprint in known]):
            one, other = sorted((first(known[i][0]), first(known[j][0])))
            group[other] = one
    return [first(number) for number in range(len(group))]


def _link(data: Path, found: Domains) -> None:
    """Make the data folder: symbolic links, or copies where the file system has none."""
    part = data.with_name(data.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name, files in found.items():
            (part / name).mkdir(parents=True)
            for called, path in files:
                try:
                    (part / name / called).symlink_to(path.resolve())
                except OSError:  # Windows without the right to link
                    shutil.copyfile(path, part / name / called)
        shutil.rmtree(data, ignore_errors=True)
        part.rename(data)
    except OSError as error:
        raise DataError(f"data folder {data} cannot be made: {error.strerror}") from None
