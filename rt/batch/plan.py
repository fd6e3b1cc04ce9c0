"""What a batch does: its items, their names, what is left out."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from string import Formatter
from typing import Any

from rt.commands import Batch, Run
from rt.errors import SinkError, VideobrushError, nearest_file
from rt.image import READ_SUFFIXES, WRITE_SUFFIXES, is_animated, is_litter
from rt.install import version
from rt.sinks.file import FORMATS, container_format
from rt.sinks.images import written_suffix
from rt.styles import Style, find_style

FOLDER = ".videobrush"
"""Where a batch keeps its account, within the folder of its outputs."""
_PARTS = "parts"
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *(
            "3g2",
            "3gp",
            "asf",
            "avi",
            "dv",
            "f4v",
            "flv",
            "gif",
            "m2ts",
            "m2v",
            "m4v",
            "mjpeg",
            "mjpg",
            "mkv",
        ),
        *("mov", "mp4", "mpe", "mpeg", "mpg", "mts", "mxf", "ogm", "ogv", "qt", "rm", "rmvb", "ts", "vob"),
        *("webm", "wmv", "y4m"),
    )
)
_MAY_MOVE = frozenset({".gif", ".webp", ".apng"})
_FIELDS = ("dir", "stem", "style", "suffix", "index")


@dataclass(frozen=True)
class Item:
    """One input in one style: what becomes one output."""

    source: Path
    style: str
    name: str
    """Of the output, within the folder of the outputs."""
    output: Path
    image: bool
    """Whether the input is a still image by its name."""
    source_bytes: int
    modified_ns: int
    settings: Mapping[str, Any]
    """Everything asked that changes the output."""
    style_sha256: tuple[str, ...]
    """Of each of the style's models."""
    note: str = ""
    """What is said of it in the plan: another container than the input's, say."""
    precision: str | None = None
    """What stands for `auto` of the settings: every machine computes the same."""
    chunk_s: float | None = None
    """Seconds of a chunk, where it is a video that is cut if it is long."""
    version: str | None = None
    """Of the program that planned it."""

    @property
    def item(self) -> Item:
        """Itself: every task has an item."""
        return self

    @property
    def parts(self) -> Path:
        """The folder of its chunks."""
        return self.output.parents[len(Path(self.name).parts) - 1] / FOLDER / _PARTS / self.key

    @cached_property
    def key(self) -> str:
        """A name for this very work: another input, style, setting or version has another one.

        It is the same from any working directory, and however the folders are typed.
        """
        facts = [absolute(self.source), self.source_bytes, self.modified_ns, self.style_sha256]
        said = json.dumps(
            [*facts, dict(self.settings), self.name, self.version, self.chunk_s], sort_keys=True
        )
        return hashlib.sha256(said.encode()).hexdigest()[:32]

    def asked(self) -> Run:
        """Return this item as a run."""
        settings = dict(self.settings)
        if self.precision is not None:
            settings["precision"] = self.precision
        return Run(str(self.source), self.style, (str(self.output),), **settings)


@dataclass(frozen=True)
class LeftOut:
    """An input that is not translated, and why."""

    source: Path
    reason: str


@dataclass(frozen=True)
class Plan:
    """All of a batch."""

    out: Path
    items: Sequence[Item]
    left_out: Sequence[LeftOut] = field(default=())

    @property
    def folder(self) -> Path:
        """Where its account is kept."""
        return self.out / FOLDER


@dataclass(frozen=True)
class _Input:
    """A file that was found, and its folder within what was typed."""

    path: Path
    folder: Path
    style: str | None = None
    output: str | None = None


@cache
def program_version() -> str | None:
    """Return the version of this program; None where it runs from its folder."""
    return version()


def absolute(path: Path) -> str:
    """Return a path from the root, `..` gone, links kept: the same for a folder however it is typed."""
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links


def is_there(path: Path) -> bool:
    """Tell whether a file exists; one whose name is too long, or whose folder may not be read, does not."""
    return os.path.exists(path)  # noqa: PTH110 - exists() raises then


