"""A compiled engine on disk: key, path, facts, and reading it untrusted.

An engine is two files in the folder of engines: the plan, `<name>.engine`, and its facts,
`<name>.engine.json`. The name ends in a digest of the key, so engines of different keys never meet. They are
written by `videobrush-engines build`; what the runtime finds damaged or missing it refuses, it never builds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rt.card import PRECISIONS, Card, Model
from rt.errors import EngineError
from rt.folders import user_folder

FACTS_VERSION = 2
RUNTIMES = ("tensorrt", "tensorrt-rtx")
ANY_DEVICE = "any"
"""The device of an engine that runs on every GPU of its compute capability."""
FLAGS = ("strongly-typed",)
"""Build settings that every engine is made with."""
USER_ALLOCATION = "user-allocation"
"""The build setting without which an engine of TensorRT for RTX cannot be recorded into a CUDA graph."""
_OPEN_TO_OTHERS = 0o022


@dataclass(frozen=True)
class EngineKey:
    """Everything that changes an engine."""

    style: str
    """Name of the style."""
    onnx_sha256: str
    """SHA-256 of the style's ONNX file it is made of; see `source_model`."""
    precision: str
    """`fp32`, `fp16`, `int8`."""
    height: int
    width: int
    """The engine takes and gives uint8[1, height, width, 3] RGB, no other shape."""
    runtime: str
    """`tensorrt` or `tensorrt-rtx`."""
    runtime_version: str
    """Version of the runtime that built it: `10.13.3.9`."""
    compute_capability: str
    """`sm89`."""
    device: str
    """The GPU as `rt.cuda.device.Gpu.model` says it, or `ANY_DEVICE`."""
    flags: tuple[str, ...] = FLAGS

    def digest(self) -> str:
        """Return twelve hexadecimal digits that differ where any field differs."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def file_name(self) -> str:
        """Return the name of the plan's file."""
        where = f"{self.runtime}-{self.runtime_version}-{self.compute_capability}"
        return f"{self.style}-{self.precision}-{self.size_text}-{where}-{self.digest()}.engine"

    @property
    def size_text(self) -> str:
        """Width and height as people type them: `448x256`."""
        return f"{self.width}x{self.height}"

    def __str__(self) -> str:
        device = "" if self.device == ANY_DEVICE else f" ({self.device})"
        return (
            f"style {self.style}, {self.precision}, {self.size_text}, "
            f"{self.runtime} {self.runtime_version}, {self.compute_capability}{device}"
        )


@dataclass(frozen=True)
class EngineFacts:
    """What is known of a compiled engine; `<name>.engine.json`."""

    key: EngineKey
    plan_sha256: str
    plan_bytes: int
    built: str
    """When, ISO 8601 in UTC."""
    build_s: float
    """How long it took."""
    source: str
    """The style's ONNX file it is made of, `model.int8.onnx`."""
    precisions: Mapping[str, int] = field(default_factory=dict)
    """Convolutions of the plan by what they compute in, where the plan could be read back."""
    version: int = FACTS_VERSION


@dataclass(frozen=True)
class Engine:
    """A plan that is the one that was built, and its facts."""

    plan: bytes
    facts: EngineFacts


def source_model(card: Card, precision: str) -> Model:
    """Return the ONNX file an engine of a precision is made of.

    FP16 is cast from FP32 at the build where the card has no file of its own for it.

    Raises:
        EngineError: the style has no such model.
    """
    if precision in card.models:
        return card.models[precision]
    if precision == "fp16" and "fp32" in card.models:
        return card.models["fp32"]
    known = ", ".join(sorted(card.models))
    hint = (
        f"; type: videobrush-engines quantize {card.name} --frames CLIP"
        if precision in PRECISIONS and precision != "fp32"
        else ""
    )
    raise EngineError(f"style {card.name} has no {precision} model for an engine; it has: {known}{hint}")


def flags_of(runtime: str) -> tuple[str, ...]:
    """Return the build settings of a runtime's engines."""
    return (*FLAGS, USER_ALLOCATION) if runtime == "tensorrt-rtx" else FLAGS


def engines_folder() -> Path:
    """Return the folder of engines; it need not exist.

    `$VIDEOBRUSH_ENGINES` where set, else the platform's place for what can be made again.
    """
    if chosen := os.environ.get("VIDEOBRUSH_ENGINES"):
        return Path(chosen)
    return user_folder("XDG_CACHE_HOME", ".cache", mac="Caches") / "engines"


def engine_path(key: EngineKey, folder: Path | None = None) -> Path:
    """Return where the plan of this key lies or would lie."""
    return (folder or engines_folder()) / key.file_name()


def facts_path(plan: Path) -> Path:
    """Return where the facts of a plan lie."""
    return plan.with_name(plan.name + ".json")


def build_command(key: EngineKey) -> str:
    """Return the command that builds an engine of this key."""
    target = f" --target {key.compute_capability}" if key.device == ANY_DEVICE else ""
    return (
        f"videobrush-engines build {key.style} --precision {key.precision} --network {key.size_text} "
        f"--runtime {key.runtime}{target}"
    )


