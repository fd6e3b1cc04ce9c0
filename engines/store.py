"""Writing engines and timing caches: whole or not at all, for their owner alone."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from rt.engine_file import EngineFacts, EngineKey, engine_path, engines_folder, facts_path, find_plans
from rt.errors import EngineError
from rt.replacing import replacing

_OWNER_ONLY = 0o700
_OPEN_TO_OTHERS = 0o022


def prepare_folder(folder: Path | None = None) -> Path:
    """Make the folder of engines, for its owner alone, and return it.

    Raises:
        EngineError: it cannot be made or written, or others may write it.
    """
    base = folder or engines_folder()
    try:
        base.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        open_to_others = sys.platform != "win32" and base.stat().st_mode & _OPEN_TO_OTHERS
    except OSError as error:
        raise EngineError(f"the folder of engines {base} cannot be made: {error.strerror}") from None
    if open_to_others:
        raise EngineError(
            f"the folder of engines {base} is refused: others may write it, and an engine is code that runs; "
            f"type: chmod 700 {base}"
        )
    if not os.access(base, os.W_OK | os.X_OK):
        raise EngineError(
            f"the folder of engines {base} may not be written; set VIDEOBRUSH_ENGINES to another"
        )
    return base


def write_engine(
    key: EngineKey,
    plan: bytes,
    source: str,
    build_s: float,
    precisions: dict[str, int],
    folder: Path | None = None,
) -> Path:
    """Write a plan and its facts and return the plan's path; one of the same key is replaced.

    Raises:
        EngineError: the folder cannot be written.
    """
    path = engine_path(key, prepare_folder(folder))
    facts = EngineFacts(
        key=key,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        build_s=round(build_s, 2),
        source=source,
        precisions=precisions,
    )
    text = json.dumps(asdict(facts), indent=2, ensure_ascii=False) + "\n"
    try:
        # A reader between the two finds no facts, or facts of this very plan: never another's.
        facts_path(path).unlink(missing_ok=True)
        _write(path, plan)
        _write(facts_path(path), text.encode())
    except OSError as error:
        raise EngineError(f"engine {path} cannot be written: {error.strerror}") from None
    return path


def timing_cache_path(key: EngineKey, folder: Path | None = None) -> Path:
    """Return where the timing cache of this key's machine and runtime lies."""
    digest = hashlib.sha256(f"{key.device} {key.compute_capability}".encode()).hexdigest()[:12]
    return (folder or engines_folder()) / f"timing-{key.runtime}-{key.runtime_version}-{digest}.cache"


def read_timing_cache(path: Path) -> bytes:
    """Return a timing cache, or no bytes where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise EngineError(f"timing cache {path} cannot be read: {error.strerror}; delete it") from None


def write_timing_cache(path: Path, cache: bytes) -> None:
    """Keep a timing cache for the next build."""
    prepare_folder(path.parent)
    try:
        _write(path, cache)
    except OSError as error:
        raise EngineError(f"timing cache {path} cannot be written: {error.strerror}") from None


def plans_of(style: str, folder: Path | None = None) -> list[Path]:
    """Return the plans whose file names say they are of a style."""
    return [path for path in find_plans(folder) if path.name.startswith(f"{style}-")]


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as part:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
