from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import environment, loaded


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("--version",), ("run",), ("styles",), ("styles", "nothing")],
    ids=" ".join,
)
def test_help_version_usage_and_styles_load_no_heavy_package(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    _, names = loaded(*arguments, cwd=tmp_path)
    assert names == set()


@pytest.mark.parametrize("module", ["rt.sources", "rt.sinks", "rt.backends", "rt.pipeline"])
def test_the_protocols_load_no_heavy_package_but_numpy(module: str) -> None:
    code = (
        f"import sys, {module}; print([n for n in ('av','cv2','onnxruntime','openvino') if n in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"
