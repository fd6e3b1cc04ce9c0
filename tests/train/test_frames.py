"""What `videobrush-train frames` takes out of a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rt.errors import DamagedSource, SourceError
from rt.frame import Rgb
from tests.support.media import Clip, drawn, write_clip
from train.data.frames import Extracted, Frames, extract_frames
from train.data.images import load_image
from train.errors import DataError


def take(video: Path, out: Path, **settings: object) -> Extracted:
    return extract_frames(Frames(video=str(video), out=out, **settings))  # type: ignore[arg-type]


def numbers(out: Path) -> list[int]:
    return [int(path.stem.rpartition("-")[2]) for path in sorted(out.iterdir())]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames, each unlike the one before, ten a second."""

    def image(index: int, height: int, width: int) -> Rgb:
        return np.roll(drawn(0, height, width), 11 * index, axis=1)

    path = tmp_path_factory.mktemp("clips") / "my clip.mp4"
    return write_clip(path, Clip(size=(48, 80), frames=12, rate=Fraction(10), image=image))


def test_every_nth_frame_becomes_a_image_named_after_its_number(clip: Path, tmp_path: Path) -> None:
    shown: list[int] = []
    config = Frames(video=str(clip), out=tmp_path / "data" / "trainA", every=5)
    found = extract_frames(config, shown.append)
    assert found == Extracted(config.out, read=12, written=3, similar=0)
    assert found.text == f"3 image(s) in {config.out} from 12 frames"
    assert shown == list(range(1, 13))
    names = sorted(path.name for path in config.out.iterdir())
    assert names == ["my-clip-000000.jpg", "my-clip-000005.jpg", "my-clip-000010.jpg"]
    image = load_image(config.out / names[1])
    assert image is not None
    wanted = np.roll(drawn(0, 48, 80), 55, axis=1)
    assert np.abs(image.astype(int) - wanted).mean() < 12  # two lossy codecs lie between


def test_a_rate_follows_the_times_of_the_video(clip: Path, tmp_path: Path) -> None:
    take(clip, tmp_path / "two", fps=2.0)
    assert numbers(tmp_path / "two") == [0, 5, 10]
    take(clip, tmp_path / "one")  # one a second is the default
    assert numbers(tmp_path / "one") == [0, 10]
    take(clip, tmp_path / "all", fps=60.0)
    assert numbers(tmp_path / "all") == list(range(12))
    take(clip, tmp_path / "part", fps=5.0, start=0.3, duration=0.5)
    assert len(numbers(tmp_path / "part")) == 3


def test_after_a_gap_in_time_the_rhythm_goes_on_without_catching_up(tmp_path: Path) -> None:
    pts = [0, 1, 2, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41]
    video = write_clip(
        tmp_path / "gap.mkv", Clip(frames=15, rate=Fraction(10), pts=pts, unit=Fraction(1, 10))
    )
    take(video, tmp_path / "out", fps=1.0, keep_similar=True)
    assert numbers(tmp_path / "out") == [0, 3, 13]


def test_images_are_scaled_and_written_in_the_asked_format(clip: Path, tmp_path: Path) -> None:
    take(clip, tmp_path, every=6, size=32, format="png")
    paths = sorted(tmp_path.iterdir())
    assert [path.suffix for path in paths] == [".png", ".png"]
    image = load_image(paths[0])
    assert image is not None
    assert image.shape == (32, 53, 3)


def test_frames_of_a_still_scene_are_written_once(tmp_path: Path) -> None:
    def image(index: int, height: int, width: int) -> Rgb:
        return drawn(40 if index >= 6 else 0, height, width)

    video = write_clip(tmp_path / "still.mp4", Clip(frames=10, image=image))
    found = take(video, tmp_path / "out", every=1)
    assert numbers(tmp_path / "out") == [0, 6]
    assert found.text.endswith("from 10 frames, 8 nearly equal ones left out")
    assert take(video, tmp_path / "all", every=1, keep_similar=True).written == 10


def test_a_limit_ends_the_reading(clip: Path, tmp_path: Path) -> None:
    found = take(clip, tmp_path, every=2, limit=2)
    assert (found.written, found.read) == (2, 3)


def test_images_of_other_videos_are_left_alone_and_of_this_one_only_replaced_when_asked(
    clip: Path, tmp_path: Path
) -> None:
    others = [tmp_path / name for name in ("other-000001.jpg", "my-clip-2-000001.jpg", "my-clip-1.jpg")]
    for other in others:
        other.write_bytes(b"another video's")
    take(clip, tmp_path, every=3)
    with pytest.raises(
        DataError, match=r"holds 4 images of a video of this name \(my-clip-000000\.jpg\): give"
    ):
        take(clip, tmp_path, every=5)
    take(clip, tmp_path, every=5, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "my-clip-000000.jpg",
        "my-clip-000005.jpg",
        "my-clip-000010.jpg",
        "my-clip-1.jpg",
        "my-clip-2-000001.jpg",
        "other-000001.jpg",
    ]
    assert {other.read_bytes() for other in others} == {b"another video's"}


def test_a_damaged_video_gives_what_is_readable_and_says_so(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", Clip(size=(96, 128), frames=40))
    content = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DamagedSource, match=r"; \d+ images were written to .*out"):
        take(cut, tmp_path / "out", every=1)
    written = numbers(tmp_path / "out")
    assert 5 < len(written) < 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 2, "fps": 1.0}, "which frames to take is not clear: give either --every or --fps"),
        ({"every": 0}, "--every is 0: more than 0 is needed"),
        ({"fps": -1.0}, r"--fps is -1\.0: more than 0 is needed"),
        ({"size": 0}, "--size is 0"),
    ],
)
def test_orders_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Frames(video="clip.mp4", out=Path("out"), **settings)  # type: ignore[arg-type]


def test_what_cannot_be_read_or_written_is_said_before_anything_is_written(
    clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        take(tmp_path / "nowhere.mp4", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"folder .*file/out cannot be made: Not a directory"):
        take(clip, tmp_path / "file" / "out")
    with pytest.raises(DataError, match="pattern:// is live and has no end: give --duration or --limit"):
        extract_frames(Frames(video="pattern://", out=tmp_path / "out"))
