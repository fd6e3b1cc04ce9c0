"""The bench of the CycleGAN step: its yardstick computes what ours computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.drawings import make_domains
from tests.support.training import CPU, tiny
from tools.bench.plain_cyclegan import PlainCycleGan
from tools.bench.train import COMPARED_STEPS, TOLERANCE, compare_losses, ours
from train.config import CycleGan
from train.data.feed import Batches, seeded
from train.recipes.cyclegan import CycleGanRecipe


def difference(tmp_path: Path, **changes: Any) -> float:
    torch.set_num_threads(1)
    config = tiny(CycleGan, make_domains(tmp_path / "data", size=(36, 40)), tmp_path, **changes)
    assert isinstance(config, CycleGan)
    recipe, rng = CycleGanRecipe(config, CPU), seeded("test")
    plain = PlainCycleGan(recipe.nets, config.learning_rate)
    batches = Batches(recipe.feed, config, CPU)
    tensors = [batches.at(step) for step in range(COMPARED_STEPS)]
    batches.close()
    return compare_losses(lambda given: plain.step(given["A"], given["B"], rng), ours(recipe), tensors)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_plain_step_and_ours_have_the_same_losses(tmp_path: Path, batch: int) -> None:
    assert difference(tmp_path, generator="resnet6", batch=batch) <= TOLERANCE


def test_another_step_is_told_from_ours(tmp_path: Path) -> None:
    assert difference(tmp_path, generator="resnet6", identity_weight=4.9, learning_rate=1e-3) > TOLERANCE