def make_plan(asked: Batch) -> Plan:
    """Return what is to be done, in the order of names; nothing is written.

    Raises:
        VideobrushError: an input, a style or a list is missing, or two items have one output.
    """
    if not asked.inputs and asked.list_file is None:
        raise VideobrushError("nothing to translate: type files, folders or --from LIST.jsonl")
    styles = {name: find_style(name) for name in dict.fromkeys(asked.style)}
    if len({style.name for style in styles.values()}) < len(styles):
        raise VideobrushError(f"two styles have the same name: {', '.join(styles)}; give each once")
    found, left_out = _found(asked)
    template = _template(
        asked.name or ("{dir}/{stem}{suffix}" if len(styles) < 2 else "{dir}/{stem}-{style}{suffix}")
    )
    asked_styles, settings = tuple(styles), settings_of(asked)
    items: list[Item] = []
    for index, entry in enumerate(found):
        for typed in asked_styles if entry.style is None else (entry.style,):
            if typed not in styles:
                styles[typed] = find_style(typed)
            try:
                items.append(_item(asked, settings, entry, typed, styles[typed], template, index))
            except OSError as error:
                left_out.append(LeftOut(entry.path, f"it cannot be read: {error.strerror}"))
    items = _without_outputs(items, left_out)
    _refuse_clashes(items)
    return Plan(asked.out, tuple(items), tuple(left_out))


def settings_of(asked: Batch) -> dict[str, Any]:
    """Return what every item is asked for, as fields of a `Run`."""
    names = set(Run.__dataclass_fields__) - {"input", "style", "output", "overwrite", "verbose", "device"}
    return {name: value for name, value in asdict(asked).items() if name in names}


def _item(
    asked: Batch,
    settings: Mapping[str, Any],
    entry: _Input,
    typed: str,
    style: Style,
    template: str,
    index: int,
) -> Item:
    known = entry.path.stat()
    own = entry.path.suffix.lower()
    image = own in READ_SUFFIXES and not (own in _MAY_MOVE and is_animated(entry.path))
    suffix, note = _suffix(entry.path, image, asked.codec)
    if entry.output is not None:
        name = Path(entry.output)
    else:
        values = {"dir": entry.folder.as_posix(), "stem": entry.path.stem, "style": style.name}
        name = Path(template.format(**values, suffix=suffix, index=f"{index:06}"))
    if image and "%" in name.name:  # a run would take it for the pattern of many names, and write others
        name = name.with_name(name.name.replace("%", "_"))
        note = "; ".join(filter(None, (note, "% is written as _")))
    _check_suffix(name, suffix, template if entry.output is None else None, image, asked.codec)
    output = asked.out / name
    if absolute(output) == absolute(entry.path):
        raise VideobrushError(
            f"{entry.path} would be written over by its own translation: give another --out"
        )
    return Item(
        entry.path,
        typed,
        name.as_posix(),
        output,
        image,
        known.st_size,
        known.st_mtime_ns,
        settings,
        tuple(model.sha256 for model in style.card.models.values()),
        note,
        chunk_s=None if image or asked.chunk == "off" else asked.chunk,
        version=program_version(),
    )


def _check_suffix(name: Path, suffix: str, template: str | None, image: bool, codec: str) -> None:
    """Refuse a name that nothing can be written under: each file would fail by itself.

    Raises:
        VideobrushError: with the name to type.
    """
    own = name.suffix.lower()
    if own not in FORMATS and own not in WRITE_SUFFIXES:
        better = f"{name}{suffix}" if template is None else f"--name {template + '{suffix}'!r}"
        named = "the list" if template is None else f"--name {template!r}"
        raise VideobrushError(
            f"{named} gives {name}, which ends in no suffix of a video or image; type {better}"
        )
    if not image and own in FORMATS:
        container_format(name, codec)


def _suffix(path: Path, image: bool, codec: str) -> tuple[str, str]:
    """Return the output's suffix, and what is to be said where it is not the input's."""
    own = path.suffix.lower()
    if image or own == ".gif":
        suffix = path.suffix if own in WRITE_SUFFIXES else written_suffix(own)
    else:
        try:
            container_format(path, codec)
            suffix = path.suffix
        except SinkError:
            suffix = ".mp4"
    return suffix, "" if suffix == path.suffix else f"{path.suffix or 'no suffix'} is written as {suffix}"


def _template(template: str) -> str:
    if found := _fault(template):
        known = ", ".join(f"{{{name}}}" for name in _FIELDS)
        raise VideobrushError(f"--name {template!r} cannot be used: {found}; known are {known}")
    return template


def _fault(template: str) -> str | None:
    """Return what is wrong with a template of names; None where nothing is."""
    try:
        for _, name, how, kind in Formatter().parse(template):
            if name is not None and (name not in _FIELDS or how or kind):
                typed = name + (f"!{kind}" if kind else "") + (f":{how}" if how else "")
                return f"{{{typed}}} is not known"
    except ValueError as error:
        return str(error)
    leaves = Path(template).is_absolute() or ".." in Path(template).parts
    return "it leaves the folder of --out" if leaves else None


