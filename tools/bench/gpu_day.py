"""The first hour with a real GPU, in nine minutes: `python -m tools.bench.gpu_day`.

Needs this checkout and nothing but these packages (`WHEELS`):

    base          av numpy onnxruntime opencv-python openvino pillow rich tyro
    GPU           pycuda nvidia-cuda-nvrtc               (pycuda is compiled by nvcc where it is installed)
    engines       onnx, and tensorrt, or tensorrt-rtx-cu13-bindings with onnxruntime-ep-nv-tensorrt-rtx-cu13
    training      torch onnx onnxscript safetensors tensorboard
    tests         pytest

What is missing costs its own sections alone. Each section is a process of its own with its own limit, so that
nothing that fails, hangs or crashes stops what comes after it; the limits add up to less than nine minutes.
A section is `ok`, `failed`, or `not possible` here, with the reason. Writes gpu_day-DATE-GPU.json and .md to
`--out`, anew after every section. Exit 1 where a section failed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rt.replacing import replacing
from tools.bench.gpu_day_report import as_markdown
from tools.bench.result import ROOT, facts

WHEELS = {
    "base": ("av", "numpy", "onnxruntime", "opencv-python", "openvino", "pillow", "rich", "tyro"),
    "GPU": ("pycuda", "nvidia-cuda-nvrtc"),
    "engines": ("onnx",),
    "training": ("torch", "onnx", "onnxscript", "safetensors", "tensorboard"),
    "tests": ("pytest",),
}
"""Packages by what needs them; TensorRT or TensorRT for RTX beside them."""
LIMIT_S = 540
"""All of it, in seconds."""
_TAIL = 40
"""Lines of a section's own words that the report keeps."""
Ended = Literal["ok", "failed", "not possible"]


@dataclass(frozen=True)
class Section:
    """One process of the day."""

    name: str
    limit_s: int
    command: tuple[str, ...]
    """Arguments of Python; `{s}` becomes the seconds there are, `{device}` what training computes on."""
    needs: tuple[str, ...] = ()
    """What must be there, of the names in the first section's row."""


@dataclass
class Outcome:
    """How a section ended."""

    name: str
    ended: Ended
    seconds: float
    reason: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """What it printed as JSON, line by line."""
    words: list[str] = field(default_factory=list)
    """The end of what else it said."""


def _part(name: str) -> tuple[str, ...]:
    return "-m", "tools.bench.gpu_day_parts", name, "--seconds", "{s}"


def _training(name: str) -> tuple[str, ...]:
    return "-m", "tools.bench.gpu_day_training", name, "--device", "{device}"


def _bench(*options: str) -> tuple[str, ...]:
    return "-m", "tools.bench.train", "--device", "{device}", *options


_TESTS = ("-m", "pytest", "-m", "gpu", "tests/e2e/test_gpu.py", "-q", "-rs", "-p", "no:cacheprovider")
SECTIONS = (
    Section("what is there", 25, _part("probe")),
    Section("doctor", 35, ("-m", "rt", "doctor", "--verbose")),
    Section("kernels", 25, _part("kernels"), ("gpu", "compiler")),
    Section("graphs", 15, _part("graphs"), ("gpu",)),
    Section("streams", 15, _part("streams"), ("gpu",)),
    Section("tests on the GPU", 80, _TESTS, ("gpu", "pytest")),
    Section("engines of all styles", 90, _part("engines"), ("engines",)),
    Section(
        "engines, timed",
        45,
        ("-m", "tools.bench.engines", "--style", "winter", "--size", "256", "--runs", "200"),
        ("engines", "compiler"),
    ),
    Section("training steps", 50, _bench("--seconds", "15"), ("training",)),
    Section("training steps, compiled", 70, _bench("--seconds", "10", "--compile"), ("training",)),
    Section("training resumed", 40, _training("resume"), ("training",)),
    Section("training in two processes", 40, _training("processes"), ("training",)),
)
"""All sections, in their order; the first says what is there."""


def main() -> int:
    """Run every section, write both reports, and say where they are."""
    arguments = _parse()
    known = [section.name for section in SECTIONS]
    if unknown := sorted(set(arguments.only) - set(known)):
        print(f"gpu_day: no section {unknown[0]!r}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted = [s for s in SECTIONS if s is SECTIONS[0] or not arguments.only or s.name in arguments.only]
    result, paths = run_day(wanted, arguments.out, arguments.device, _say)
    for path in paths:
        print(path, file=sys.stderr)
    print(json.dumps(result))
    return 1 if any(section["ended"] == "failed" for section in result["sections"]) else 0


def _parse() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the reports go")
    made.add_argument("--only", nargs="+", default=[], metavar="SECTION", help="these sections alone")
    made.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="what training computes on; cpu: to try this",
    )
    return made.parse_args()


