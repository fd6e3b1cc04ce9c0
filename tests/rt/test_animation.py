"""Animated images as video."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rt.errors import DamagedSource, SourceError
from rt.frame import Frame, Rgb
from rt.sources import SourceOptions, open_source
from rt.sources.base import DEFAULTS
from tests.support.images import on_white

KINDS = {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png", "AVIF": ".avif"}
SHOWN_MS = (100, 40, 250, 100, 70)
STARTS_MS = (0, 100, 140, 390, 490)


def scene(number: int) -> Rgb:
    rgb = np.full((36, 48, 3), 40 * number, np.uint8)
    rgb[8:20, 4 + 6 * number : 12 + 6 * number] = (250, 30, 60)
    return rgb


def animated(kind: str, count: int = 5, **more: object) -> bytes:
    frames = [Image.fromarray(scene(number)) for number in range(count)]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    options |= {"quality": 95} if kind == "AVIF" else {}
    options |= {"duration": list(SHOWN_MS[:count]), **more}
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], **options)
    return file.getvalue()


def read(path: Path, options: SourceOptions = DEFAULTS) -> list[Frame]:
    return list(open_source(str(path), options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_comes_at_its_time(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"moving{KINDS[kind]}"
    path.write_bytes(animated(kind))
    source = open_source(str(path))
    assert (source.live, source.info.frame_count, source.info.height, source.info.width) == (False, 5, 36, 48)
    assert source.info.frame_rate == Fraction(10)
    frames = list(source)
    assert [frame.pts * frame.time_base * 1000 for frame in frames] == list(STARTS_MS)
    assert [frame.index for frame in frames] == list(range(5))
    for number, frame in enumerate(frames):
        difference = np.abs(frame.rgb.astype(int) - scene(number))
        assert difference.mean() <= (3 if kind == "AVIF" else 0), number


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_it_and_a_loop_can_be_asked(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"moving{KINDS[kind]}"
    path.write_bytes(animated(kind))
    part = read(path, SourceOptions(start_s=0.1, duration_s=0.3))
    assert [frame.pts for frame in part] == [0, 40, 290]
    loop = read(path, SourceOptions(loop=True, duration_s=0.8))
    assert [frame.pts for frame in loop] == [*STARTS_MS, 560, 660, 700]
    assert [frame.index for frame in loop] == list(range(8))
    with pytest.raises(SourceError, match=r"it ends before 9 s; type a smaller --start"):
        read(path, SourceOptions(start_s=9))
    with pytest.raises(SourceError, match="cannot use --fps with .*: it is an animated image"):
        read(path, SourceOptions(fps=Fraction(10)))


def test_a_frame_without_time_is_shown_as_browsers_do(tmp_path: Path) -> None:
    path = tmp_path / "quick.gif"
    frames = [Image.fromarray(scene(number)) for number in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=0)
    assert [frame.pts for frame in read(path)] == [0, 100, 200]


def test_transparent_places_are_white_in_every_frame(tmp_path: Path) -> None:
    alpha = np.full((36, 48), 90, np.uint8)
    frames = [Image.fromarray(np.dstack([scene(number), alpha])) for number in range(3)]
    path = tmp_path / "clear.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    for number, frame in enumerate(read(path)):
        assert np.abs(frame.rgb.astype(int) - on_white(scene(number), alpha)).max() <= 1


def test_what_a_browser_shows_only_where_nothing_moves_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "moving.png"
    path.write_bytes(animated("PNG", default_image=True))
    frames = read(path)
    assert len(frames) == 4
    assert np.array_equal(frames[0].rgb, scene(1))


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_what_is_cut_off_is_said_behind_the_frames_before(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"moving{KINDS[kind]}"
    content = animated(kind)
    path.write_bytes(content[: len(content) * 3 // 4])
    frames: list[Frame] = []
    with pytest.raises(DamagedSource, match=f"^{path}: frame . of . cannot be read: "):
        frames.extend(open_source(str(path)))
    assert 1 <= len(frames) < 5
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.rgb, scene(number))
