"""The day of the first GPU stops for nothing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tools.bench import gpu_day
from tools.bench.gpu_day import LIMIT_S, SECTIONS, WHEELS, Outcome, Section, run_day
from tools.bench.gpu_day_report import as_markdown
from tools.bench.result import ROOT, facts

PROBE = 'print(\'{{"name": "GeForce X", "gpu": null, "engines": "no TensorRT here"}}\')'
SKIPPED = "print('SKIPPED [2] tests/e2e/test_gpu.py:1: no GPU'); print('2 skipped in 0.01s')"
CRASH = "import ctypes; print('so far', flush=True); ctypes.string_at(0)"
LEAVES_A_CHILD = """
import json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(json.dumps(dict(child=child.pid)))
"""


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs sections of Python code instead of the real ones, and returns their outcomes and the result."""

    def run(*sections: Section) -> tuple[dict[str, Outcome], dict[str, Any], list[Path]]:
        first = Section("what is there", 60, ("-c", PROBE))
        monkeypatch.setattr(gpu_day, "SECTIONS", (first, *sections))
        said: list[Outcome] = []
        result, paths = run_day((first, *sections), tmp_path, "cuda", said.append)
        return {outcome.name: outcome for outcome in said}, result, paths

    return run


def test_its_sections_end_within_nine_minutes_and_each_says_what_it_needs() -> None:
    assert sum(section.limit_s for section in SECTIONS) <= LIMIT_S == 540
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)
    assert {need for section in SECTIONS for need in section.needs} == {
        *("gpu", "compiler", "engines", "training", "pytest")
    }


def test_whatever_a_section_does_the_next_ones_run(day: Any) -> None:
    found, result, paths = day(
        Section("crashes", 60, ("-c", CRASH)),
        Section("hangs", 1, ("-c", "import time; time.sleep(60)")),
        Section("leaves a child", 60, ("-c", LEAVES_A_CHILD)),
        Section("fails", 60, ("-c", "print('{{\"a\": 1}}'); raise SystemExit('no such thing')")),
        Section("not here", 60, ("-c", "raise SystemExit(1)"), ("gpu", "engines")),
        Section("unknown", 60, ("-c", "raise SystemExit(1)"), ("moon",)),
        Section("skips", 60, ("-c", SKIPPED), ("gpu",)),
        Section("works", 60, ("-c", "print('{{\"p50_ms\": 7}}')")),
    )
    ended = {name: (outcome.ended, outcome.reason) for name, outcome in found.items()}
    child = found["leaves a child"].rows[0].pop("child")
    assert ended == {
        "what is there": ("ok", ""),
        "crashes": ("failed", "ended by SIGSEGV: so far"),
        "hangs": ("failed", "not done after 1 s; 0 rows until then"),
        "leaves a child": ("ok", ""),
        "fails": ("failed", "exit status 1: no such thing"),
        "not here": ("not possible", "no TensorRT here"),
        "unknown": ("not possible", "'what is there' did not say whether there is: moon"),
        "skips": ("not possible", "every test is skipped: no GPU"),
        "works": ("ok", ""),
    }
    assert found["works"].rows == [{"p50_ms": 7}]
    assert found["fails"].rows == [{"a": 1}]
    _wait_for_end(child)
    written = json.loads(paths[0].read_text())
    assert [section["ended"] for section in written["sections"]] == [end for end, _ in ended.values()]
    assert paths[0].name == f"gpu_day-{result['date']}-GeForce-X.json"
    text = paths[1].read_text()
    assert "| crashes | failed | " in text
    assert "| not here | not possible | 0.0 | no TensorRT here |" in text
    assert "| p50_ms |\n|---|\n| 7 |" in text
    assert not list(paths[0].parent.glob("*.part"))


def _wait_for_end(pid: int) -> None:
    """Wait until a process is gone, or only its exit status is left."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} of a section that is over still runs")


def test_without_time_the_rest_is_not_possible_and_said(day: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_day, "LIMIT_S", 0)
    found, _, _ = day(Section("late", 60, ("-c", "pass")))
    assert found["late"].ended == "not possible"
    assert found["late"].reason == "no time is left"


def test_a_report_without_a_gpu_is_one_too() -> None:
    result = {**facts("gpu_day"), "packages": {"torch": None}, "found": {}, "sections": []}
    assert as_markdown(result).startswith("# No GPU, ")
    assert "torch (missing)" in as_markdown(result)


def test_an_unknown_section_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_day", "--only", "kernel"])
    assert gpu_day.main() == 2
    assert capsys.readouterr().err.startswith("gpu_day: no section 'kernel'; known: what is there, doctor, ")


def test_its_packages_are_those_of_the_project() -> None:
    """Nothing is listed that the project does not ask for, under the same names."""
    text = (Path(ROOT) / "pyproject.toml").read_text(encoding="utf-8")
    for name in (package for group in WHEELS.values() for package in group):
        assert f'"{name}>=' in text or f'"{name}==' in text, name
