"""The command `videobrush`: parse, run, print.

Heavy packages are imported by the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from rt.commands import Batch, Bench, Command, Demo, Doctor, Run, Studio, Styles
from rt.errors import DamagedSource, SourceError, VideobrushError
from rt.install import install_hint, version
from rt.log import LOG, set_up_log
from rt.report import card_lines, live_lines, speed_lines, steady_lines, style_row
from rt.terminal import (
    USAGE_ERROR,
    Signals,
    print_results,
    printing,
    run_command,
    signals,
    table,
    todays_words,
)
from rt.text import counted

if TYPE_CHECKING:
    from rt.batch.work import Fact
    from rt.pipeline import Stop

DESCRIPTION = "Translate video with image-translation GANs. `videobrush --version` prints the version."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status, see `rt.terminal.run_command`."""
    typed = list(sys.argv[1:] if arguments is None else arguments)

    def run() -> int:
        if typed == ["--version"]:
            print_results(f"videobrush {_version()}")
            return 0
        command = _read(typed)
        set_up_log(getattr(command, "verbose", False))
        return _run(command)

    return run_command(run)


def _read(typed: Sequence[str]) -> Command:
    """Return the command that was typed; exits with status 2 on wrong usage, 0 after `--help`."""
    with printing():
        return tyro.cli(
            Demo | Run | Batch | Studio | Styles | Bench | Doctor,
            prog="videobrush",
            description=DESCRIPTION,
            args=todays_words(typed),
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
        )


def _run(command: Command) -> int:
    if not isinstance(command, Styles) and command.device is not None:
        from rt.cuda.driver import choose_gpu

        choose_gpu(command.device)
    if isinstance(command, Demo):
        return _demo(command)
    if isinstance(command, Run):
        return _translate(command)
    if isinstance(command, Batch):
        return _translate_all(command)
    if isinstance(command, Studio):
        return _serve(command)
    if isinstance(command, Styles):
        return _show_styles(command)
    return _measure(command) if isinstance(command, Bench) else _examine(command)


def _version() -> str:
    return version() or "(not installed)"


def _signals(stop: Stop) -> AbstractContextManager[Signals]:
    return signals(stop.request, lambda: stop.settled)


def _given_up(received: Signals) -> int:
    """Say what becomes of a run that a second signal ended at once; return the exit status."""
    LOG.warning("%s again: given up; unfinished files are removed, live recordings end here", received.ending)
    return received.status


def _interrupted(received: Signals, frames: int, output: str | None) -> int:
    """Say what is left of a run that a signal ended; return the exit status."""
    if output is not None and frames:
        LOG.warning("%s: %d frames are written to %s", received.ending, frames, output)
    else:
        LOG.warning("%s: nothing is written", received.ending)
    return received.status


@contextmanager
def _libraries() -> Iterator[None]:
    """Say which system library an installed package misses, where importing it fails."""
    try:
        yield
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        raise VideobrushError(
            f"a package cannot be loaded: {error}; type: videobrush doctor; "
            "on a bare Debian or Ubuntu: apt-get install libgl1 libglib2.0-0"
        ) from None


def _translate(command: Run) -> int:
    if fault := command.fault():
        LOG.error("%s", fault)
        return USAGE_ERROR
    with _libraries():
        from rt.job import run_job
        from rt.pipeline import Stop
    stop = Stop()
    with _signals(stop) as received:
        try:
            stats = run_job(command, stop)
        except KeyboardInterrupt:
            return _given_up(received)
        except SourceError as error:
            if received.received is None or isinstance(error, DamagedSource):
                raise
            return _interrupted(received, 0, None)  # nothing came, and nothing was wanted any more
        if received.received is not None:
            return _interrupted(received, stats.frames, _where(command))
    where = f", {_where(command)}" if command.output else ""
    print_results(f"{counted(stats.frames, 'frame')}, {stats.fps:.1f} fps{where}", *live_lines(stats))
    return 0


def _translate_all(command: Batch) -> int:
    if fault := command.fault():
        LOG.error("%s", fault)
        return USAGE_ERROR
    with _libraries():
        from rt.batch.account import Account
        from rt.batch.driver import DISK_FULL, is_disk_full, run_batch, watch_plans
        from rt.batch.plan import FOLDER, make_plan
        from rt.batch.report import (
            check_report,
            end_lines,
            plan_lines,
            status_lines,
            summary,
            viewing,
            write_report,
        )
    if command.status_of is not None:
        print_results(*status_lines(Account(command.status_of / FOLDER)))
        return 0
    check_report(command.report, command.out)
    if command.dry_run:
        plan = make_plan(command)
        print_results(*plan_lines(plan, Account(plan.folder).done()))
        return 0
    asked_to_end, hurried = threading.Event(), threading.Event()
    status = 0
    facts: list[Fact] = []
    with signals(asked_to_end.set, again=hurried.set) as received:
        plans = (
            watch_plans(lambda: make_plan(command), asked_to_end.is_set)
            if command.watch
            else [make_plan(command)]
        )
        for plan in plans:
            if not command.watch:
                LOG.info("%s", summary(plan))
            try:
                outcome = run_batch(command, plan, asked_to_end.is_set, viewing, hurried.is_set)
            except VideobrushError as error:
                if not is_disk_full(str(error)):
                    raise
                LOG.error("%s", error)
                return DISK_FULL
            status = max(status, outcome.status)
            facts += outcome.facts
            if outcome.facts or not command.watch:
                print_results(*end_lines(outcome, _again(sys.argv[1:])))
                if command.report is not None:
                    write_report(command.report, replace(outcome, facts=tuple(facts)))
            if status == DISK_FULL:
                break
    if received.received is not None:
        LOG.warning("%s: what is done is kept; the same command continues", received.ending)
        return received.status
    return status


