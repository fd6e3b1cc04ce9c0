from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from rt.errors import DamagedSource
from rt.frame import Frame
from rt.sources.file import FileSource
from tests.support.media import (
    Audio,
    Clip,
    cut_short,
    write_clip,
)


def read_damaged(path: Path) -> tuple[list[Frame], str]:
    """Return the frames before the fault, and the fault."""
    frames = []
    source = FileSource(path)
    try:
        for frame in source:
            frames.append(frame)
    except DamagedSource as error:
        message = str(error)
    else:
        raise AssertionError(f"{path} was read as whole: {len(frames)} frames")
    finally:
        source.close()
    assert "\n" not in message
    return frames, message


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4", "cut.avi"])
def test_a_file_cut_short_is_reported_with_how_much_was_read(tmp_path: Path, name: str) -> None:
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    clip = Clip(frames=100, audio=[Audio(seconds=4.0)], container_options=options)
    whole = write_clip(tmp_path / name, clip)
    length = whole.stat().st_size
    frames, message = read_damaged(cut_short(whole, 0.5))
    assert 30 < len(frames) < 70
    # In AVI the audio's run-in moves all frames but the first one place further: an empty one says so.
    end_s = float(frames[-1].time_s) + 1 / 25
    assert end_s == pytest.approx((len(frames) + (name == "cut.avi")) / 25)
    assert f"{name} ends early: read {len(frames)} frames, {end_s:.1f} s" in message
    assert f"; {length - length // 2} bytes missing at its end" in message
    assert "of the declared 4.0 s" in message or name == "cut.avi"


@pytest.mark.parametrize("name", ["cut.mkv", "cut.avi"])
def test_even_the_last_bytes_are_missed(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, Clip(codec="mpeg4", frames=20))
    path.write_bytes(path.read_bytes()[:-9])
    frames, message = read_damaged(path)
    assert "ends early" in message
    assert "9 bytes missing at its end" in message
    assert len(frames) >= 19


def test_a_lying_header_is_believed_and_reported(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "lie.mkv", Clip(frames=25))
    data = path.read_bytes()
    said = data.index(b"\x44\x89\x88") + 3  # the duration, a 64-bit float of milliseconds
    path.write_bytes(data[:said] + struct.pack(">d", 9000.0) + data[said + 8 :])
    stripped = path.read_bytes().replace(b"DURATION", b"DURATIOX")
    path.write_bytes(stripped)
    frames, message = read_damaged(path)
    assert len(frames) == 25
    assert "ends early: read 25 frames, 1.0 s of the declared 9.0 s" in message


def test_flipped_bits_are_survived_and_reported(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "bits.mp4", Clip(size=(96, 128), frames=50))
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(5)
    body = data.index(b"mdat") + 3000
    for at in noise.integers(body, body + 20000, 60):
        data[at] ^= 1 << int(noise.integers(8))
    path.write_bytes(data)
    frames, message = read_damaged(path)
    assert f"bits.mp4 is damaged: read {len(frames)} frames, 2.0 s of the declared 2.0 s; " in message
    assert len(frames) > 40
