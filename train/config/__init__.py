"""What a training run is told: one frozen dataclass per recipe.

Attribute docstrings are the help. Defaults are the papers'; where a number is this project's
own the docstring says (ours).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from train.config.base import (
    PATCH_MINIMUM_PX,
    Adversarial,
    Augmentation,
    Direction,
    GeneratorName,
    Norm,
    Schedule,
    Training,
    settings_json,
)
from train.config.distill import Distill
from train.config.noise import Cgan, Dcgan, Gan
from train.config.paint import Paint
from train.config.translation import CycleGan, Pix2Pix, Projected, TwoDomains
from train.errors import RunError

__all__ = [
    "PATCH_MINIMUM_PX",
    "RECIPES",
    "RESUMABLE_CHANGES",
    "Adversarial",
    "Augmentation",
    "Cgan",
    "CycleGan",
    "Dcgan",
    "Direction",
    "Distill",
    "Gan",
    "GeneratorName",
    "Norm",
    "Paint",
    "Pix2Pix",
    "Projected",
    "Schedule",
    "Training",
    "TwoDomains",
    "check_same_settings",
    "settings_json",
]

RECIPES: tuple[type[Training], ...] = (Gan, Cgan, Dcgan, Pix2Pix, CycleGan, Projected, Distill, Paint)
"""The settings of every recipe, in the order of the help."""

RESUMABLE_CHANGES = (
    *("resume", "threads", "sample_minutes", "checkpoint_minutes", "checkpoint_steps", "keep", "run", "data"),
    *("steps", "epochs", "minutes", "preset", "check", "source", "target"),
    *("out", "title", "facts", "overwrite"),
)
"""Settings that may differ between a run and its continuation.

The first do not change what is computed. The budget may grow: step size and weights follow the new one.
"""


def check_same_settings(config: Training, recorded: Mapping[str, Any]) -> None:
    """Compare the settings with those of the run being resumed.

    A setting the run does not know is younger than the run, which had its default.

    Raises:
        RunError: a setting that changes what is computed differs.
    """
    wanted = settings_json(config)
    for entry in fields(config):
        if entry.name in RESUMABLE_CHANGES:
            continue
        default = None if entry.default is MISSING else entry.default
        before = recorded.get(entry.name, list(default) if isinstance(default, tuple) else default)
        if wanted[entry.name] != before:
            raise RunError(
                f"cannot resume {config.run}: --{entry.name.replace('_', '-')} is "
                f"{json.dumps(wanted[entry.name])}, the run was started with {json.dumps(before)}"
            )