def _again(typed: Sequence[str]) -> str:
    """Return what to type to translate again what failed."""
    kept = [word for word in typed if word not in ("--retry-failed", "--watch")]
    return shlex.join(["videobrush", *kept, "--retry-failed"])


def _serve(command: Studio) -> int:
    if fault := command.fault():
        LOG.error("%s", fault)
        return USAGE_ERROR
    with _libraries():
        from rt.pipeline import Stop

        try:
            from rt.web.server import run_studio
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("rt"):
                raise
            raise VideobrushError(
                f"the studio needs the package {error.name}; type: {install_hint('studio')}"
            ) from None
    stop = Stop()
    with _signals(stop) as received:
        try:
            run_studio(command, stop, lambda address: print_results(f"studio: open {address}"))
        except KeyboardInterrupt:
            LOG.warning("stopped at once")
            return 128 + signal.SIGINT
    return received.status


def _where(command: Run) -> str | None:
    """Return what was written to, without the stream keys that addresses hold."""
    from rt.sinks import redacted

    outputs = [redacted(output) if "://" in output else output for output in command.output]
    return ", ".join(filter(None, (*outputs, command.record))) or None


def _demo(command: Demo) -> int:
    with _libraries():
        from rt.demo import STYLES, run_demo
        from rt.pipeline import Stop
    stop = Stop()
    styles = STYLES if command.style is None else (command.style,)
    with _signals(stop) as received:
        try:
            made = run_demo(command.out_dir, styles, command.backend, command.size, command.overwrite, stop)
        except KeyboardInterrupt:
            return _given_up(received)
        if received.received is not None:
            return _interrupted(received, made.stats.frames, str(made.video))
    print_results(
        f"{counted(made.stats.frames, 'frame')}, {made.stats.fps:.1f} fps",
        f"{made.video}: the clip in {', '.join(styles)}, with its audio",
        f"{made.sheet}: before (top) and after (bottom)",
    )
    return 0


def _show_styles(command: Styles) -> int:
    if fault := command.fault():
        LOG.error("%s", fault)
        return USAGE_ERROR
    if command.html:
        return _write_page(command)
    return _list_styles() if command.name is None else _show_card(command.name)


def _write_page(command: Styles) -> int:
    from rt.showcase import write_page
    from rt.styles import Listed, find_style, list_styles

    if command.name is None:
        listed = list_styles()
    else:
        style = find_style(command.name)
        listed = [Listed(style.name, style.folder, style, None)]
    path = command.out or Path("styles.html")
    write_page(listed, path, command.overwrite)
    print_results(f"{path}: {counted(len(listed), 'style')}")
    return 0


def _list_styles() -> int:
    from rt.styles import list_styles, styles_folder

    listed = list_styles()
    if not listed:
        raise VideobrushError(f"there are no styles: put one into {styles_folder()}")
    print_results(
        *table([("name", "title", "size", "precisions", "where"), *(style_row(entry) for entry in listed)])
    )
    for entry in listed:
        if entry.fault is not None:
            LOG.warning("%s", entry.fault)
    return 0


def _show_card(name: str) -> int:
    from rt.styles import find_style

    print_results(*card_lines(find_style(name)))
    return 0


def _measure(command: Bench) -> int:
    if fault := command.fault():
        LOG.error("%s", fault)
        return USAGE_ERROR
    with _libraries():
        from rt.bench import measure_speed, measure_steady
    chosen = command.style, command.backend, command.precision, command.size
    if command.clip is None:
        print_results(*speed_lines(measure_speed(*chosen, command.seconds), _version()))
    else:
        found = measure_steady(command.clip, *chosen, command.steady, command.seconds)
        print_results(*steady_lines(found, command, _version()))
    return 0


def _examine(command: Doctor) -> int:
    from rt.doctor import can_run, essential, examine

    findings = examine()
    shown = findings if command.verbose else essential(findings)
    marks = {True: "ok", False: "no", None: ""}
    width = max(len(finding.name) for finding in shown)
    print_results(
        *(
            f"{finding.group:8} {marks[finding.works]:3} {finding.name:{width}}  {finding.detail}".rstrip()
            for finding in shown
        )
    )
    if can_run(findings):
        return 0
    raise VideobrushError(
        "nothing can be translated here: neither openvino nor onnxruntime works together with opencv-python; "
        f"see the lines above; type: {install_hint(again=True)}"
    )
