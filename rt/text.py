"""Counts, sizes, names and errors in words, as every message writes them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return `1 frame`, `3 frames`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def megabytes(size_bytes: float, digits: int = 1) -> str:
    """Return `6.1 MB`, with so many digits behind the point."""
    return f"{size_bytes / 1e6:.{digits}f} MB"


def width_x_height(size: tuple[int, int]) -> str:
    """Return the (height, width) of a frame as people write it: `1280x720`."""
    return f"{size[1]}x{size[0]}"


def first_few(names: Sequence[str], shown: int, separator: str = ", ") -> str:
    """Return the first names and how many more there are: `a.png, b.png and 3 more`."""
    more = len(names) - shown
    last = (" and " if separator == ", " else f"{separator}and ") + f"{more} more"
    return separator.join(names[:shown]) + (last if more > 0 else "")


def one_line(error: BaseException, most: int | None = None) -> str:
    """Return a library's error on one line, of its first lines where `most` says how many.

    The C++ source positions that some begin with are left out.
    """
    lines = (line.strip() for line in str(error).splitlines())
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return "; ".join(told[:most]) or type(error).__name__
