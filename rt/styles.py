"""Styles: where they lie and how one is found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rt.card import Card, check_model, read_card
from rt.errors import StyleError, nearest
from rt.folders import user_folder

GALLERY = Path(__file__).parent / "gallery"
"""The styles that ship with the program."""


@dataclass(frozen=True)
class Style:
    """A folder with a card and the ONNX files it names."""

    folder: Path
    card: Card

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.card.name

    def model(self, precision: str = "fp32") -> Path:
        """Return the ONNX file of this precision after comparing it with the card.

        Raises:
            StyleError: the card has no such file, or the file is missing or damaged.
        """
        if precision not in self.card.models:
            known = ", ".join(sorted(self.card.models))
            raise StyleError(f"style {self.name} has no {precision} model; it has: {known}")
        return check_model(self.folder, self.card.models[precision])


@dataclass(frozen=True)
class Listed:
    """One folder where a style should be: the style, or what is wrong with it."""

    name: str
    folder: Path
    style: Style | None
    fault: str | None
    """Why it cannot be used, where `style` is None."""


def styles_folder() -> Path:
    """Return the folder of the user's own styles; it need not exist.

    `$VIDEOBRUSH_STYLES` where set, else the platform's place for a program's data.
    """
    if chosen := os.environ.get("VIDEOBRUSH_STYLES"):
        return Path(chosen)
    return user_folder("XDG_DATA_HOME", ".local/share") / "styles"


def find_style(name_or_path: str | Path) -> Style:
    """Find a style by the path of its folder or by name, the user's own styles before the bundled ones.

    Raises:
        StyleError: nothing is there, or the card is damaged.
    """
    name = str(name_or_path)
    if not name:
        raise _unknown(name)
    try:
        return _search(name, is_path=isinstance(name_or_path, Path) or _is_path(name))
    except (OSError, RuntimeError) as error:
        # A name longer than names may be, a folder that may not be read, the home of nobody.
        raise StyleError(f"style {name!r} cannot be looked for: {error}; type: videobrush styles") from None


def list_styles() -> list[Listed]:
    """Return every style by name, the user's own before a bundled one of the same name; damaged ones too.

    Raises:
        StyleError: a folder of styles is there and cannot be read.
    """
    found: dict[str, Listed] = {}
    for base in (styles_folder(), GALLERY):
        for folder in _folders(base):
            found.setdefault(folder.name, _listed(folder))
    return [found[name] for name in sorted(found)]


def usable_styles() -> dict[str, Style]:
    """Return every style that can be used, by name: what a viewer may switch to.

    Raises:
        StyleError: a folder of styles is there and cannot be read.
    """
    return {listed.name: listed.style for listed in list_styles() if listed.style is not None}


def _search(name: str, is_path: bool) -> Style:
    path = Path(name).expanduser()
    if (path / "card.json").is_file():
        return Style(path, read_card(path))
    if is_path:
        raise StyleError(
            f"{path} is not a style: {_what_is_there(path)}; a style is a folder with a card.json"
        )
    for base in (styles_folder(), GALLERY):
        for folder in _folders(base):
            if folder.name == name:
                return _open(folder)
    raise _unknown(name)


def _open(folder: Path) -> Style:
    """Read a style that is found by name: the name typed and the name on the card must be one."""
    card = read_card(folder)
    if card.name != folder.name:
        raise StyleError(
            f"style {folder} is damaged: its card says {card.name!r}; rename the folder to {card.name}"
        )
    return Style(folder, card)


def _listed(folder: Path) -> Listed:
    try:
        style = _open(folder)
        for precision in style.card.models:
            style.model(precision)
    except StyleError as error:
        return Listed(folder.name, folder, None, str(error))
    return Listed(folder.name, folder, style, None)


def _folders(base: Path) -> list[Path]:
    """Return the folders within `base` that should be styles; none where `base` is missing."""
    try:
        entries = sorted(base.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StyleError(
            f"the folder of styles {base} cannot be read: {error.strerror}; "
            "mend it, or set VIDEOBRUSH_STYLES to another folder"
        ) from None
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith((".", "_"))]


def _is_path(name: str) -> bool:
    separators = filter(None, (os.sep, os.altsep))
    return name.startswith((".", "~")) or any(mark in name for mark in separators)


def _what_is_there(path: Path) -> str:
    if path.is_dir():
        return "it has no card.json"
    return "it is a file" if path.exists() else "it does not exist"


def _unknown(name: str) -> StyleError:
    known = [listed.name for listed in list_styles()]
    listing = f"known: {', '.join(known)}" if known else f"none is installed in {styles_folder()}"
    return StyleError(f"no style {name!r}{nearest(name, known)}; {listing}; type: videobrush styles")
