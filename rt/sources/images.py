"""Images as frames: a folder, numbered images, or a single one."""

from __future__ import annotations

import itertools
import logging
import re
import shlex
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from rt.errors import DamagedSource, SourceError, nearest_file
from rt.frame import Frame, Rgb, SourceInfo
from rt.image import READ_SUFFIXES, StillImage, is_litter, look_at_header, read_image
from rt.media import reason
from rt.sources.base import NUMBER, SourceOptions, frames_before, refuse_options
from rt.sources.pixels import letterboxed
from rt.text import counted, first_few

_log = logging.getLogger(__name__)

FPS = Fraction(25)
"""Frames per second where no other rate is asked for."""
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
"""The last number in a name, and what is around it."""
_CAMERA_NAME = re.compile(
    r"(IMG|IMAG|DSC|DSCN|DSCF|PXL|MVI|GOPR|SAM|WP|P|PICT|_MG|_DSC)[-_]?\d.*\.(jpe?g|jfif|hei[cf]|avif)", re.I
)
_LOOKED_AT = 16
"""So many headers are read, evenly spread, to tell photos from the frames of a video."""
_NAMED = 3
"""So many damaged or odd-sized images are named; the others are counted."""


class ImageSource:
    """Images in natural order (`img_2` before `img_10`), each a frame.

    All frames have the size of the first image: another one is fitted into it, whole, on black. A damaged
    image is left out, and its place in time stays empty. A single image is one frame, or with `loop` a
    still camera.

    Raises:
        SourceError: there is no image, or none that can be read.
    """

    live = False
    dropped = 0

    def __init__(self, address: str, options: SourceOptions) -> None:
        refuse_options(options, address, "images", ("fps", "loop", "start_s", "duration_s"))
        self._address = address
        self._fps = options.fps or FPS
        self._loop = options.loop
        skipped = frames_before(options.start_s, self._fps)
        self._paths = _find(address)
        if skipped >= len(self._paths):
            length_s = float(len(self._paths) / self._fps)
            raise SourceError(
                f"cannot start {address} at {options.start_s:g} s: its {counted(len(self._paths), 'image')} "
                f"at {float(self._fps):g} fps end at {length_s:g} s"
            )
        self._paths = self._paths[skipped:]
        wanted = None if options.duration_s is None else max(1, frames_before(options.duration_s, self._fps))
        if not self._loop:
            self._count: int | None = min(len(self._paths), wanted or len(self._paths))
        else:
            self._count = wanted
        self._faults: list[str] = []
        self._others: list[str] = []
        self._fuller: set[Path] = set()
        self._started = self._closed = False
        self._first_at, self._first = self._read_first()
        height, width = self._first.size
        names = tuple(path.name for path in self._paths) if self._keeps_names(options) else ()
        self.info = SourceInfo(address, height, width, self._fps, self._count, image_names=names)

    def __iter__(self) -> Iterator[Frame]:
        """Yield a frame for each image; uint8[H, W, 3] RGB, all of the first one's size.

        Raises:
            DamagedSource: behind the last frame, where images could not be read.
            RuntimeError: the source was iterated before.
        """
        if self._started:
            raise RuntimeError("an ImageSource is iterated once")
        self._started = True
        return self._frames()

    def close(self) -> None:
        """End the iteration. Works twice."""
        self._closed = True

    def _frames(self) -> Iterator[Frame]:
        position, index = self._first_at, 0
        while not self._closed and position != self._count:
            lap, number = divmod(position, len(self._paths))
            if number == 0 and lap and self._faults:
                break  # a damaged row of images is not begun again
            still = self._first if number == self._first_at else self._read(self._paths[number])
            if still is not None:
                yield Frame(self._fit(still, self._paths[number]), position, 1 / self._fps, index)
                index += 1
            position += 1
        if self._faults and not self._closed:
            raise DamagedSource(
                f"{self._address}: {len(self._faults)} of {counted(len(self._paths), 'image')} "
                f"cannot be read: {first_few(self._faults, _NAMED, '; ')}"
            )

    def _keeps_names(self, options: SourceOptions) -> bool:
        as_video = options.fps is not None or options.loop or options.start_s or options.duration_s
        if not options.keep_names or as_video:
            return False
        path = Path(self._address)
        return path.is_file() or (path.is_dir() and not is_sequence(self._paths))

    def _read_first(self) -> tuple[int, StillImage]:
        for position, path in enumerate(self._paths[: self._count]):
            still = self._read(path)
            if still is not None:
                return position, still
        if len(self._paths) == 1:
            raise SourceError(f"cannot read {self._faults[0]}")
        raise SourceError(
            f"cannot read {self._address}: none of its images can be read: "
            f"{first_few(self._faults, _NAMED, '; ')}"
        )

    def _read(self, path: Path) -> StillImage | None:
        try:
            still = read_image(path)
            if still.count > 1:
                self._say_more(path, still)
            return still
        except SourceError as error:
            self._faults.append(f"{path}: {error}")
            if len(self._paths) > 1 and len(self._faults) <= _NAMED:
                _log.warning("%s is left out: %s", path, error)
            return None

    def _say_more(self, path: Path, still: StillImage) -> None:
        """Say once of a file that it holds more than the image that is taken."""
        if path in self._fuller:
            return
        self._fuller.add(path)
        whole = ""
        if still.kind in ("GIF", "WEBP", "PNG", "AVIF"):
            whole = f"; it moves; for all of it type: videobrush run {shlex.quote(str(path))} OUTPUT.gif"
        _log.warning("%s holds %d images, of which the first is taken%s", path, still.count, whole)

    def _fit(self, still: StillImage, path: Path) -> Rgb | StillImage:
        size = (self.info.height, self.info.width)
        if still.size == size or self.info.image_names:
            return still
        if len(self._others) < _NAMED and str(path) not in self._others:
            self._others.append(str(path))
            _log.warning(
                "%s is %dx%d; it is fitted into the first size, %dx%d",
                *(path, still.size[1], still.size[0], size[1], size[0]),
            )
        return letterboxed(still.rgb, size)


