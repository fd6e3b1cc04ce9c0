"""Let children of the tests begin with default signal handling, whatever our parent ignores."""

from __future__ import annotations

import signal
from types import FrameType

NAMES = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM")


def stop_passing_on(names: tuple[str, ...] = NAMES) -> list[str]:
    """Replace each ignored signal by a handler that does nothing; return the names of those.

    `nohup` ignores SIGHUP, a script's `&` ignores SIGINT and SIGQUIT, and what is ignored stays so in every
    child. A handler does not survive exec: this process goes on ignoring the signal, its children do not.
    """
    ignored = []
    for name in names:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignore)
            ignored.append(name)
    return ignored


def ignore(names: list[str]) -> None:
    """Let this process ignore the signals, and its children not."""
    for name in names:
        signal.signal(getattr(signal, name), _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing."""
