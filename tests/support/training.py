"""Runs small enough to train in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file

from rt.frame import Rgb
from tests.support.drawings import draw_image
from train.checkpoint import CHECKPOINT
from train.config import Cgan, CycleGan, Dcgan, Distill, Gan, Pix2Pix, Projected, Training
from train.data.images import save_image
from train.device import World
from train.loop import train

CPU = World(torch.device("cpu"))
SHAPES = ("cross", "disc", "square")
TINY_NETS: dict[str, Any] = {
    "generator": "hg48",
    "generator_width": 4,
    "discriminator_width": 4,
    "patch": "16",
    "load_size": 36,
    "crop_size": 32,
}
TINY: dict[type[Training], dict[str, Any]] = {
    Gan: {"batch": 4, "load_size": 18, "crop_size": 16, "width": 8, "z": 4},
    Cgan: {"batch": 4, "load_size": 18, "crop_size": 16, "width": 8, "z": 4},
    Dcgan: {"batch": 4, "load_size": 18, "crop_size": 16, "width": 4, "z": 4},
    Pix2Pix: TINY_NETS,
    CycleGan: {**TINY_NETS, "pool": 3},
    Projected: {"generator": "pu32", "batch": 2, "load_size": 100, "crop_size": 96, "amp": False},
    Distill: {"batch": 2, "load_size": 36, "crop_size": 32, "flow_px": 2.0, "student": "pu32"},
}
"""The smallest settings of each recipe."""


def tiny(kind: type[Training], data: Path, run: Path, **changes: Any) -> Training:
    """Return the settings of a run of a few seconds."""
    length = {} if {"epochs", "minutes"} & changes.keys() else {"steps": 4}
    given = {**length, "threads": 1, "device": "cpu", **TINY[kind], **changes}
    return kind(data=data, run=run, **given)


def train_tiny(config: Training, stop_after: int | None = None) -> dict[str, torch.Tensor]:
    """Train, stopping after so many steps where asked, and return the tensors of the checkpoint."""
    shown: list[int] = []
    train(
        config,
        lambda where: shown.append(where.step),
        lambda text: None,
        stop=lambda: len(shown) == stop_after,
    )
    return load_file(config.run / CHECKPOINT)


def differing(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> list[str]:
    """Return the names whose tensors are not the same bit for bit."""
    assert found.keys() == wanted.keys()
    return [name for name, tensor in wanted.items() if not torch.equal(tensor, found[name])]


def draw_shape(shape: str, seed: int, side: int = 32) -> Rgb:
    """Return uint8[side, side, 3] RGB: one coloured shape on light gray, its place and size drawn."""
    rng = np.random.default_rng(seed)
    x, y = (int(value) for value in rng.integers(int(0.4 * side), int(0.6 * side) + 1, 2))
    r = int(rng.integers(int(0.2 * side), int(0.3 * side) + 1))
    image = np.full((side, side, 3), 230, np.uint8)
    if shape == "disc":
        cv2.circle(image, (x, y), r, (200, 40, 40), -1)
    elif shape == "square":
        cv2.rectangle(image, (x - r, y - r), (x + r, y + r), (30, 150, 30), -1)
    else:
        thick = max(1, side // 10)
        for way in (r, -r):
            cv2.line(image, (x - r, y - way), (x + r, y + way), (40, 60, 200), thick)
    return image


def make_classes(folder: Path, count: int, side: int = 32) -> Path:
    """Write a folder of `count` drawn images per shape and return the folder above them."""
    for number, shape in enumerate(SHAPES):
        (folder / shape).mkdir(parents=True)
        for index in range(count):
            save_image(folder / shape / f"{index:03d}.png", draw_shape(shape, 1000 * number + index, side))
    return folder


def make_pairs(folder: Path, count: int = 6, side: int = 40) -> Path:
    """Write train and val with `count` images each of a drawn scene beside its colours exchanged."""
    for number, split in enumerate(("train", "val")):
        (folder / split).mkdir(parents=True)
        for index in range(count):
            left = draw_image(side, side, 500 * number + index, (120, 90, 60))
            both = np.concatenate([left, 255 - left[:, :, ::-1]], axis=1)
            save_image(folder / split / f"{index:03d}.png", both)
    return folder
