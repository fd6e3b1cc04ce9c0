"""From a painting to a style folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from train.checkpoint import CHECKPOINT, Checkpoints, read_facts
from train.config import Paint
from train.data.paintings import read_paintings
from train.errors import RunError
from train.export import Export, check_target, export_style


def prepare_paint(config: Paint) -> Paint:
    """Return the settings the loop is given: they go on where an earlier command of this name stopped.

    A first look, which nothing was trained for, is thrown away: settings can be tried.

    Raises:
        DataError, ExportError, RunError: the painting, the name or the folder do not fit.
    """
    check_target(_export(config))
    read_paintings(config.data)
    checkpoint = config.run / CHECKPOINT
    if not checkpoint.is_file():
        return dataclasses.replace(config, resume=False)
    facts = read_facts(checkpoint)
    if facts.recipe != config.recipe:
        raise RunError(f"{config.run} holds a run of {facts.recipe}: give another --run")
    if facts.step:
        return dataclasses.replace(config, resume=True)
    for path in (*Checkpoints(config.run, config.keep).numbered(), checkpoint):
        path.unlink()
    return dataclasses.replace(config, resume=False)


def export_paint(config: Paint, say: Callable[[str], None]) -> Path:
    """Write the style of a run that has its checkpoint and return its folder.

    Raises:
        ExportError, DataError, RunError: as `export_style`.
    """
    return export_style(_export(config), say)


def _export(config: Paint) -> Export:
    return Export(
        run=config.run,
        name=config.name,
        out=config.out,
        checkpoint="newest",
        title=config.title or f"Paints in the strokes of {config.data.stem.replace('_', ' ')}",
        size=config.size,
        facts=config.facts,
        overwrite=config.overwrite or config.out is None,
    )
