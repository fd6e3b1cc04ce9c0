"""The kernels that TensorRT for RTX compiled for an engine, kept beside it for the next start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rt.log import LOG
from rt.replacing import replacing

SUFFIX = ".kernels"
"""What is added to the name of an engine."""


class KernelCache:
    """The compiled kernels of one engine; without a path, or with plain TensorRT, nothing is kept.

    TensorRT for RTX compiles for the GPU it meets, at every start and every switch of styles anew. What it
    refuses, because driver, GPU or version changed, is begun anew and replaced. All calls need a context.
    """

    def __init__(self, trt: Any, engine: Any, path: Path | None) -> None:
        """Take the kernels at `path` in, where there are any."""
        self._path = path if hasattr(trt, "IRuntimeCache") else None
        self._cache: Any = None
        self._config: Any = None
        self._kept = b""
        if self._path is None:
            return
        self._config = engine.create_runtime_config()
        self._cache = self._config.create_runtime_cache()
        if self._cache is None:
            return
        try:
            kept = self._path.read_bytes()
        except OSError:
            kept = b""
        if kept and self._cache.deserialize(kept):
            self._kept = kept
        self._config.set_runtime_cache(self._cache)

    def new_context(self, engine: Any) -> Any:
        """Return an execution context of the engine that uses them; None where its memory is not there."""
        if self._config is None:
            return engine.create_execution_context()
        return engine.create_execution_context(self._config)

    def save(self) -> None:
        """Write them beside the engine where they are others than before; a disk that is full is no error."""
        if self._path is None or self._cache is None:
            return
        found = bytes(self._cache.serialize())
        if found == self._kept:
            return
        try:
            with replacing(self._path) as part:
                part.touch(0o600)
                part.write_bytes(found)
        except OSError as error:
            LOG.warning("compiled kernels cannot be kept at %s: %s", self._path, error.strerror)
        self._kept = found

    def close(self) -> None:
        """Let go of TensorRT's objects; works twice."""
        self._cache = self._config = None
