"""`--resume` alone: the settings of a run as the words of its command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from train.checkpoint import CHECKPOINT, read_facts
from train.config import RECIPES
from train.presets import LENGTH, option_value, with_presets

_SKIPPED = ("resume", "run", "source", "target")


def full_command(words: Sequence[str]) -> list[str]:
    """Return the words of a command with what they stand for: presets, or the settings of a resumed run.

    The user's own words come last and win.

    Raises:
        RunError: the run's checkpoint is damaged.
    """
    recipe = next((kind for kind in RECIPES if words and kind.recipe == words[0] != "paint"), None)
    if recipe is None:
        return list(words)
    given = list(words[1:])
    run = option_value(given, "--run") or str(recipe.__dataclass_fields__["run"].default)
    if "--resume" not in given:
        made = ["--data", str(Path(run) / "data")] if option_value(given, "--from") is not None else []
        return with_presets([recipe.recipe, *made, *given])
    checkpoint = Path(run) / CHECKPOINT
    if not checkpoint.is_file() or (facts := read_facts(checkpoint)).recipe != recipe.recipe:
        return list(words)
    told = any(option_value(given, option) is not None for option in LENGTH)
    recorded: list[str] = []
    for entry in fields(recipe):
        option, value = f"--{entry.name.replace('_', '-')}", facts.settings.get(entry.name)
        if entry.name in _SKIPPED or entry.name not in facts.settings or (told and option in LENGTH):
            continue
        if isinstance(value, bool):
            recorded.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, list):
            recorded += [option, *map(str, value)] if value else []
        elif value is not None or option not in LENGTH:
            recorded += [option, str(value)]
    return [recipe.recipe, *recorded, *given]
