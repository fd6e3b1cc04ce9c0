"""A batch killed with -9: the bytes of one in peace, and nothing that was whole made again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import LIMIT_S, environment
from tests.support.media import Audio, Clip, write_clip
from tests.support.onnx_styles import make_style


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_batch_killed_at_any_file_operation_ends_with_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "film.mp4", Clip(frames=45, options={"g": "10"}, audio=(Audio(seconds=2),)))
    style = make_style(tmp_path / "styles")
    typed = ["tests.support.batch_killing", tmp_path / "in", style, tmp_path / "work", "1", "7"]
    said = subprocess.run(
        [sys.executable, "-m", *map(str, typed)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["places"] > 40, "it has as many file operations"
    assert (found["different"], found["again"]) == ([], [])
