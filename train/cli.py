"""Train image-translation networks on pictures, and export them as styles."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any, Union

from rt.errors import FrameshiftError

if TYPE_CHECKING:
    from train.config import CycleGan, Export


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit 1."""
    try:
        import torch  # noqa: F401  the extra is checked once, here
        import tyro
    except ModuleNotFoundError as error:
        sys.exit(f"error: frameshift-train needs {error.name}: type pip install 'frameshift[train]'")
    from train.config import CycleGan, Export

    commands: Any = Union[  # noqa: UP007  tyro reads the annotations of a Union
        Annotated[CycleGan, tyro.conf.subcommand("cyclegan")],
        Annotated[Export, tyro.conf.subcommand("export")],
    ]
    try:
        config = tyro.cli(commands, prog="frameshift-train", description=__doc__)
        _train(config) if isinstance(config, CycleGan) else _export(config)
    except FrameshiftError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _train(config: CycleGan) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from train.loop import CHECKPOINT, train_cyclegan
    from train.loop import Progress as Where

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:5.1f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    stopped = _catch_signals()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def show(where: Where) -> None:
            losses = " ".join(f"{name} {loss:.3f}" for name, loss in where.losses.items())
            text = f"step {where.step}  {where.images_per_s:.1f} images/s  {losses}"
            bar.update(task, completed=where.done, description=text)
            if not console.is_terminal and where.step % 100 == 0:
                print(f"{where.done:6.1%} {text}", file=sys.stderr, flush=True)

        def say(text: str) -> None:
            console.print(text, highlight=False, soft_wrap=True)

        finished = train_cyclegan(config, show, say, stop=lambda: bool(stopped))
    if not finished:
        print(
            f"stopped; {config.run / CHECKPOINT} is written: to continue, repeat the command with --resume",
            file=sys.stderr,
        )
        sys.exit(128 + stopped[0])
    print(f"checkpoint {config.run / CHECKPOINT}; next: frameshift-train export {config.run} --name NAME")


def _catch_signals() -> list[int]:
    """Note SIGINT and SIGTERM in the returned list, so that a step is finished and a checkpoint written."""
    seen: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: seen.append(received))
    return seen


def _export(config: Export) -> None:
    from train.export import export_style

    style = export_style(config, lambda text: print(text, file=sys.stderr, flush=True))
    print(f"style {style}; next: frameshift run INPUT OUTPUT.mp4 --style {style}")


if __name__ == "__main__":
    main()
