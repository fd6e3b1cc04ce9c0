"""Counts, sizes, names and errors in words."""

from __future__ import annotations

import pytest

from rt.text import counted, first_few, megabytes, one_line, width_x_height


@pytest.mark.parametrize(("number", "told"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_one_is_no_plural(number: int, told: str) -> None:
    assert counted(number, "frame") == told


def test_sizes_are_width_by_height_and_megabytes() -> None:
    assert width_x_height((720, 1280)) == "1280x720"
    assert (megabytes(6_140_000), megabytes(6_140_000, 2), megabytes(6_140_000, 0)) == (
        "6.1 MB",
        "6.14 MB",
        "6 MB",
    )


@pytest.mark.parametrize(
    ("names", "separator", "told"),
    [
        ([], ", ", ""),
        (["a", "b"], ", ", "a, b"),
        (["a", "b", "c"], ", ", "a, b and 1 more"),
        (["a", "b", "c", "d"], "; ", "a; b; and 2 more"),
    ],
)
def test_the_first_names_are_told_and_the_others_counted(names: list[str], separator: str, told: str) -> None:
    assert first_few(names, 2, separator) == told


def test_an_error_of_many_lines_is_one_line_without_source_positions() -> None:
    error = RuntimeError("Exception from src/core.cpp:62:\nCheck 'x' failed\n\n  no such node \n at 7\nend\n")
    assert one_line(error) == "no such node; at 7; end"
    assert one_line(error, 2) == "no such node; at 7"
    assert one_line(KeyError()) == "KeyError"
