"""The layouts of image folders, opened for the recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from rt.card import View
from rt.frame import Rgb
from rt.image import is_litter
from rt.view import look_at
from train.config import Cgan, CycleGan, Dcgan, Distill, Gan, Paint, Pix2Pix, Projected, Training
from train.data.cache import ImageCache
from train.data.feed import InputFeed, NoiseFeed, PairedFeed, UnpairedFeed
from train.data.images import (
    ImageSet,
    image_paths,
    load_image,
    load_images,
    name_damaged,
    read_images,
    scale_short_side,
)
from train.errors import DataError
from train.facts import RunFacts

PHOTOS = Path(__file__).with_name("photos")
"""Photos that may be passed on; the terms of each are in the NOTICE beside them."""
HELD = 64
"""Most images of a kind that are held ready for sheets and validation."""


def open_unpaired(config: CycleGan | Projected, multiple: int) -> UnpairedFeed:
    """Open DATA/trainA and trainB; testA and testB are held where there are any, else training images.

    Raises:
        DataError: a folder is missing, or has too few readable images.
    """
    for domain in "AB":
        if not (folder := config.data / f"train{domain}").is_dir():
            raise DataError(
                f"no folder {folder}: unpaired training needs trainA and trainB (and testA, testB) in --data"
            )
    set_A, set_B = (load_images(config.data / f"train{domain}", config.load_size) for domain in "AB")
    for domain, images in (("A", set_A), ("B", set_B)):
        _need(len(images), config, config.data / f"train{domain}")
    held = {}
    for domain, images in (("A", set_A), ("B", set_B)):
        test = config.data / f"test{domain}"
        shown = load_images(test, config.load_size, HELD) if test.is_dir() else images
        held[domain] = _squares(shown.images[:HELD], config.load_size, multiple)
    return UnpairedFeed(config, set_A, set_B, held)


def open_inputs(config: Distill, teacher: RunFacts, multiple: int) -> InputFeed:
    """Open the images a teacher translates: DATA/train<A|B>, else DATA/train, else DATA itself.

    What a teacher learned pairs from is read as in its training: see `makes_inputs`.

    Args:
        config: settings of the student's run.
        teacher: facts of the teacher; of a teacher that was a student itself, those of the first one.
        multiple: of the held images' sides, in pixels.

    Raises:
        DataError: there is no such folder, or it has too few readable images.
    """
    data, domain = config.data, config.direction[0]
    folder = first_folder(data, f"train{domain}", "train")
    if makes_inputs(data, teacher):
        made = (teacher.pair, teacher.direction or "AtoB", config.load_size)
        images, split = ImageSet(read_pairs(data, "train", *made)[0]), held_split(data)
        shown = images if split is None else ImageSet(read_pairs(data, split, *made, HELD)[0])
    else:
        images = load_images(folder, config.load_size)
        test = next((data / name for name in _held_names(domain) if (data / name).is_dir()), None)
        shown = images if test is None else load_images(test, config.load_size, HELD)
    _need(len(images), config, folder)
    held = {"A": _squares(shown.images[:HELD], config.load_size, multiple)}
    return InputFeed(config, images, held, _name(folder))


def open_teacher_images(config: Distill, multiple: int) -> PairedFeed:
    """Open images and what another program made of them: two folders with equal names, or side by side.

    Raises:
        DataError: a folder is missing, pairs do not fit, or there are too few readable ones.
    """
    return _open_pairs(config, "none", multiple, 0)


def photos_folder(photos: Path | str | None) -> Path:
    """Return the folder of the photos that a painting is laid over: the user's, or the bundled ones."""
    return PHOTOS if photos is None else Path(photos)


def open_photos(config: Paint, multiple: int) -> InputFeed:
    """Open the photos that are painted in training; these are shown and measured on, too.

    Raises:
        DataError: there is no such folder, or it has too few readable images.
    """
    folder = photos_folder(config.photos)
    images = load_images(folder, config.load_size)
    _need(len(images), config, folder)
    held = {"A": _squares(images.images[:HELD], config.load_size, multiple)}
    return InputFeed(config, images, held, _name(folder))


def makes_inputs(data: Path, teacher: RunFacts) -> bool:
    """Say whether a teacher's inputs are not images as they lie: made from photos, or halves of pairs."""
    if teacher.recipe != "pix2pix":
        return False
    side_by_side = (data / "train").is_dir() and not (data / "trainA").is_dir()
    return side_by_side or teacher.pair != "none"


