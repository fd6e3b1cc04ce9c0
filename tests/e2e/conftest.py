from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rt.frame import Frame
from rt.sinks.file import FileSink
from tests.support.onnx_styles import make_style, save_negative
from tests.support.studio import Running, running


def draw_clip(path: Path, frames: int, size: tuple[int, int] = (48, 64)) -> Path:
    """Write a silent clip of 25 frames a second: a bar that wanders over gray."""
    sink = FileSink(path, None, size=size, frame_rate=Fraction(25))
    height, width = size
    for index in range(frames):
        rgb = np.full((height, width, 3), 128, np.uint8)
        rgb[:, index % width] = (255, 40, 0)
        sink.write(Frame(rgb, index, Fraction(1, 25), index))
    sink.close()
    return path


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_clip(tmp_path_factory.mktemp("clips") / "short.mp4", frames=40)


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes far longer to translate than a test takes to interrupt it."""
    return draw_clip(tmp_path_factory.mktemp("clips") / "long.mkv", frames=6000, size=(96, 128))


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "audio.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(16000))
    return path


@pytest.fixture
def style(own_styles: Path) -> Path:
    """The folder of a small style called `drawn`, where `--style drawn` finds it."""
    return make_style(own_styles, "drawn")


@pytest.fixture
def styles(own_styles: Path, tmp_path: Path) -> Path:
    """Two styles of the user: `drawn`, and `negative`, which turns white to black."""
    make_style(own_styles)
    make_style(own_styles, "negative", save_negative(tmp_path / "negative.onnx"))
    return own_styles


@pytest.fixture(scope="module")
def shared_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A studio with `drawn` and `negative` for all tests of a module that leave nothing behind in it."""
    folder = tmp_path_factory.mktemp("shared")
    styles = folder / "styles"
    make_style(styles)
    make_style(styles, "negative", save_negative(folder / "negative.onnx"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VIDEOBRUSH_STYLES", str(styles))
        patched.setenv("XDG_STATE_HOME", str(folder))
        with running(style="drawn") as found:
            yield replace(found, styles=styles)


@pytest.fixture
def studio(styles: Path) -> Iterator[Running]:
    with running(style="drawn") as found:
        yield found
