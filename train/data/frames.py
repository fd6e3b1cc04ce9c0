"""A video becomes a folder of training images."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import tyro

from rt.errors import DamagedSource
from rt.frame import Frame
from rt.sources import Source, SourceOptions, open_source
from train.data.fingerprint import Fingerprint, are_near, take_fingerprint
from train.data.images import save_image, scale_short_side
from train.errors import DataError


@dataclass(frozen=True)
class Frames:
    """Take images out of a video: a data folder, or one domain of it."""

    video: Annotated[str, tyro.conf.Positional]
    """A video, or any other input of `videobrush run`: a camera, a stream."""
    out: Path
    """Folder to write into, such as data/trainA; it may hold images of other videos."""
    every: int | None = None
    """Take every n-th frame."""
    fps: float | None = None
    """Take so many frames a second of the video; default, where --every is not given: 1."""
    size: int | None = None
    """Short side in pixels of the images; default: as the video has it."""
    start: float = 0.0
    """Seconds to leave out at the beginning."""
    duration: float | None = None
    """Seconds of the video to use; default: all."""
    limit: int | None = None
    """Stop after so many images."""
    keep_similar: bool = False
    """Also write frames that are nearly equal to the one written before."""
    format: Literal["jpg", "png"] = "jpg"
    """Format of the images."""
    overwrite: bool = False
    """Replace images that were taken from a video of this name before."""

    def __post_init__(self) -> None:
        if self.every is not None and self.fps is not None:
            raise DataError("which frames to take is not clear: give either --every or --fps")
        for name in ("every", "fps", "size", "limit"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise DataError(f"--{name} is {value}: more than 0 is needed")


@dataclass(frozen=True)
class Extracted:
    """What came of a video."""

    out: Path
    read: int
    """Frames read."""
    written: int
    similar: int
    """Frames left out because they are nearly equal to the one before."""

    @property
    def text(self) -> str:
        """The result in one line."""
        left_out = f", {self.similar} nearly equal ones left out" if self.similar else ""
        return f"{self.written} image(s) in {self.out} from {self.read} frames{left_out}"


def extract_frames(config: Frames, show: Callable[[int], None] = lambda read: None) -> Extracted:
    """Write frames of a video as images named VIDEO-000123.jpg after their number.

    Each image is whole: it is written under a temporary name and renamed. What an interrupted or damaged
    video gave stays.

    Args:
        config: what to take.
        show: called with the number of frames read so far.

    Raises:
        DataError: the folder cannot be written, holds images of such a video, or a live source has no end.
        SourceError: the video cannot be opened or read; of a damaged one what was readable is written.
    """
    options = SourceOptions(start_s=config.start, duration_s=config.duration)
    with closing(open_source(config.video, options)) as source:
        if source.live and config.limit is None and config.duration is None:
            raise DataError(f"{config.video} is live and has no end: give --duration or --limit")
        writer = _Writer(config)
        try:
            return _extract(config, source, writer, show)
        except DamagedSource as error:
            raise DamagedSource(f"{error}; {writer.written} images were written to {config.out}") from None


def _extract(config: Frames, source: Source, writer: _Writer, show: Callable[[int], None]) -> Extracted:
    due, read = _Due(config), 0
    for frame in source:
        read += 1
        show(read)
        if due.takes(frame):
            writer.write(frame)
        if writer.written == config.limit:
            break
    if writer.written == 0:
        raise DataError(f"{config.video} gave no image: it has {read} frames")
    return Extracted(config.out, read, writer.written, writer.similar)


class _Due:
    """Says which frames are taken."""

    def __init__(self, config: Frames) -> None:
        self.every = config.every
        self.step_s = 1 / Fraction(config.fps or 1.0).limit_denominator(1000)
        self.next_s: Fraction | None = None

    def takes(self, frame: Frame) -> bool:
        if self.every is not None:
            return frame.index % self.every == 0
        time_s = frame.pts * frame.time_base
        if self.next_s is None:
            self.next_s = time_s
        if time_s < self.next_s:
            return False
        self.next_s += self.step_s
        if self.next_s <= time_s:  # after a gap the rhythm goes on from here instead of catching up
            self.next_s = time_s + self.step_s
        return True


class _Writer:
    """Scales, compares and writes."""

    def __init__(self, config: Frames) -> None:
        self.config = config
        name = Path(config.video.partition("://")[2] or config.video).stem
        self.stem = re.sub(r"[^\w.-]+", "-", name).strip("-") or "frame"
        self.written = self.similar = 0
        self.last: Fingerprint | None = None
        try:
            config.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"folder {config.out} cannot be made: {error.strerror}") from None
        shape = re.compile(rf"{re.escape(self.stem)}-\d{{6,}}\.{config.format}")
        self.old = sorted(path for path in config.out.iterdir() if shape.fullmatch(path.name))
        if self.old and not config.overwrite:
            raise DataError(
                f"{config.out} holds {len(self.old)} images of a video of this name ({self.old[0].name}): "
                "give another --out, or replace them with --overwrite"
            )

    def write(self, frame: Frame) -> None:
        rgb = frame.rgb if self.config.size is None else scale_short_side(frame.rgb, self.config.size)
        if not self.config.keep_similar:
            found = take_fingerprint(rgb)
            if self.last is not None and are_near(self.last, found):
                self.similar += 1
                return
            self.last = found
        self._clear()
        path = self.config.out / f"{self.stem}-{frame.index:06d}.{self.config.format}"
        try:
            save_image(path, rgb)
        except OSError as error:
            raise DataError(
                f"image {path} cannot be written: {error.strerror}; {self.written} are written"
            ) from None
        self.written += 1

    def _clear(self) -> None:
        """Remove what is replaced, once there is an image to replace it with."""
        for path in self.old:
            path.unlink(missing_ok=True)
        self.old = []