def open_images(config: Gan | Dcgan) -> NoiseFeed:
    """Open a folder of images: DATA/train, else DATA itself.

    Raises:
        DataError: the folder is missing, or has too few readable images.
    """
    folder = first_folder(config.data, "train")
    images = load_images(folder, config.load_size)
    _need(len(images), config, folder)
    held = {"real": _squares(images.images[:HELD], config.crop_size, 1)}
    return NoiseFeed(config, images, held, config.z, {_name(folder): len(images)})


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
    """Open a folder with a folder of images per class.

    Raises:
        DataError: there are fewer than two classes, one is empty, or there are too few readable images.
    """
    folder, names = first_folder(config.data, "train"), class_names(config.data)
    sets = [load_images(folder / name, config.load_size) for name in names]
    images = ImageSet([rgb for members in sets for rgb in members.images])
    _need(len(images), config, folder)
    classes = [number for number, members in enumerate(sets) for _ in members.images]
    step = max(1, len(images) // HELD)
    held = {"real": _squares(images.images[::step][:HELD], config.crop_size, 1)}
    counts = {name: len(members) for name, members in zip(names, sets, strict=True)}
    return NoiseFeed(config, images, held, config.z, counts, classes)


def open_pairs(config: Pix2Pix, multiple: int) -> PairedFeed:
    """Open pairs: two folders with equal names, images side by side, or photos the inputs are made from.

    Raises:
        DataError: a folder is missing, pairs do not fit, or there are too few readable ones.
    """
    return _open_pairs(config, config.pair, multiple, config.z)


def _open_pairs(config: Pix2Pix | Distill, pair: str, multiple: int, z: int) -> PairedFeed:
    made = (pair, config.direction, config.load_size)
    inputs, wanted = read_pairs(config.data, "train", *made)
    _need(len(inputs), config, config.data)
    shown = (inputs[:HELD], wanted[:HELD])
    split = held_split(config.data)
    if split is not None:
        shown = read_pairs(config.data, split, *made, HELD)
    held = {
        name: _squares(images, config.load_size, multiple) for name, images in zip("AB", shown, strict=True)
    }
    where = "trainA and trainB"
    if pair != "none" or not (config.data / "trainA").is_dir():
        where = _name(_pairs_folder(config.data, "train", pair))
    return PairedFeed(config, ImageSet(inputs), ImageSet(wanted), held, z, where)


def held_split(data: Path) -> str | None:
    """Return the split of pairs held out from training: val, else test, else None."""
    for split in ("val", "test"):
        if (data / split).is_dir() or (data / f"{split}A").is_dir():
            return split
    return None


def read_pairs(
    data: Path, split: str, pair: str, direction: str, load_size: int, limit: int | None = None
) -> tuple[list[Rgb], list[Rgb]]:
    """Return the inputs and the wanted images of a split, short sides scaled to the load size.

    Raises:
        DataError: there is no such split, or its pairs do not fit.
    """
    if pair != "none":
        folder = _pairs_folder(data, split, pair)
        photos, store = list(load_images(folder, load_size, limit).images), ImageCache()
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
    """Return where the photos that inputs are made from lie, or images side by side."""
    return first_folder(data, split) if pair == "none" else first_folder(data, split, f"{split}B")


def _two_folders(folder_A: Path, folder_B: Path, load_size: int, limit: int | None) -> list[tuple[Rgb, Rgb]]:
    paths_A, paths_B = ({path.stem: path for path in image_paths(folder)} for folder in (folder_A, folder_B))
    if alone := sorted(paths_A.keys() ^ paths_B.keys()):
        raise DataError(
            f"wrong pairs in {folder_A} and {folder_B}: {len(alone)} image(s) are in one folder alone, "
            f"the first is {alone[0]}; needed are equal names"
        )
    stems = sorted(paths_A)[:limit]
    found = (read_images((paths[stem] for stem in stems), load_size) for paths in (paths_A, paths_B))
    return _whole_pairs(folder_A, [paths_A[stem] for stem in stems], *found)


def _side_by_side(folder: Path, load_size: int, limit: int | None) -> list[tuple[Rgb, Rgb]]:
    paths, store = image_paths(folder)[:limit], ImageCache()
    halves_A: list[Rgb | None] = []
    halves_B: list[Rgb | None] = []
    for path in paths:
        rgb = load_image(path)
        if rgb is not None and (rgb.shape[1] % 2 or rgb.shape[1] < rgb.shape[0]):
            raise DataError(
                f"wrong pair {path}: {rgb.shape[1]}×{rgb.shape[0]} pixels are no two images side by side; "
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
            f"too few images in {folder}: {found} found, a step takes {least} (--batch {config.batch}"
            + (f" × --accumulate {config.accumulate})" if config.accumulate > 1 else ")")
        )


def _squares(images: Sequence[Rgb], side: int, multiple: int) -> list[Rgb]:
    """Cut the middle out of each image, a square of `side` pixels less what is over a multiple."""
    side -= side % multiple
    cut = []
    for rgb in images:
        top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        cut.append(np.ascontiguousarray(rgb[top : top + side, left : left + side]))
    return cut
