"""The GPU's side, in processes whose CUDA driver is a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cuda.build import DRIVER, ROOT, missing

FOLDER = ROOT / "tests" / "stand_in"


SUITES = [str(path.relative_to(ROOT)) for path in sorted(FOLDER.glob("test_*.py"))]
PROMISES = "tests/contract/test_backends.py"
"""The promises of every backend; those that need no other backend are asked of TensorRT."""


@pytest.mark.slow
@pytest.mark.parametrize("suite", [*SUITES, PROMISES])
def test_everything_holds_on_the_stand_in_driver(suite: str, tmp_path: Path) -> None:
    if lacking := missing():
        pytest.skip(lacking)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}"]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join([str(DRIVER.parent), os.environ.get("LD_LIBRARY_PATH", "")]),
        "VIDEOBRUSH_STAND_IN_DRIVER": "1",
    }
    result = subprocess.run(
        [*command, suite, *(["-k", "tensorrt"] if suite == PROMISES else [])],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