def read_engine(key: EngineKey, folder: Path | None = None) -> Engine:
    """Read the engine of this key after comparing it with its facts.

    Raises:
        EngineError: it is not there, was cut off or changed, belongs to another key, or others may write it;
            the message says which, and the command that builds it.
    """
    path = engine_path(key, folder)
    try:
        if not path.is_file():
            raise EngineError(f"there is no engine for {key}{_nearest(key, path.parent)}")
        facts = read_facts(path)
        if facts.key != key:
            raise EngineError(f"engine {path} is not for {key}: its facts say {difference(key, facts.key)}")
        return Engine(read_plan(path, facts), facts)
    except EngineError as error:
        raise EngineError(f"{error}; type: {build_command(key)}") from None


def read_facts(plan: Path) -> EngineFacts:
    """Read the facts of a plan.

    Raises:
        EngineError: they are missing, no JSON, or a field is missing, unknown or of another kind.
    """
    path = facts_path(plan)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineError(f"engine {plan} has no facts: {path.name} is missing") from None
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{path} is damaged: not JSON ({error})") from None
    try:
        return _facts_from(found)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise EngineError(f"{path} is damaged: {error}") from None


def read_plan(path: Path, facts: EngineFacts) -> bytes:
    """Read a plan after comparing it with its facts.

    Raises:
        EngineError: it cannot be read, was cut off or changed, or others may write it.
    """
    try:
        if sys.platform != "win32" and (path.parent.stat().st_mode | path.stat().st_mode) & _OPEN_TO_OTHERS:
            raise EngineError(f"engine {path} is refused: others may write it; chmod 700 {path.parent}")
        plan = path.read_bytes()
    except OSError as error:
        raise EngineError(f"engine {path} cannot be read: {error.strerror}") from None
    if len(plan) != facts.plan_bytes:
        raise EngineError(
            f"engine {path} is damaged: {len(plan)} bytes found, its facts say {facts.plan_bytes}"
        )
    if hashlib.sha256(plan).hexdigest() != facts.plan_sha256:
        raise EngineError(f"engine {path} is damaged: its SHA-256 is not the one of its facts")
    return plan


def read_stored(path: Path) -> Engine:
    """Read whatever engine a file holds after comparing it with its facts.

    Raises:
        EngineError: as `read_facts` and `read_plan`; where the facts are whole, with the command to type.
    """
    facts = read_facts(path)
    try:
        return Engine(read_plan(path, facts), facts)
    except EngineError as error:
        raise EngineError(f"{error}; type: {build_command(facts.key)}") from None


def find_plans(folder: Path | None = None) -> list[Path]:
    """Return every plan in the folder of engines, by name.

    Raises:
        EngineError: the folder is there and cannot be read.
    """
    base = folder or engines_folder()
    try:
        return sorted(path for path in base.iterdir() if path.suffix == ".engine")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EngineError(f"the folder of engines {base} cannot be read: {error.strerror}") from None


def difference(wanted: EngineKey, found: EngineKey) -> str:
    """Return the fields in which a key differs, as words: `width 448 instead of 456`."""
    return ", ".join(
        f"{entry.name} {getattr(found, entry.name)} instead of {getattr(wanted, entry.name)}"
        for entry in fields(EngineKey)
        if getattr(found, entry.name) != getattr(wanted, entry.name)
    )


def _nearest(key: EngineKey, folder: Path) -> str:
    """Return how the engine most like the one of this key differs, or where engines were looked for."""
    alike: list[tuple[int, str]] = []
    for path in find_plans(folder):
        try:
            found = read_facts(path).key
        except EngineError:
            continue
        if found.style == key.style:
            text = difference(key, found)
            alike.append((text.count(" instead of "), text))
    if not alike:
        return f" in {folder}"
    return f": the nearest in {folder} has {min(alike)[1]}"


def _facts_from(found: Any) -> EngineFacts:
    if isinstance(found, dict) and found.get("version") == 1:
        raise ValueError("it is of an earlier videobrush: build the engine again")
    if not isinstance(found, dict) or found.get("version") != FACTS_VERSION:
        raise ValueError(f"no facts of version {FACTS_VERSION}")
    key = found["key"]
    _check_fields("key", key, EngineKey)
    _check_fields("facts", found, EngineFacts)
    facts = EngineFacts(**{**found, "key": EngineKey(**{**key, "flags": tuple(key["flags"])})})
    for name, kind in (("plan_sha256", str), ("plan_bytes", int), ("precisions", dict)):
        if not isinstance(getattr(facts, name), kind):
            raise TypeError(f"{name} is {type(getattr(facts, name)).__name__}, not {kind.__name__}")
    return facts


def _check_fields(what: str, found: Mapping[str, Any], wanted: type[EngineKey] | type[EngineFacts]) -> None:
    names = {entry.name for entry in fields(wanted)}
    if wrong := sorted(names ^ set(found)):
        raise ValueError(f"{what} has not exactly the fields it needs: {', '.join(wrong)}")
