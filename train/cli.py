"""Train image-translation networks on pictures, and export them as styles."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any, Union

from rt.errors import VideobrushError

if TYPE_CHECKING:
    from train.config import Training
    from train.data.frames import Frames
    from train.data.inspection import Check


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit 1."""
    try:
        _main()
    except VideobrushError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _main() -> None:
    try:
        import torch  # noqa: F401  the extra is checked once, here
        import tyro
    except ModuleNotFoundError as error:
        sys.exit(f"error: videobrush-train needs {error.name}: type pip install '.[train]'")
    from train.config import RECIPES
    from train.data.frames import Frames
    from train.data.inspection import Check
    from train.export import Export
    from train.reference import Import
    from train.sample import Sample

    kinds = {
        **{recipe.recipe: recipe for recipe in RECIPES},
        **{"export": Export, "sample": Sample, "import": Import, "check": Check, "frames": Frames},
    }
    commands: Any = Union[  # noqa: UP007  tyro reads the annotations of a Union
        tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in kinds.items())
    ]
    _run(tyro.cli(commands, prog="videobrush-train", description=__doc__))


def _run(config: Any) -> None:
    from train.config import Training
    from train.data.frames import Frames
    from train.data.inspection import Check
    from train.export import Export, export_style
    from train.imported import import_generator
    from train.reference import Import
    from train.sample import Sample, write_samples

    match config:
        case Training():
            _train(config)
        case Export():
            style = export_style(config, _tell)
            print(f"style {style}; next: videobrush run INPUT OUTPUT.mp4 --style {style}")
        case Sample():
            print(f"sheet {write_samples(config)}")
        case Import():
            what = import_generator(config)
            print(f"{what}; next: videobrush-train export {config.out} --name NAME --data DIR")

        case Check():
            _check(config)
        case Frames():
            _extract(config)


def _check(config: Check) -> None:
    from train.data.inspection import inspect_data

    found = inspect_data(config)
    print(found.text)
    sys.exit(1 if found.faults else 0)


def _extract(config: Frames) -> None:
    from rt.log import progress
    from train.data.frames import extract_frames

    with progress("reading", None) as show:
        extracted = extract_frames(config, show)
    print(extracted.text)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _train(config: Training) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from train.checkpoint import CHECKPOINT
    from train.loop import Progress as Where
    from train.loop import train

    first = os.environ.get("RANK", "0") == "0"
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:5.1f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    stopped = _catch_signals()
    logging.basicConfig(
        format="%(message)s", stream=sys.stderr, level=logging.WARNING if first else logging.ERROR
    )
    with Progress(*columns, console=console, disable=not (console.is_terminal and first)) as bar:
        task = bar.add_task("", total=1.0)

        def show(where: Where) -> None:
            losses = " ".join(f"{name} {loss:.3f}" for name, loss in where.losses.items())
            text = f"step {where.step}  {where.images_per_s:.1f} images/s  {losses}"
            bar.update(task, completed=where.done, description=text)
            if first and not console.is_terminal and where.step % 100 == 0:
                print(f"{where.done:6.1%} {text}", file=sys.stderr, flush=True)

        def say(text: str) -> None:
            console.print(text, highlight=False, soft_wrap=True)

        finished = train(config, show, say, stop=lambda: bool(stopped))
    if not first:
        return
    if not finished:
        print(
            f"stopped; {config.run / CHECKPOINT} is written: to continue, repeat the command with --resume",
            file=sys.stderr,
        )
        sys.exit(128 + stopped[0])
    print(f"checkpoint {config.run / CHECKPOINT}; next: {_next(config)}")


def _next(config: Training) -> str:
    """Return what to type after a run."""
    from train.load import FROM_NOISE

    if config.recipe in FROM_NOISE:
        return f"videobrush-train sample {config.run}"
    return f"videobrush-train export {config.run} --name NAME"


def _catch_signals() -> list[int]:
    """Note SIGINT and SIGTERM in the returned list, so that a step is finished and a checkpoint written.

    The second one ends the run where it is: the newest checkpoint stays.
    """
    seen: list[int] = []

    def note(received: int, _: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(received)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return seen


if __name__ == "__main__":
    main()
