"""The layouts of picture folders, opened for the recipes; what does not fit is refused here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from rt.card import View
from rt.frame import Rgb
from rt.image import is_litter
from rt.view import look_at
from train.config import Cgan, CycleGan, Dcgan, Distill, Gan, Paint, Pix2Pix, Training
from train.data.cache import PictureStore
from train.data.feed import InputFeed, NoiseFeed, PairedFeed, UnpairedFeed
from train.data.images import (
    PictureSet,
    load_pictures,
    name_damaged,
    picture_paths,
    read_picture,
    read_pictures,
    scale_short_side,
)
from train.errors import DataError

PHOTOS = Path(__file__).with_name("photos")
"""Photos that may be passed on; the terms of each are in the NOTICE beside them."""
HELD = 64
"""Most pictures of a kind that are held ready for sheets and validation."""


def open_unpaired(config: CycleGan, multiple: int) -> UnpairedFeed:
    """Open DATA/trainA and trainB; testA and testB are held where there are any, else training pictures.

    Raises:
        DataError: a folder is missing, or has too few readable pictures.
    """
    for domain in "AB":
        if not (folder := config.data / f"train{domain}").is_dir():
            raise DataError(
                f"no folder {folder}: unpaired training needs trainA and trainB (and testA, testB) in --data"
            )
    set_A, set_B = (load_pictures(config.data / f"train{domain}", config.load_size) for domain in "AB")
    for domain, pictures in (("A", set_A), ("B", set_B)):
        _need(len(pictures), config, config.data / f"train{domain}")
    held = {}
    for domain, pictures in (("A", set_A), ("B", set_B)):
        test = config.data / f"test{domain}"
        shown = load_pictures(test, config.load_size, HELD) if test.is_dir() else pictures
        held[domain] = _squares(shown.pictures[:HELD], config.load_size, multiple)
    return UnpairedFeed(config, set_A, set_B, held)


def open_inputs(config: Distill, teacher: Mapping[str, Any], multiple: int) -> InputFeed:
    """Open the pictures a teacher translates: DATA/train<A|B>, else DATA/train, else DATA itself.

    What a teacher learnt pairs from is read as in its training: see `makes_inputs`.

    Args:
        config: settings of the student's run.
        teacher: facts of the teacher; of a teacher that was a student itself, those of the first one.
        multiple: of the held pictures' sides, in pixels.

    Raises:
        DataError: there is no such folder, or it has too few readable pictures.
    """
    data, domain = config.data, config.direction[0]
    folder = first_folder(data, f"train{domain}", "train")
    if makes_inputs(data, teacher):
        made = (teacher["settings"]["pair"], teacher["settings"]["direction"], config.load_size)
        pictures, split = PictureSet(read_pairs(data, "train", *made)[0]), held_split(data)
        shown = pictures if split is None else PictureSet(read_pairs(data, split, *made, HELD)[0])
    else:
        pictures = load_pictures(folder, config.load_size)
        test = next((data / name for name in _held_names(domain) if (data / name).is_dir()), None)
        shown = pictures if test is None else load_pictures(test, config.load_size, HELD)
    _need(len(pictures), config, folder)
    held = {"A": _squares(shown.pictures[:HELD], config.load_size, multiple)}
    return InputFeed(config, pictures, held, _name(folder))


def photos_folder(photos: Path | str | None) -> Path:
    """Return the folder of the photos that a painting is laid over: the user's, or the bundled ones."""
    return PHOTOS if photos is None else Path(photos)


def open_photos(config: Paint, multiple: int) -> InputFeed:
    """Open the photos that are painted in training; these are shown and measured on, too.

    Raises:
        DataError: there is no such folder, or it has too few readable pictures.
    """
    folder = photos_folder(config.photos)
    pictures = load_pictures(folder, config.load_size)
    _need(len(pictures), config, folder)
    held = {"A": _squares(pictures.pictures[:HELD], config.load_size, multiple)}
    return InputFeed(config, pictures, held, _name(folder))