def _say(outcome: Outcome) -> None:
    reason = f": {outcome.reason}" if outcome.reason else ""
    print(f"{outcome.name}: {outcome.ended} in {outcome.seconds:.0f} s{reason}", file=sys.stderr, flush=True)


def run_day(
    sections: Sequence[Section], out: Path, device: str, say: Callable[[Outcome], None]
) -> tuple[dict[str, Any], list[Path]]:
    """Run the sections one after the other; return the result and the files it is written to."""
    began = time.monotonic()
    found: dict[str, Any] = {}
    result = {**facts("gpu_day"), "packages": dict(_packages()), "found": found, "sections": []}
    outcomes: list[dict[str, Any]] = result["sections"]
    paths: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as folder:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "VIDEOBRUSH_ENGINES": f"{folder}/engines"}
        for section in sections:
            outcome = _one(section, found, device, environment, LIMIT_S - (time.monotonic() - began))
            if section is SECTIONS[0]:
                found.update(outcome.rows[-1] if outcome.rows else {})
            outcomes.append(asdict(outcome))
            result["seconds"] = round(time.monotonic() - began, 1)
            paths = _write(result, out)
            say(outcome)
    return result, paths


def _one(
    section: Section, found: Mapping[str, Any], device: str, environment: Mapping[str, str], left_s: float
) -> Outcome:
    """Run a section, unless something it needs is not there."""
    if section is not SECTIONS[0]:
        for need in section.needs:
            if device == "cpu" and need == "training":
                continue
            missing = found.get(need, f"{SECTIONS[0].name!r} did not say whether there is: {need}")
            if missing:
                return Outcome(section.name, "not possible", 0.0, str(missing))
    limit_s = min(section.limit_s, left_s)
    if limit_s < 1:
        return Outcome(section.name, "not possible", 0.0, "no time is left")
    values = {"s": str(max(1, int(limit_s - 5))), "device": device}
    command = [sys.executable, *(argument.format(**values) for argument in section.command)]
    began = time.monotonic()
    status, said = run_limited(command, environment, limit_s)
    rows, words = _read(said)
    outcome = Outcome(section.name, "ok", round(time.monotonic() - began, 1), "", rows, words[-_TAIL:])
    outcome.ended, outcome.reason = _judge(status, limit_s, rows, words)
    return outcome


def run_limited(
    command: Sequence[str], environment: Mapping[str, str], limit_s: float
) -> tuple[int | None, str]:
    """Run a process for at most so long; return its status, None past the limit, and what it said."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status: int | None = None
        with suppress(subprocess.TimeoutExpired):
            status = process.wait(limit_s)
        # Those it started too: nothing of one section may slow down the next.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said.seek(0)
        return status, said.read().decode(errors="replace")


def _read(said: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows and the other lines of what a section said."""
    rows: list[dict[str, Any]] = []
    words: list[str] = []
    for line in said.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif line.strip():
            words.append(line.rstrip())
    return rows, words


def _judge(
    status: int | None, limit_s: float, rows: list[dict[str, Any]], words: list[str]
) -> tuple[Ended, str]:
    if status is None:
        return "failed", f"not done after {limit_s:.0f} s; {len(rows)} rows until then"
    last = words[-1] if words else ""
    if status < 0:
        return "failed", f"ended by {signal.Signals(-status).name}: {last}"
    if status:
        return "failed", f"exit status {status}: {last}"
    if words and " skipped" in last and " passed" not in last:  # of pytest
        reasons = [line.partition(": ")[2] for line in words if line.startswith("SKIPPED")]
        return "not possible", f"every test is skipped: {'; '.join(dict.fromkeys(reasons))}"
    return "ok", ""


def _packages() -> Iterator[tuple[str, str | None]]:
    """Yield each package of `WHEELS` and its version, None where it is missing."""
    for name in dict.fromkeys(package for group in WHEELS.values() for package in group):
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, None


def _write(result: dict[str, Any], out: Path) -> list[Path]:
    """Write both reports whole and return their paths."""
    gpu = str(result["found"].get("name", "no GPU"))
    name = "".join(letter if letter.isalnum() else "-" for letter in gpu)
    paths = [out / f"gpu_day-{result['date']}-{name}{suffix}" for suffix in (".json", ".md")]
    for path, text in zip(paths, (json.dumps(result, indent=2) + "\n", as_markdown(result)), strict=True):
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    return paths


if __name__ == "__main__":
    sys.exit(main())
