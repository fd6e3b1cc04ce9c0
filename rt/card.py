"""The card: the facts of a style, `card.json` in its folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from rt.errors import StyleError
from rt.replacing import replacing

CARD_VERSION = 1
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,39}")
PRECISIONS = ("fp32", "fp16", "int8")
View = Literal["image", "gray", "edges"]
VIEWS: tuple[View, ...] = ("image", "gray", "edges")
"""What of an image a network looks at, see `rt.view.look_at`."""
Detail = Literal["keep", "network"]
DETAILS: tuple[Detail, ...] = ("keep", "network")
"""How a network's result is applied to the frame, see `rt.fit.apply_residual`."""
_RENAMED = {"called_target": "classified_as_target", "pictures": "images", "held_back": "held_out"}
"""Names within `data` and `metrics` that cards of videobrush 0.1 have."""
Expects = Literal["photo", "gray photo", "label map"]
EXPECTS: tuple[Expects, ...] = ("photo", "gray photo", "label map")
"""What images a style was made for; a label map is of flat areas, each colour a thing."""
HIGHEST_OPSET = 20
"""The newest ONNX operators a style's networks use: what TensorRT 10.3, that of JetPack 6, parses."""


@dataclass(frozen=True)
class Model:
    """One ONNX file of a style: uint8[N, H, W, 3] RGB in, the same out."""

    file: str
    """File name within the style's folder."""
    sha256: str
    """Checksum of the file, hexadecimal."""
    size_bytes: int
    """Length of the file in bytes."""


@dataclass(frozen=True)
class Card:
    """What a style is, where it comes from, how well it works and what is known to be wrong with it."""

    name: str
    """Lower-case name, the one typed after `--style`."""
    title: str
    """One line for people: what the style does."""
    multiple: int
    """Height and width of the network's image must be multiples of this many pixels."""
    minimum_px: int
    """Smallest height and width the network takes."""
    size_px: int
    """Short side of the image the network was trained for; the default of `--size`."""
    models: Mapping[str, Model]
    """ONNX files by precision: `fp32`, `fp16`, `int8`."""
    recipe: str
    """The recipe that trained it: `cyclegan`, `pix2pix`, ..."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Generator: architecture and parameter count."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Training images: name, origin, terms, counts."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Steps, time, machine, commit, command."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Measured quality, with floor and ceiling."""
    faults: tuple[str, ...] = ()
    """Known faults, one sentence each."""
    fixed_size: tuple[int, int] | None = None
    """(height, width) of a network that takes no other; None where it takes every fitting size."""
    view: View = "image"
    """What of an image the network looks at: it learnt from images seen this way."""
    detail: Detail = "keep"
    """How its result is best applied to the frame. network: the image shares no detail with the frame, as it
    is drawn from edges or labels, or painted."""
    expects: Expects = "photo"
    """What images it is given: a frame that is plainly something else is said."""
    version: int = CARD_VERSION


def read_card(folder: Path) -> Card:
    """Read `folder`/card.json and check every field the runtime relies on.

    Raises:
        StyleError: the card is missing, is not JSON, or a field is missing or out of range.
    """
    path = folder / "card.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StyleError(f"{folder} is not a style: it has no card.json") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StyleError(f"card {path} cannot be read: {error}") from None
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond all bounds is no JSON error
        raise StyleError(f"card {path} is damaged: not JSON ({error}); install the style again") from None
    try:
        return _card_from(facts)
    except (TypeError, ValueError, KeyError) as error:
        raise StyleError(f"card {path} is damaged: {error}; install the style again") from None


def write_card(card: Card, folder: Path) -> None:
    """Write `folder`/card.json under a temporary name, then rename it."""
    path = folder / "card.json"
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n"
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def describe_model(path: Path) -> Model:
    """Return the card entry of an ONNX file."""
    return Model(file=path.name, sha256=file_sha256(path), size_bytes=path.stat().st_size)


def check_model(folder: Path, model: Model) -> Path:
    """Return the path of a style's ONNX file after comparing it with its card.

    Raises:
        StyleError: the file is missing, cannot be read, or differs from the card.
    """
    path = folder / model.file
    try:
        _compare(path, model)
    except OSError as error:
        raise StyleError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _compare(path: Path, model: Model) -> None:
    if not path.is_file():
        raise StyleError(
            f"style {path.parent.name} is incomplete: {path} is missing; install the style again"
        )
    found_bytes = path.stat().st_size
    if found_bytes != model.size_bytes:
        raise StyleError(
            f"{path} is damaged: {found_bytes} bytes found, the card says {model.size_bytes}; "
            "install the style again"
        )
    if file_sha256(path) != model.sha256:
        raise StyleError(f"{path} is damaged: its SHA-256 is not the card's; install the style again")