def makes_inputs(data: Path, teacher: Mapping[str, Any]) -> bool:
    """Say whether a teacher's inputs are not pictures as they lie: made from photos, or halves of pairs."""
    if teacher["recipe"] != "pix2pix":
        return False
    side_by_side = (data / "train").is_dir() and not (data / "trainA").is_dir()
    return side_by_side or teacher["settings"]["pair"] != "none"


def open_pictures(config: Gan | Dcgan) -> NoiseFeed:
    """Open a folder of pictures: DATA/train, else DATA itself.

    Raises:
        DataError: the folder is missing, or has too few readable pictures.
    """
    folder = first_folder(config.data, "train")
    pictures = load_pictures(folder, config.load_size)
    _need(len(pictures), config, folder)
    held = {"real": _squares(pictures.pictures[:HELD], config.crop_size, 1)}
    return NoiseFeed(config, pictures, held, config.z, {_name(folder): len(pictures)})


def class_names(data: Path) -> list[str]:
    """Return the classes of a folder of class folders, in name order.

    Raises:
        DataError: there are fewer than two.
    """
    folder = first_folder(data, "train")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_litter(path))
    if len(names) < 2:
        raise DataError(
            f"{len(names)} class folder(s) in {folder}: cgan needs a folder for each of 2 or more classes"
        )
    return names


