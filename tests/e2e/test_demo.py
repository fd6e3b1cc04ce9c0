from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from rt.demo import CLIP, SHOWN
from tests.support.cli import environment, loaded, videobrush


def test_the_demo_writes_the_clip_with_its_sound_and_a_sheet(style: Path, tmp_path: Path) -> None:
    said = videobrush("demo", "--style", "drawn", "--out-dir", tmp_path, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    video, sheet = tmp_path / "demo.mp4", tmp_path / "demo.png"
    lines = said.stdout.splitlines()
    assert re.fullmatch(r"90 frames, \d+\.\d fps", lines[0])
    assert lines[1:] == [
        f"{video}: the clip, translated, with its sound",
        f"{sheet}: before (top) and after (bottom)",
    ]
    assert re.fullmatch(
        r"style drawn: openvino on CPU \(.+\), fp32, network image 44x32 .+ \(auto: .+\)\n"
        r".+/demo\.mp4: H\.264 by \w+, crf \d+, preset \w+\n",
        said.stderr,
    )
    with av.open(str(video)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert sum(1 for _ in container.decode(video=0)) == 90
    assert sorted(tmp_path.iterdir()) == [video, sheet]

    with av.open(str(sheet)) as container, av.open(str(CLIP)) as clip:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.int16)
        frames = list(clip.decode(video=0))
    assert picture.shape == (2 * 360, len(SHOWN) * 480, 3)
    for column, index in enumerate(SHOWN):
        before, after = np.split(picture[:, 480 * column : 480 * (column + 1)], 2)
        original = frames[index].to_ndarray(format="rgb24").astype(np.int16)
        assert np.abs(before - original).mean() < 3
        assert np.abs(after - original).mean() > 10


def test_the_demo_replaces_its_results_only_where_told_to(style: Path, tmp_path: Path) -> None:
    for name in ("demo.mp4", "demo.png"):
        (tmp_path / name).write_text("precious")
        said, names = loaded("demo", "--style", "drawn", cwd=tmp_path)
        message = f"error: cannot write {name}: it exists; add --overwrite to replace it\n"
        assert (said.returncode, said.stdout, said.stderr) == (1, "", message)
        assert "openvino" not in names
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "precious")]
        (tmp_path / name).unlink()


def test_the_demo_refuses_a_folder_that_is_not_there(style: Path, tmp_path: Path) -> None:
    said = videobrush("demo", "--style", "drawn", "--out-dir", "results", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (
        1,
        "error: cannot write results/demo.mp4: there is no folder results; create it first\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_sheet_is_found_first(style: Path, tmp_path: Path) -> None:
    (tmp_path / "demo.png").mkdir()
    said = videobrush("demo", "--style", "drawn", "--overwrite", cwd=tmp_path)
    message = "error: cannot write demo.png: it is a folder; type --out-dir and another folder\n"
    assert (said.returncode, said.stderr) == (1, message)
    assert list(tmp_path.iterdir()) == [tmp_path / "demo.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo terminals")
def test_a_terminal_is_shown_a_bar_and_the_results_stay_clean(style: Path, tmp_path: Path) -> None:
    import pty

    terminal, end = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "rt", "demo", "--style", "drawn"],
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=end,
        text=True,
    )
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
        while block := os.read(terminal, 4096):
            shown += block
    os.close(terminal)
    results, _ = running.communicate()
    assert running.returncode == 0, shown
    assert b" 90/90" in shown
    assert [line.split(":")[0] for line in results.splitlines()[1:]] == ["demo.mp4", "demo.png"]
