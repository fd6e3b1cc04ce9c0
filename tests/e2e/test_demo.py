from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from rt.demo import CLIP, FRAMES, SCENE_FRAMES, SHOWN, STYLES, run_demo, wiped
from rt.frame import Frame
from rt.pipeline import Stop
from tests.support.cli import environment, loaded, videobrush


@pytest.mark.slow
def test_the_demo_writes_the_clip_with_its_audio_and_a_sheet(style: Path, tmp_path: Path) -> None:
    said = videobrush("demo", "--style", "drawn", "--out-dir", tmp_path, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    video, sheet = tmp_path / "demo.mp4", tmp_path / "demo.png"
    lines = said.stdout.splitlines()
    assert re.fullmatch(rf"{FRAMES} frames, \d+\.\d fps", lines[0])
    assert lines[1:] == [
        f"{video}: the clip in drawn, with its audio",
        f"{sheet}: before (top) and after (bottom)",
    ]
    assert re.fullmatch(
        r"style drawn: openvino on CPU \(.+\), (fp32|bf16), network image 56x32 .+ \(auto: .+\)\n"
        r".+/demo\.mp4: H\.264 by \w+, crf \d+, preset \w+\n",
        said.stderr,
    )
    with av.open(str(video)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    assert sorted(tmp_path.iterdir()) == [video, sheet]

    with av.open(str(sheet)) as container, av.open(str(CLIP)) as clip:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.int16)
        frames = list(clip.decode(video=0))
    assert image.shape == (2 * 360, len(SHOWN) * 640, 3)
    for column, index in enumerate(SHOWN):
        before, after = np.split(image[:, 640 * column : 640 * (column + 1)], 2)
        original = frames[index].to_ndarray(format="rgb24").astype(np.int16)
        assert np.abs(before - original).mean() < 3
        assert np.abs(after - original).mean() > 10


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert f" {FRAMES}/{FRAMES}".encode() in shown
    assert [line.split(":")[0] for line in results.splitlines()[1:]] == ["demo.mp4", "demo.png"]


def test_without_a_style_every_scene_has_one_of_its_own(tmp_path: Path) -> None:
    made = run_demo(tmp_path, STYLES, "auto", None, False, Stop())
    assert made.stats.frames == FRAMES
    shown, before = frames_of(made.video), frames_of(CLIP)
    assert (len(shown), len(before)) == (FRAMES, FRAMES)
    for scene in range(len(STYLES)):
        first, last = SCENE_FRAMES * scene, SCENE_FRAMES * (scene + 1) - 1
        assert off(shown[first][:, 8:], before[first][:, 8:]) < 4  # the wipe begins with the frame as it came
        assert off(shown[last], before[last]) > 5


def frames_of(path: Path) -> list[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def off(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return float(np.abs(np.subtract(one, other, dtype=np.int16)).mean())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999, 1.0, 1.5])
def test_the_wipe_shows_the_translation_left_of_its_line(share: float) -> None:
    before = Frame(np.full((6, 11, 3), 10, np.uint8), 0, Fraction(1, 24), 0)
    after = replace(before, image=np.full((6, 11, 3), 90, np.uint8), origin=before)
    border = min(round(share * 11), 11)
    wanted = [90] * border + ([255] * 2 + [10] * 11 if share < 1 else [])
    assert wiped(before, after, share).rgb[3, :, 1].tolist() == wanted[:11]
    assert (before.rgb == 10).all()
