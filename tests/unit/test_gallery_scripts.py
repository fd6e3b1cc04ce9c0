"""The scripts that make the gallery's styles call commands that exist, with options they have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import engines.cli
import train.cli
from rt.styles import GALLERY
from tools.bench.result import ROOT
from train.config import Distill, Pix2Pix
from train.export import Export

NAMES = sorted(path.parent.name for path in (ROOT / "tools" / "gallery").glob("*/make.sh"))
GIVEN = {
    "winter": "season previews clip out calibrate held_back",
    "summer": "season previews clip out calibrate held_back",
    "monet": "monet photos previews clip out calibrate held_back",
    "colour": "season monet previews clip out calibrate held_back",
    "facade": "facades out",
}
"""What each script is given, in the order of its first line."""
LOGGING = """#!/bin/bash
printf "%s\\0" "$(basename "$0")" "$@" >> "$CALLS"; printf "\\n" >> "$CALLS"
for word in "$@"; do
    case "$word" in *.part*) mkdir -p "$word" ;; esac
    if [ "${before-}" = --run ]; then mkdir -p "$word"; touch "$word/checkpoint.safetensors"; fi
    before="$word"
done
"""


def calls_of(name: str, folder: Path, times: int = 1) -> list[list[str]]:
    """Run a style's script where every command only writes down how it was called and makes its folder."""
    (folder / "bin").mkdir()
    for command in ("python", "frameshift-train", "frameshift-engines"):
        (folder / "bin" / command).write_text(LOGGING)
        (folder / "bin" / command).chmod(0o755)
    work = folder / "a work folder"
    for split in ("trainA", "trainB", "testA", "testB"):
        for data in ("season", "monet"):
            (work / data / split).mkdir(parents=True)
            (work / data / split / "0.jpg").touch()
    (work / "facades").mkdir()
    (work / "held_back").mkdir()
    (work / "held_back" / "a clip.mp4").touch()
    script = ROOT / "tools" / "gallery" / name / "make.sh"
    for _ in range(times):
        made = subprocess.run(
            ["bash", str(script), *GIVEN[name].split()],
            cwd=work,
            env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(folder / "calls")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (made.returncode, made.stderr) == (0, "")
        assert not list(work.glob("*.part"))
    return [line.split("\0")[:-1] for line in (folder / "calls").read_text().splitlines()]


def parsed(module: Any, words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the settings that a command line asks for."""
    found: list[Any] = []
    monkeypatch.setattr(module, "_run", found.append)
    monkeypatch.setattr(sys, "argv", words)
    module.main()
    return found[0]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_a_style_exists_with_its_options(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = calls_of(name, tmp_path)
    trained = [parsed(train.cli, words, monkeypatch) for words in calls if words[0] == "frameshift-train"]
    *learnt, student, exported = trained
    assert isinstance(student, Distill)
    assert isinstance(exported, Export)
    assert (exported.name, exported.run) == (name, student.run)
    assert student.teacher in [teacher.run for teacher in learnt]
    assert exported.facts is not None
    assert exported.facts.resolve() == ROOT / "tools" / "gallery" / name / "facts.json"
    starts = [run.start_from for run in learnt if isinstance(run, Pix2Pix) and run.start_from]
    assert set(starts) <= {run.run for run in learnt}
    quantized = [
        parsed(engines.cli, words, monkeypatch) for words in calls if words[0] == "frameshift-engines"
    ]
    assert [command.style for command in quantized] == [str(exported.out)]
    called = [words[1:] for words in calls if words[0] == "python"]
    for words in called:
        script = Path(words[1].replace(".", "/") + ".py") if words[0] == "-m" else Path(words[0])
        assert (ROOT / script).is_file()
    described = called[-1]
    assert described[:3] == ["-m", "tools.gallery.describe", str(exported.out)]
    if name != "facade":  # no clip shows plans
        assert described[described.index("--clips") + 1] == "held_back/a clip.mp4"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", NAMES)
def test_a_script_run_again_goes_on_with_its_runs_and_keeps_its_data(name: str, tmp_path: Path) -> None:
    calls = calls_of(name, tmp_path, times=2)
    trained = [words for words in calls if "--run" in words and words[0] == "frameshift-train"]
    first, again = trained[: len(trained) // 2], trained[len(trained) // 2 :]
    assert again == [[*words, "--resume"] for words in first]
    made = [words for words in calls if any(".part" in word for word in words)]
    assert len({tuple(words) for words in made}) == len(made)


def test_every_style_of_the_gallery_has_its_script() -> None:
    assert {folder.name for folder in GALLERY.iterdir() if folder.is_dir()} <= set(NAMES) == set(GIVEN)
