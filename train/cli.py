"""Train image-translation networks on images, and export them as styles."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Union

from rt.errors import VideobrushError
from rt.install import install_hint
from rt.terminal import (
    VERBOSE_HELP,
    print_results,
    printing,
    progress,
    run_command,
    signals,
    take_verbose,
    todays_words,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from train.config import Paint, Training
    from train.data.frames import Frames
    from train.data.inspection import Check


def main() -> int:
    """Run the command line; a user's mistake is one line on stderr and exit 1."""
    return run_command(_main)


def _main() -> int:
    try:
        import torch  # noqa: F401  the extra is checked once, here
        import tyro
    except ModuleNotFoundError as error:
        raise VideobrushError(f"videobrush-train needs {error.name}; type: {install_hint('train')}") from None
    from train.config import RECIPES
    from train.data.frames import Frames
    from train.data.inspection import Check
    from train.export import Export
    from train.reference import Import
    from train.resume import full_command
    from train.sample import Sample

    kinds = {
        **{recipe.recipe: recipe for recipe in RECIPES},
        **{"export": Export, "sample": Sample, "import": Import, "check": Check, "frames": Frames},
    }
    commands: Any = Union[  # noqa: UP007  tyro reads the annotations of a Union
        tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in kinds.items())
    ]
    with printing():
        words = full_command(todays_words(take_verbose(sys.argv[1:])))
        config = tyro.cli(
            commands, prog="videobrush-train", description=f"{__doc__}\n\n{VERBOSE_HELP}", args=words
        )
    return _run(config)


def _run(config: Any) -> int:
    from train.config import Paint, Training
    from train.data.frames import Frames
    from train.data.inspection import Check
    from train.export import Export, export_style
    from train.reference import Import, import_generator
    from train.sample import Sample, write_samples

    match config:
        case Paint():
            return _paint(config)
        case Training():
            ready = _prepare(config)
            return _train(ready, lambda: _tell_next(ready))
        case Export():
            style = export_style(config, _tell)
            print_results(f"style {style}; next: videobrush run INPUT OUTPUT.mp4 --style {style}")
        case Sample():
            print_results(f"sheet {write_samples(config)}")
        case Import():
            what = import_generator(config)
            print_results(f"{what}; next: videobrush-train export {config.out} --name NAME --data DIR")
        case Check():
            return _check(config)
        case Frames():
            _extract(config)
    return 0


def _prepare(config: Training) -> Training:
    """Arrange the images as training reads them, and look through them once."""
    from train.data.arrange import arrange
    from train.data.inspection import refuse_wrong_pairs

    ready = arrange(config, _tell)
    if ready.check and not ready.resume and os.environ.get("RANK", "0") == "0":
        refuse_wrong_pairs(ready, _tell)
    return ready


def _check(config: Check) -> int:
    from train.data.inspection import inspect_data

    found = inspect_data(config)
    print_results(found.text)
    return 1 if found.faults else 0


def _extract(config: Frames) -> None:
    from train.data.frames import extract_frames

    with progress("reading", None) as show:
        extracted = extract_frames(config, show)
    print_results(extracted.text)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _train(config: Training, finish: Callable[[], None]) -> int:
    from rich.console import Console

    from train.checkpoint import CHECKPOINT
    from train.loop import Progress as Where
    from train.loop import train

    first = os.environ.get("RANK", "0") == "0"
    console = Console(stderr=True)
    logging.basicConfig(
        format="%(message)s", stream=sys.stderr, level=logging.WARNING if first else logging.ERROR
    )
    bar = training_bar(console, disable=not (console.is_terminal and first))
    with signals() as received, bar:
        task = bar.add_task("", total=1.0)

        def show(where: Where) -> None:
            losses = " ".join(f"{name} {loss:.3f}" for name, loss in where.losses.items())
            text = f"step {where.step}  {where.images_per_s:.1f} images/s  {losses}"
            bar.update(task, completed=where.done, description=text)
            if first and not console.is_terminal and where.step % 100 == 0:
                print(f"{where.done:6.1%} {text}", file=sys.stderr, flush=True)

        def say(text: str) -> None:
            console.print(text, highlight=False, soft_wrap=True)

        finished = train(config, show, say, stop=lambda: received.received is not None)
    if not first:
        return 0
    if not finished:
        again = "repeat the command" + (" with --resume" if config.recipe != "paint" else "")
        print(f"stopped; {config.run / CHECKPOINT} is written: to continue, {again}", file=sys.stderr)
        return received.status
    finish()
    return 0


def training_bar(console: Console, disable: bool = False) -> Progress:
    """Return the bar of a run: how much, how long still, then as much of the losses as the line holds."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    def kept() -> Column:
        return Column(no_wrap=True, min_width=7)

    return Progress(
        BarColumn(12, table_column=Column(min_width=12)),
        TextColumn("{task.percentage:5.1f}%", table_column=kept()),
        TimeRemainingColumn(table_column=kept()),
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        console=console,
        disable=disable,
        expand=True,
    )


def _tell_next(config: Training) -> None:
    from train.checkpoint import CHECKPOINT

    print_results(f"checkpoint {config.run / CHECKPOINT}; next: {_next(config)}")


def _paint(config: Paint) -> int:
    from train.paint import export_paint, prepare_paint

    config = prepare_paint(config)

    def finish() -> None:
        style = export_paint(config, _tell)
        told = f"style {style}; next: videobrush run INPUT OUTPUT.mp4 --style {style}"
        if not config.trains:
            told += "\nsteadier, and nearer to the painting: the same command with --minutes 10"
        print_results(told)

    return _train(config, finish)


def _next(config: Training) -> str:
    """Return what to type after a run."""
    from train.load import FROM_NOISE

    if config.recipe in FROM_NOISE:
        return f"videobrush-train sample {config.run}"
    return f"videobrush-train export {config.run} --name NAME"


if __name__ == "__main__":
    sys.exit(main())
