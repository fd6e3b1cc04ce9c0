"""A live source on the command line."""

from __future__ import annotations

import re
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cli import LIMIT_S, start, videobrush, wait_until_it_writes
from tests.support.media import video

SMALL = ("--width", "96", "--height", "64")
SPANS = r"\d+/\d+/\d+ ms"
RESULT = (
    rf"(\d+) frames, \d+\.\d fps, {{where}}\n"
    rf"(\d+) dropped; latency p50/p95/p99: wait {SPANS}, translate {SPANS}, write {SPANS}, total {SPANS}\n"
)


@pytest.mark.slow
def test_a_live_run_tells_its_latency_and_every_frame_is_written_or_counted(
    style: Path, tmp_path: Path
) -> None:
    said = videobrush(
        *("run", "pattern://", "out.mp4", "--style", "drawn", *SMALL, "--fps", "50", "--duration", "2.5"),
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    found = re.fullmatch(RESULT.format(where=r"out\.mp4"), said.stdout)
    assert found is not None, said.stdout
    times = video(tmp_path / "out.mp4").times
    frames, dropped = map(int, found.groups())
    assert len(times) == frames > 5
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[-1] - times[0] <= 2.5
    assert frames + dropped <= (2.5 + 1) * 50 + 1  # a pattern that is late by up to a second catches up
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out.mp4"]


@pytest.mark.slow
def test_a_status_line_a_second_says_what_goes_on(style: Path, tmp_path: Path) -> None:
    said = videobrush(
        *("run", "pattern://", "null://", "--style", "drawn", *SMALL, "--duration", "3.5"), cwd=tmp_path
    )
    assert said.returncode == 0, said.stderr
    line = rf"\d+ frames, \d+\.\d fps, latency {SPANS}, \d+ dropped, \d+ % still, drawn on openvino fp32"
    told = [text for text in said.stderr.splitlines() if re.fullmatch(line, text)]
    assert 1 <= len(told) <= 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interrupted_live_run_leaves_a_playable_file(style: Path, tmp_path: Path) -> None:
    running = start("run", "pattern://", "out.mkv", "--style", "drawn", *SMALL, cwd=tmp_path)
    wait_until_it_writes(running, tmp_path / "out.mkv.part")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=LIMIT_S)
    assert (running.returncode, out) == (130, "")
    found = re.fullmatch(r"warning: interrupted: (\d+) frames are written to out\.mkv", err.splitlines()[-1])
    assert found is not None, err
    assert len(video(tmp_path / "out.mkv").times) == int(found[1])
