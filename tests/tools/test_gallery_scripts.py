"""The scripts of the gallery call commands that exist."""

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
from tools.gallery.filters import FILTERS
from train.config import Distill, Paint, Pix2Pix
from train.export import Export

NAMES = sorted(path.parent.name for path in (ROOT / "tools" / "gallery").glob("*/make.sh"))
GIVEN = {
    "winter": "photos packages out calibrate held_out",
    "monet": "monet photos previews clip out calibrate held_out",
    "colour": "season monet previews clip out calibrate held_out",
    "facade": "facades out",
    "wave": "painting packages out calibrate held_out",
    "starry": "painting packages out calibrate held_out",
    "scream": "painting packages out calibrate held_out",
    "comic": "photos packages out calibrate held_out",
    "pencil": "photos packages out calibrate held_out",
    "autumn": "photos packages out calibrate held_out",
    "night": "photos packages out calibrate held_out",
}
"""What each script is given, in the order of its first line."""
FAKE = """#!/bin/bash
fails=
if [ -n "${FAIL-}" ]; then  # every command fails when it is called for the first time
    seen="$CALLS.$(printf "%s " "$0" "${@//--resume/}" | cksum | cut -d" " -f1)"
    [ -e "$seen" ] || fails=1
    touch "$seen"
fi
for word in "$@"; do
    case "$word" in *.part*) mkdir -p "$word"; [ -z "$fails" ] || touch "$word/half" ;; esac
    if [ "${before-}" = --run ]; then
        mkdir -p "$word"
        [ -n "$fails" ] || touch "$word/checkpoint.safetensors"
    fi
    before="$word"
done
printf "%s\\0" "${fails:-0}" "$(basename "$0")" "$@" >> "$CALLS"; printf "\\n" >> "$CALLS"
exit "${fails:-0}"
"""
"""Stands in for every command: writes down whether it failed and how it was called, and makes its folder."""


class Script:
    """A style's script in a work folder, with commands that only write down how they were called."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.work = name, folder / "a work folder"
        self._bin, self._calls = folder / "bin", folder / "calls"
        self._bin.mkdir()
        for command in ("python", "videobrush-train", "videobrush-engines"):
            (self._bin / command).write_text(FAKE)
            (self._bin / command).chmod(0o755)
        for split in ("trainA", "trainB", "testA", "testB"):
            for data in ("season", "monet"):
                (self.work / data / split).mkdir(parents=True)
                (self.work / data / split / "0.jpg").touch()
        (self.work / "facades").mkdir()
        (self.work / "held_out").mkdir()
        (self.work / "held_out" / "a clip.mp4").touch()

    def run(self, fail: str = "") -> tuple[list[list[str]], subprocess.CompletedProcess[str]]:
        """Run the script; return its calls, each after "1" where it failed and "0" else, and how it ended."""
        self._calls.write_text("")
        made = subprocess.run(
            ["bash", str(ROOT / "tools" / "gallery" / self.name / "make.sh"), *GIVEN[self.name].split()],
            cwd=self.work,
            env={
                **os.environ,
                "PATH": f"{self._bin}:{os.environ['PATH']}",
                "CALLS": str(self._calls),
                "FAIL": fail,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return [line.split("\0")[:-1] for line in self._calls.read_text().splitlines()], made


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
    script = Script(name, tmp_path)
    made, ended = script.run()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (script.work / "out").is_dir()
    calls = [words[1:] for words in made]
    trained = [parsed(train.cli, words, monkeypatch) for words in calls if words[0] == "videobrush-train"]
    exported = trained[-1]
    if isinstance(exported, Paint):
        assert (len(trained), exported.name, str(exported.data)) == (1, name, "painting")
        learnt = []
    else:
        *learnt, student, exported = trained
        assert isinstance(student, Distill)
        assert isinstance(exported, Export)
        assert (exported.name, exported.run) == (name, student.run)
        if student.teacher is None:
            filtered = next(words for words in calls if "tools.gallery.filters" in words)
            assert (student.teacher_images, filtered[-3]) == (Path(f"{name}_pairs"), name)
            assert filtered[-1] == f"{name}_pairs.part"
            assert name in FILTERS
        else:
            assert student.teacher in [teacher.run for teacher in learnt]
    assert exported.facts is not None
    assert exported.facts.resolve() == ROOT / "tools" / "gallery" / name / "facts.json"
    starts = [run.start_from for run in learnt if isinstance(run, Pix2Pix) and run.start_from]
    assert set(starts) <= {run.run for run in learnt}
    quantized = [
        parsed(engines.cli, words, monkeypatch) for words in calls if words[0] == "videobrush-engines"
    ]
    assert [command.style for command in quantized] == [str(exported.out)]
    called = [words[1:] for words in calls if words[0] == "python"]
    for words in called:
        module = Path(words[1].replace(".", "/")) if words[0] == "-m" else Path(words[0]).with_suffix("")
        assert (ROOT / module.with_suffix(".py")).is_file() or (ROOT / module / "__main__.py").is_file()
    described = called[-1]
    assert described[:3] == ["-m", "tools.gallery.describe", str(exported.out)]
    if name != "facade":  # no clip shows plans
        assert described[described.index("--clips") + 1] == "held_out/a clip.mp4"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", NAMES)
def test_a_script_interrupted_anywhere_continues_where_it_stopped(name: str, tmp_path: Path) -> None:
    script, begun, failures = Script(name, tmp_path), set[str](), 0
    for _ in range(30):
        calls, ended = script.run(fail="1")
        for failed, *words in calls:
            failures += int(failed)
            if "--run" in words and words[0] == "videobrush-train":
                run = words[words.index("--run") + 1]
                if words[1] == "paint":  # goes on by itself
                    continue
                assert ("--resume" in words) == (run in begun)
                if failed == "0":
                    begun.add(run)
        if ended.returncode == 0:
            break
    assert ended.returncode == 0
    assert failures > 5
    assert (script.work / "out").is_dir()
    assert not [path for path in script.work.rglob("*") if path.name == "half" or ".part" in path.name]

    calls, ended = script.run()
    assert (ended.returncode, calls) == (1, [])
    assert ended.stderr == "error: out exists: move it away, or give another OUT\n"
    (script.work / "out").rmdir()
    calls, _ = script.run()
    assert {word for words in calls for word in words if ".part" in word} == {"out.part"}


def test_every_style_of_the_gallery_has_its_script() -> None:
    assert {folder.name for folder in GALLERY.iterdir() if folder.is_dir()} <= set(NAMES) == set(GIVEN)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_without_its_arguments_says_what_they_are(name: str, tmp_path: Path) -> None:
    script = ROOT / "tools" / "gallery" / name / "make.sh"
    made = subprocess.run(
        ["bash", str(script), "one"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 2
    assert made.stderr.startswith("error: needed arguments: ")
    words = made.stderr.removeprefix("error: needed arguments: ").split()
    assert len(words) - 3 * ("needed" in words) == len(GIVEN[name].split())
    assert made.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