def _without_outputs(items: Sequence[Item], left_out: list[LeftOut]) -> list[Item]:
    """Return the items whose input is no other item's output, for outputs that stand beside their inputs."""
    made = {absolute(item.output): item for item in items}
    kept = []
    for item in items:
        maker = made.get(absolute(item.source))
        if maker is None:
            kept.append(item)
        else:
            left_out.append(LeftOut(item.source, f"it is what {maker.source} becomes"))
    return kept


def _refuse_clashes(items: Iterable[Item]) -> None:
    taken: dict[str, Item] = {}
    for item in items:
        # Folders that do not tell upper from lower case are common.
        other = taken.setdefault(str(item.output).casefold(), item)
        if other is not item:
            raise VideobrushError(
                f"{other.source} ({other.style}) and {item.source} ({item.style}) would both become "
                f"{item.output}: type for example --name '{{dir}}/{{stem}}-{{style}}-{{index}}{{suffix}}'"
            )


def _found(asked: Batch) -> tuple[list[_Input], list[LeftOut]]:
    found: list[_Input] = []
    left_out: list[LeftOut] = []
    for typed in asked.inputs:
        for path in _named(typed):
            if path.is_dir():
                _look_into(path, asked.out, found, left_out)
            elif path.is_file():
                found.append(_Input(path, Path()))
            else:  # a pipe would be waited for
                raise VideobrushError(f"cannot read {path}: it is no file and no folder")
    if asked.list_file is not None:
        found += _listed(asked.list_file)
    unique: dict[tuple[str, str | None, str | None], _Input] = {}
    for entry in found:
        unique.setdefault((absolute(entry.path), entry.style, entry.output), entry)
    return list(unique.values()), left_out


def _named(typed: str) -> list[Path]:
    """Return what an argument names: a file, a folder, or what a pattern matches.

    Raises:
        VideobrushError: there is no such thing.
    """
    path = Path(typed)
    if typed and is_there(path):
        return [path]
    pattern = glob.has_magic(typed)
    matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))) if pattern else []
    if not matches:
        hint = "" if pattern else nearest_file(path)
        raise VideobrushError(f"cannot read {typed}: there is no such file or folder{hint}")
    return [match for match in matches if not is_litter(match)]


def _look_into(root: Path, out: Path, found: list[_Input], left_out: list[LeftOut]) -> None:
    """Add the videos and images below a folder, by name; the outputs' own folder is passed over."""
    own = absolute(out)

    def unread(error: OSError) -> None:
        left_out.append(LeftOut(Path(error.filename), f"it cannot be read: {error.strerror}"))

    for at, folders, files in os.walk(root, onerror=unread):
        here = Path(at)
        folders[:] = sorted(
            name for name in folders if not is_litter(here / name) and absolute(here / name) != own
        )
        links = [here / name for name in folders if (here / name).is_symlink()]
        left_out += (LeftOut(link, "it is a link to a folder; type it as an input") for link in links)
        for name in sorted(files):
            path = here / name
            if is_litter(path):
                continue
            if reason := _unfit(path):
                left_out.append(LeftOut(path, reason))
            else:
                found.append(_Input(path, here.relative_to(root)))


def _unfit(path: Path) -> str | None:
    """Return why a file of a folder is no input; None where it is one."""
    if path.suffix.lower() not in VIDEO_SUFFIXES and path.suffix.lower() not in READ_SUFFIXES:
        return "its name is that of no video or image"
    try:
        known = path.stat()
    except OSError as error:  # a link to nowhere, or gone in the meantime
        return f"it cannot be read: {error.strerror}"
    if not stat.S_ISREG(known.st_mode):
        return "it is no file"
    return None if known.st_size else "it is empty"


def _listed(path: Path) -> Iterator[_Input]:
    """Yield the entries of a list: a line each, `{"input": ..., "style": ..., "output": ...}`.

    Raises:
        VideobrushError: it cannot be read, or a line says something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VideobrushError(f"cannot read the list {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            entry = _Input(Path(said["input"]), Path(), said.get("style"), said.get("output"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise VideobrushError(
                f'{path}, line {number}: not an entry such as {{"input": "a.mp4", "style": "winter"}}'
            ) from None
        if not entry.path.is_file():
            raise VideobrushError(f"{path}, line {number}: there is no file {entry.path}")
        if entry.output is not None and (
            Path(entry.output).is_absolute() or ".." in Path(entry.output).parts
        ):
            raise VideobrushError(f"{path}, line {number}: {entry.output} leaves the folder of --out")
        yield entry