def open_classes(config: Cgan) -> NoiseFeed:
    """Open a folder with a folder of pictures per class.

    Raises:
        DataError: there are fewer than two classes, one is empty, or there are too few readable pictures.
    """
    folder, names = first_folder(config.data, "train"), class_names(config.data)
    sets = [load_pictures(folder / name, config.load_size) for name in names]
    pictures = PictureSet([rgb for members in sets for rgb in members.pictures])
    _need(len(pictures), config, folder)
    classes = [number for number, members in enumerate(sets) for _ in members.pictures]
    step = max(1, len(pictures) // HELD)
    held = {"real": _squares(pictures.pictures[::step][:HELD], config.crop_size, 1)}
    counts = {name: len(members) for name, members in zip(names, sets, strict=True)}
    return NoiseFeed(config, pictures, held, config.z, counts, classes)


def open_pairs(config: Pix2Pix, multiple: int) -> PairedFeed:
    """Open pairs: two folders with equal names, pictures side by side, or photos the inputs are made from.

    Raises:
        DataError: a folder is missing, pairs do not fit, or there are too few readable ones.
    """
    made = (config.pair, config.direction, config.load_size)
    inputs, wanted = read_pairs(config.data, "train", *made)
    _need(len(inputs), config, config.data)
    shown = (inputs[:HELD], wanted[:HELD])
    split = held_split(config.data)
    if split is not None:
        shown = read_pairs(config.data, split, *made, HELD)
    held = {
        name: _squares(pictures, config.load_size, multiple)
        for name, pictures in zip("AB", shown, strict=True)
    }
    where = "trainA and trainB"
    if config.pair != "none" or not (config.data / "trainA").is_dir():
        where = _name(_pairs_folder(config.data, "train", config.pair))
    return PairedFeed(config, PictureSet(inputs), PictureSet(wanted), held, config.z, where)


def held_split(data: Path) -> str | None:
    """Return the split of pairs kept back from training: val, else test, else None."""
    for split in ("val", "test"):
        if (data / split).is_dir() or (data / f"{split}A").is_dir():
            return split
    return None


def read_pairs(
    data: Path, split: str, pair: str, direction: str, load_size: int, limit: int | None = None
) -> tuple[list[Rgb], list[Rgb]]:
    """Return the inputs and the wanted pictures of a split, short sides scaled to the load size.

    Raises:
        DataError: there is no such split, or its pairs do not fit.
    """
    if pair != "none":
        folder = _pairs_folder(data, split, pair)
        photos, store = list(load_pictures(folder, load_size, limit).pictures), PictureStore()
        return [store.keep(look_at(rgb, cast(View, pair))) for rgb in photos], photos
    if (data / f"{split}A").is_dir():
        pairs = _two_folders(data / f"{split}A", data / f"{split}B", load_size, limit)
    else:
        pairs = _side_by_side(_pairs_folder(data, split, pair), load_size, limit)
    if not pairs:
        raise DataError(f"no readable pair in {data}: all are damaged")
    halves_A, halves_B = [a for a, _ in pairs], [b for _, b in pairs]
    return (halves_A, halves_B) if direction == "AtoB" else (halves_B, halves_A)


def _pairs_folder(data: Path, split: str, pair: str) -> Path:
    """Return where the photos that inputs are made from lie, or pictures side by side."""
    return first_folder(data, split) if pair == "none" else first_folder(data, split, f"{split}B")


def _two_folders(folder_A: Path, folder_B: Path, load_size: int, limit: int | None) -> list[tuple[Rgb, Rgb]]:
    paths_A, paths_B = (
        {path.stem: path for path in picture_paths(folder)} for folder in (folder_A, folder_B)
    )
    if alone := sorted(paths_A.keys() ^ paths_B.keys()):
        raise DataError(
            f"wrong pairs in {folder_A} and {folder_B}: {len(alone)} picture(s) are in one folder alone, "
            f"the first is {alone[0]}; needed are equal names"
        )
    stems = sorted(paths_A)[:limit]
    found = (read_pictures((paths[stem] for stem in stems), load_size) for paths in (paths_A, paths_B))
    return _whole_pairs(folder_A, [paths_A[stem] for stem in stems], *found)


def _side_by_side(folder: Path, load_size: int, limit: int | None) -> list[tuple[Rgb, Rgb]]:
    paths, store = picture_paths(folder)[:limit], PictureStore()
    halves_A: list[Rgb | None] = []
    halves_B: list[Rgb | None] = []
    for path in paths:
        rgb = read_picture(path)
        if rgb is not None and (rgb.shape[1] % 2 or rgb.shape[1] < rgb.shape[0]):
            raise DataError(
                f"wrong pair {path}: {rgb.shape[1]}×{rgb.shape[0]} pixels are no two pictures side by side; "
                "for photos alone use --pair gray or --pair edges"
            )
        middle = 0 if rgb is None else rgb.shape[1] // 2
        halves_A.append(None if rgb is None else store.keep(scale_short_side(rgb[:, :middle], load_size)))
        halves_B.append(None if rgb is None else store.keep(scale_short_side(rgb[:, middle:], load_size)))
    return _whole_pairs(folder, paths, halves_A, halves_B)


def _whole_pairs(
    folder: Path, paths: Sequence[Path], found_A: Sequence[Rgb | None], found_B: Sequence[Rgb | None]
) -> list[tuple[Rgb, Rgb]]:
    pairs, damaged = [], []
    for path, rgb_A, rgb_B in zip(paths, found_A, found_B, strict=True):
        if rgb_A is None or rgb_B is None:
            damaged.append(path)
        elif rgb_A.shape != rgb_B.shape:
            raise DataError(
                f"wrong pair {path.name} in {folder}: scaled to one short side A is "
                f"{rgb_A.shape[1]}×{rgb_A.shape[0]} and B {rgb_B.shape[1]}×{rgb_B.shape[0]} pixels"
            )
        else:
            pairs.append((np.ascontiguousarray(rgb_A), np.ascontiguousarray(rgb_B)))
    name_damaged(folder, damaged)
    return pairs


def first_folder(data: Path, *names: str) -> Path:
    """Return the first of DATA's folders of these names that exists, else DATA itself."""
    return next((data / name for name in names if (data / name).is_dir()), data)


def _name(folder: Path) -> str:
    return folder.resolve().name


def _held_names(domain: str) -> tuple[str, ...]:
    return (f"test{domain}", f"val{domain}", "val", "test")


def _need(found: int, config: Training, folder: Path) -> None:
    least = config.batch * config.accumulate
    if found < least:
        raise DataError(
            f"too few pictures in {folder}: {found} found, a step takes {least} (--batch {config.batch}"
            + (f" × --accumulate {config.accumulate})" if config.accumulate > 1 else ")")
        )


def _squares(pictures: Sequence[Rgb], side: int, multiple: int) -> list[Rgb]:
    """Cut the middle out of each picture, a square of `side` pixels less what is over a multiple."""
    side -= side % multiple
    cut = []
    for rgb in pictures:
        top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        cut.append(np.ascontiguousarray(rgb[top : top + side, left : left + side]))
    return cut
