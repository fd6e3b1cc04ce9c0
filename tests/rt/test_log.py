from __future__ import annotations

import io
import sys

import pytest

import rt.terminal
from rt.log import LOG, set_up_log
from rt.terminal import progress


class Clock:
    """Stands in for `time`: moves only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved_by_hand = Clock()
    monkeypatch.setattr(rt.terminal, "time", moved_by_hand)
    return moved_by_hand


def test_without_a_terminal_progress_is_a_line_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_log()
    with progress("winter", total=900) as report:
        for second in range(1, 26):
            clock.now_s = 100.0 + second
            report(30 * second)
    assert capsys.readouterr() == ("", "300 of 900 frames, 30.0 fps\n600 of 900 frames, 30.0 fps\n")


def test_without_a_terminal_a_short_run_shows_no_progress(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_log()
    with progress("winter", total=None) as report:
        report(10)
    assert capsys.readouterr() == ("", "")


def test_what_is_said_is_one_line_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_log()
    set_up_log()
    LOG.info("frames: %d", 3)
    LOG.getChild("sinks.file").warning("two\n  lines")
    LOG.error("broken")
    LOG.debug("not said")
    assert capsys.readouterr() == ("", "frames: 3\nwarning: two lines\nerror: broken\n")


def test_a_terminal_that_is_closed_does_not_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Closed())
    done = []
    with progress("winter", 10) as report:
        report(10)
        done.append(10)
    assert done == [10]


def test_brackets_in_what_is_shown_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("styles/[/v2]/[bold]mine", 10) as report:
        report(10)
    assert "styles/[/v2]/[bold]mine" in terminal.getvalue()


def test_a_closed_stderr_does_not_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def isatty(self) -> bool:
            return False

    set_up_log()
    monkeypatch.setattr(sys, "stderr", Closed())
    LOG.warning("nobody hears this")