def _renamed(found: Any, levels: int = 2) -> Any:
    """Return the facts of a card of videobrush 0.1 under today's names, so many levels deep."""
    if not isinstance(found, dict) or not levels:
        return found
    return {_RENAMED.get(name, name): _renamed(value, levels - 1) for name, value in found.items()}


def _card_from(facts: Any) -> Card:
    if not isinstance(facts, dict):
        raise TypeError("the top level is not an object")
    facts = {name: _renamed(value) if name in ("data", "metrics") else value for name, value in facts.items()}
    if facts.get("version") != CARD_VERSION:
        raise ValueError(f"version {facts.get('version')!r} found, this program reads version {CARD_VERSION}")
    known = {entry.name for entry in fields(Card)}
    if unknown := sorted(set(facts) - known):
        raise ValueError(f"unknown field {unknown[0]!r}")
    required = ("name", "title", "multiple", "minimum_px", "size_px", "models", "recipe")
    if missing := [name for name in required if name not in facts]:
        raise ValueError(f"field {missing[0]!r} is missing")
    for name in ("name", "title", "recipe"):
        _check_type(name, facts[name], str)
    if not NAME_PATTERN.fullmatch(facts["name"]):
        raise ValueError(f"name {facts['name']!r} is not lower-case letters, digits, '-' and '_'")
    for name in ("multiple", "minimum_px", "size_px"):
        _check_type(name, facts[name], int)
        if not 1 <= facts[name] <= 8192:
            raise ValueError(f"{name} is {facts[name]}, not within 1..8192")
    if facts["size_px"] < facts["minimum_px"]:
        raise ValueError(f"size_px is {facts['size_px']}, below minimum_px {facts['minimum_px']}")
    for name in ("network", "data", "training", "metrics", "models"):
        _check_type(name, facts.get(name, {}), dict)
    faults = facts.get("faults", [])
    if not isinstance(faults, list) or not all(isinstance(fault, str) for fault in faults):
        raise TypeError("faults is not a list of sentences")
    models = {precision: _model_from(precision, entry) for precision, entry in facts["models"].items()}
    if not models:
        raise ValueError("models is empty")
    view = "image" if (named := facts.get("view", "image")) == "picture" else named  # its name in 0.1
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}, not one of {', '.join(VIEWS)}")
    detail = facts.get("detail", "network" if view == "edges" else "keep")
    if detail not in DETAILS:
        raise ValueError(f"detail is {detail!r}, not one of {', '.join(DETAILS)}")
    if (expects := facts.get("expects", "photo")) not in EXPECTS:
        raise ValueError(f"expects is {expects!r}, not one of {', '.join(EXPECTS)}")
    fixed = _fixed_size_from(facts.get("fixed_size"))
    checked = {"models": models, "faults": tuple(faults), "fixed_size": fixed, "view": view, "detail": detail}
    return Card(**{**facts, **checked})


def _fixed_size_from(entry: Any) -> tuple[int, int] | None:
    if entry is None:
        return None
    if not isinstance(entry, list) or len(entry) != 2:
        raise TypeError("fixed_size is not [height, width]")
    for side in entry:
        _check_type("fixed_size", side, int)
        if not 1 <= side <= 8192:
            raise ValueError(f"fixed_size is {entry}, not within 1..8192")
    return entry[0], entry[1]


def _model_from(precision: str, entry: Any) -> Model:
    if precision not in PRECISIONS:
        raise ValueError(f"models has the unknown precision {precision!r}")
    if not isinstance(entry, dict) or set(entry) != {item.name for item in fields(Model)}:
        raise ValueError(f"models.{precision} needs exactly file, sha256 and size_bytes")
    _check_type(f"models.{precision}.file", entry["file"], str)
    _check_type(f"models.{precision}.sha256", entry["sha256"], str)
    _check_type(f"models.{precision}.size_bytes", entry["size_bytes"], int)
    if entry["file"] != Path(entry["file"]).name or not entry["file"].endswith(".onnx"):
        raise ValueError(f"models.{precision}.file {entry['file']!r} is not the plain name of an .onnx file")
    return Model(**entry)


def _check_type(name: str, found: Any, wanted: type) -> None:
    if not isinstance(found, wanted) or isinstance(found, bool):
        raise TypeError(f"{name} is {type(found).__name__}, not {wanted.__name__}")
