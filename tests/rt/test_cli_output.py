from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rt.demo import CLIP
from rt.image import write_image
from tests.support.cli import environment
from tests.support.onnx_styles import drawn_image, make_style


def shell(command: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `$VIDEOBRUSH` is the command."""
    changed = environment(VIDEOBRUSH=f"{sys.executable} -m rt", **changes)
    return subprocess.run(
        ["sh", "-c", command], cwd=cwd, env=changed, capture_output=True, text=True, check=False
    )


on_unix = pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell")


@on_unix
@pytest.mark.parametrize("typed", ["styles", "styles meadow", "--version", "run --help"])
def test_a_reader_of_the_results_who_leaves_causes_no_traceback(
    typed: str, own_styles: Path, tmp_path: Path
) -> None:
    make_style(own_styles, "meadow")
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run(
        [sys.executable, "-m", "rt", *typed.split()],
        cwd=tmp_path,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (said.returncode, said.stderr) == (141, "")


OTHER_COMMANDS = [
    ("engines", "inspect", "winter"),
    ("engines", "inspect", "--help"),
    ("train", "check", "images"),
    ("train", "check", "--help"),
]
"""What the commands beside `videobrush` print, to be read to its first line."""


def other_command(typed: tuple[str, ...], tmp_path: Path, stdout: int) -> subprocess.CompletedProcess[str]:
    """Run one of the other two commands in a folder with images to check."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        write_image(drawn_image(64, 64, number), tmp_path / "images" / f"{number}.png")
    return subprocess.run(
        [sys.executable, "-m", f"{typed[0]}.cli" if typed[0] == "train" else typed[0], *typed[1:]],
        cwd=tmp_path,
        env=environment(),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.slow
@on_unix
@pytest.mark.parametrize("typed", OTHER_COMMANDS, ids=" ".join)
def test_a_reader_who_leaves_causes_no_traceback_of_the_other_commands(
    typed: tuple[str, ...], tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    said = other_command(typed, tmp_path, writer)
    os.close(writer)
    assert (said.returncode, said.stderr) == (141, "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("typed", OTHER_COMMANDS, ids=" ".join)
def test_results_of_the_other_commands_that_cannot_be_printed_are_one_line(
    typed: tuple[str, ...], tmp_path: Path
) -> None:
    with Path("/dev/full").open("w") as full:
        said = other_command(typed, tmp_path, full.fileno())
    message = "error: the results cannot be printed: No space left on device\n"
    assert (said.returncode, said.stderr) == (1, message)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("typed", ["styles", "styles meadow", "--version", "run --help"])
def test_results_that_cannot_be_printed_are_one_line(typed: str, own_styles: Path, tmp_path: Path) -> None:
    make_style(own_styles, "meadow")
    said = shell(f"$VIDEOBRUSH {typed} >/dev/full", tmp_path)
    message = "error: the results cannot be printed: No space left on device\n"
    assert (said.returncode, said.stderr) == (1, message)


@pytest.mark.slow
@on_unix
def test_closed_streams_do_not_stop_a_run_nor_end_up_in_its_file(own_styles: Path, tmp_path: Path) -> None:
    make_style(own_styles, "meadow")
    for name, closed in {"out": ">&-", "err": "2>&-", "all": "<&- >&- 2>&-"}.items():
        typed = f"run {CLIP} {name}.mp4 --style meadow --backend identity"
        assert shell(f"$VIDEOBRUSH {typed} {closed}", tmp_path).returncode == 0
    shell(f"$VIDEOBRUSH run {CLIP} open.mp4 --style meadow --backend identity", tmp_path)
    names = ("open", "out", "err", "all")
    assert len({(tmp_path / f"{name}.mp4").read_bytes() for name in names}) == 1


@on_unix
def test_a_name_the_terminal_cannot_show_is_printed_in_ascii(own_styles: Path, tmp_path: Path) -> None:
    make_style(own_styles, "meadow")
    typed = f"run {CLIP} schön.mp4 --style meadow --backend identity"
    said = shell(f"$VIDEOBRUSH {typed}", tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith(r", sch\xf6n.mp4" "\n")
