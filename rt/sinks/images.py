"""Frames as images: one file a frame."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from rt.errors import SinkError
from rt.frame import Frame, SourceInfo
from rt.image import WRITE_SUFFIXES, StillImage, write_image
from rt.media import reason
from rt.sinks.base import closed

_log = logging.getLogger(__name__)

IN_A_FOLDER = "%06d.png"
"""What images are called where only a folder is given."""
_INSTEAD = {".heic": ".jpg", ".heif": ".jpg", ".jp2": ".jpg", ".j2k": ".jpg"}
"""What is written for a kind that is read alone; .png for the others, which lose nothing either."""
_NUMBER = re.compile(r"%(?:0\d+)?d")


def written_suffix(suffix: str) -> str:
    """Return the suffix that is written for one that is read: `.jpg` for `.jpg` and for `.heic`."""
    return suffix if suffix in WRITE_SUFFIXES else _INSTEAD.get(suffix, ".png")


class ImageSink:
    """Numbered images, from 0, each whole as soon as it has its name; photos keep theirs.

    Args:
        address: a folder (`frames/`), or a pattern with one number (`frames/img_%04d.jpg`); for a source of
            one frame, such as an image, also a plain name (`photo.jpg`). The folder is made where it is
            missing and its parent exists.
        like: the source of the frames; images that are the source are refused.
        overwrite: replace images that exist. When the run ends, early or not, those of the pattern with
            higher numbers are removed: they would be taken for its end.

    Raises:
        SinkError: the folder cannot be made or written, or holds such images.
    """

    def __init__(self, address: str, like: SourceInfo | None = None, *, overwrite: bool = False) -> None:
        pattern = _pattern(address, alone=like is not None and like.frame_count == 1)
        self._folder, self._name = pattern.parent, pattern.name
        self._names = _own_names(like.image_names) if like is not None and _is_folder(address) else {}
        self._alone = _NUMBER.search(self._name) is None
        self._address = address
        self._written: list[Path] = []
        self._made_folder = False
        self._closed = False
        self._check_source(like)
        found = self._existing()
        if found and not overwrite:
            raise SinkError(
                f"cannot write {address}: {found[min(found)]} exists; add --overwrite to replace such images"
            )
        self._replaced = set() if self._names else set(found.values())
        self._open_folder()

    def write(self, frame: Frame) -> None:
        """Write one image.

        Raises:
            SinkError: it cannot be written, or the sink is closed.
        """
        if self._closed:
            raise closed(self._address)
        if self._written and self._alone:
            raise SinkError(
                f"cannot write {self._address}: there is more than one frame; "
                f"type a name such as {_numbered(self._folder / self._name)}"
            )
        still = _still_of(frame)
        path = self._folder / self._called(len(self._written), still)
        self._written.append(path)  # first: an interrupt may come as soon as it has its name
        try:
            write_image(frame.rgb, path, still if still is not None and still.size == frame.size else None)
        except SinkError:
            self._written.pop()  # what has this name still is an older image
            raise

    def close(self) -> None:
        """Remove old images with higher numbers; works twice."""
        if self._closed:
            return
        self._closed = True
        if not self._written:
            _log.warning("no frame was written, so there are no images in %s", self._folder)
            self._leave_nothing()
            return
        for path in self._replaced.difference(self._written):
            path.unlink(missing_ok=True)

    def abort(self) -> None:
        """Remove what was written; what it replaced is gone. Works twice; does nothing after `close`."""
        if not self._closed:
            self._closed = True
            self._leave_nothing()

    def _leave_nothing(self) -> None:
        for path in self._written:
            path.unlink(missing_ok=True)
        if self._made_folder and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _called(self, number: int, still: StillImage | None = None) -> str:
        if self._names:
            return self._names[still.name] if still is not None else next(iter(self._names.values()))
        return self._name if self._alone else self._name % number

    def _existing(self) -> dict[int, Path]:
        """Return the images of the pattern that exist, by number."""
        if self._names:
            paths = [self._folder / name for name in self._names.values()]
            return {number: path for number, path in enumerate(paths) if os.path.lexists(path)}
        if self._alone:
            alone = self._folder / self._name
            return {0: alone} if os.path.lexists(alone) else {}
        before, after = _NUMBER.split(self._name)[0], _NUMBER.split(self._name)[-1]
        shape = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
        try:
            entries = list(self._folder.iterdir()) if self._folder.exists() else []
        except OSError as error:
            raise SinkError(f"cannot write {self._address}: {reason(error)}") from None
        numbers = {path: shape.fullmatch(path.name) for path in entries}
        return {
            int(number[1]): path
            for path, number in numbers.items()
            if number and path.name == self._name % int(number[1])
        }

    def _open_folder(self) -> None:
        """Make the folder where it is missing, and see that a file can be made in it."""
        trial = self._folder / f"{self._called(0)}.part"
        try:
            if not self._folder.is_dir():
                if not self._folder.parent.is_dir():
                    raise SinkError(
                        f"cannot write {self._address}: there is no folder {self._folder.parent}; "
                        "create it first"
                    )
                self._folder.mkdir()
                self._made_folder = True
            trial.touch()
            trial.unlink()
        except PermissionError:
            raise SinkError(
                f"cannot write {self._address}: no permission to write in the folder {self._folder}"
            ) from None
        except OSError as error:
            raise SinkError(f"cannot write {self._address}: {reason(error)}") from None

    def _check_source(self, like: SourceInfo | None) -> None:
        source = Path(like.name) if like is not None else None
        if source is None or not self._folder.is_dir():
            return
        folder = source if source.is_dir() else source.parent
        theirs = source.name in (self._name, *(path.name for path in self._existing().values()))
        if folder.is_dir() and folder.samefile(self._folder) and (source.is_dir() or theirs):
            raise SinkError(
                f"cannot write {self._address}: its images are the input; type another folder for the output"
            )


def _still_of(frame: Frame) -> StillImage | None:
    """Return the image that a frame was made of, where it was one."""
    image = (frame.origin or frame).image
    return image if isinstance(image, StillImage) else None


def _is_folder(address: str) -> bool:
    return address.endswith(("/", "\\")) or Path(address).suffix.lower() not in WRITE_SUFFIXES


def _own_names(names: Sequence[str]) -> dict[str, str]:
    """Return what each image is called in the folder: as it was, where its kind can be written."""
    called: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names, key=lambda name: Path(name).suffix.lower() not in WRITE_SUFFIXES):
        path, suffix = Path(name), Path(name).suffix.lower()
        new = name if suffix in WRITE_SUFFIXES else f"{path.stem}{written_suffix(suffix)}"
        while new.lower() in taken:  # also where a disk takes upper and lower case for the same
            new = f"{Path(new).stem}{suffix}{Path(new).suffix}"
        taken.add(new.lower())
        called[name] = new
        if new != name:
            _log.warning("%s becomes %s: images of that kind are not written", name, new)
    return called


def _numbered(path: Path) -> Path:
    """Return a pattern like the name."""
    return path.with_name(f"{path.stem.replace('%', '')}_%04d{path.suffix}")


def _pattern(address: str, alone: bool) -> Path:
    """Return folder and name pattern of an address; the plain name of an image where it is `alone`.

    Raises:
        SinkError: the pattern has no number, or more than one.
    """
    path = Path(address)
    if _is_folder(address):
        return path / IN_A_FOLDER
    if alone and "%" not in path.name:
        return path
    if len(_NUMBER.findall(path.name)) != 1 or path.name.count("%") != 1:
        better = _numbered(path)
        raise SinkError(
            f"cannot write {path}: the name of images needs one number such as %04d; type {better}"
        )
    return path