def is_sequence(paths: list[Path]) -> bool:
    """Tell whether images in natural order are the frames of a video: numbered alike, and of one size.

    Photos are numbered too: what is called as cameras call it, or names its camera, is no sequence.
    """
    places = [_NUMBERED.fullmatch(path.name) for path in paths]
    if len(paths) < 2 or len({(place[1], place[3]) if place else None for place in places}) > 1:
        return False
    digits = [place[2] for place in places if place]
    if not digits:
        return False
    numbers = [int(each) for each in digits]
    padded = len({len(each) for each in digits}) == 1 and digits[0].startswith("0")
    rising = all(later > before for before, later in itertools.pairwise(numbers))
    if not rising or not (padded or numbers[-1] - numbers[0] == len(numbers) - 1):
        return False
    if _CAMERA_NAME.match(paths[0].name):
        return False
    looks = [look for path in paths[:: -(-len(paths) // _LOOKED_AT)] if (look := look_at_header(path))]
    return len({size for size, _ in looks}) <= 1 and not any(camera for _, camera in looks)


def _find(address: str) -> list[Path]:
    """Return the images an address names, in natural order.

    Raises:
        SourceError: there are none.
    """
    path = Path(address)
    try:
        if path.is_dir():
            return _in_folder(path)
        if NUMBER.search(path.name) and not path.exists():
            return _numbered(path)
        if not path.exists():
            raise SourceError(f"cannot read {address}: no such file{nearest_file(path)}")
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {address}: {reason(error)}") from None
    return [path]


def _in_folder(folder: Path) -> list[Path]:
    entries = [entry for entry in folder.iterdir() if not is_litter(entry)]
    images = [entry for entry in entries if entry.suffix.lower() in READ_SUFFIXES]
    if not images:
        raise SourceError(
            f"cannot read {folder}: it is a folder without images ({' '.join(READ_SUFFIXES)}); "
            "the name of a video file or of a folder with images is needed"
        )
    return sorted(images, key=lambda path: _natural(path.name))


def _numbered(pattern: Path) -> list[Path]:
    """Return the files that `img_%04d.png` names, by number; gaps are passed over, and said."""
    found = NUMBER.search(pattern.name)
    if found is None:
        return []
    digits = rf"\d{{{int(found[2])},}}" if found[2] else r"\d+"
    before, behind = pattern.name[: found.start()], pattern.name[found.end() :]
    expected = re.compile(f"{re.escape(before)}({digits}){re.escape(behind)}")
    matches = [(entry, expected.fullmatch(entry.name)) for entry in pattern.parent.iterdir()]
    numbers = sorted((int(match[1]), entry) for entry, match in matches if match)
    if not numbers:
        raise SourceError(f"cannot read {pattern}: there is no such image, whatever the number")
    missing = numbers[-1][0] - numbers[0][0] + 1 - len(numbers)
    if missing > 0:
        _log.warning(
            "%s: %d numbers are missing; the images follow one another without them", pattern, missing
        )
    return [entry for _, entry in numbers]


def _natural(name: str) -> tuple[tuple[str, int, str], ...]:
    """Return what sorts names as people do: digits as numbers, upper case as lower."""
    parts = re.findall(r"(\D*)(\d*)", name)
    return tuple((text.lower(), int(number or -1), number) for text, number in parts)
