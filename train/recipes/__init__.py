"""Recipes: nets, optimisers and one training step each."""

from __future__ import annotations

from train.config import Cgan, CycleGan, Dcgan, Distill, Gan, Paint, Pix2Pix, Projected, Training
from train.device import World
from train.recipes.base import Recipe
from train.recipes.cyclegan import CycleGanRecipe
from train.recipes.distill import DistillRecipe
from train.recipes.noise import CganRecipe, DcganRecipe, GanRecipe
from train.recipes.paint import PaintRecipe
from train.recipes.pix2pix import Pix2PixRecipe
from train.recipes.projected import ProjectedRecipe


def make_recipe(config: Training, world: World) -> Recipe:
    """Return the recipe the settings are for, its networks fresh and its images loaded.

    Raises:
        DataError, RunError: the images or the settings do not fit.
    """
    match config:
        case CycleGan():
            return CycleGanRecipe(config, world)
        case Pix2Pix():
            return Pix2PixRecipe(config, world)
        case Projected():
            return ProjectedRecipe(config, world)
        case Distill():
            return DistillRecipe(config, world)
        case Paint():
            return PaintRecipe(config, world)
        case Cgan():
            return CganRecipe(config, world)
        case Dcgan():
            return DcganRecipe(config, world)
        case Gan():
            return GanRecipe(config, world)
    raise TypeError(f"no recipe for {type(config).__name__}")


__all__ = ["Recipe", "make_recipe"]
