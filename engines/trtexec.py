"""The command of NVIDIA's own tools that equals a build: to compare, and for reports to NVIDIA."""

from __future__ import annotations

import shlex
from pathlib import Path

from rt.engine_file import EngineKey


def equal_command(key: EngineKey, model: Path, plan: Path, cache: Path, workspace_bytes: int | None) -> str:
    """Return the line that builds the engine of `key` of the ONNX file `model`, as far as the tools can."""
    if key.runtime == "tensorrt-rtx":
        # It builds for every GPU it knows at once, and has no word for the memory that graphs need.
        return shlex.join(["tensorrt_rtx", f"--onnx={model}", f"--saveEngine={plan}"])
    words = ["trtexec", f"--onnx={model}", f"--saveEngine={plan}", "--skipInference"]
    if int(key.runtime_version.partition(".")[0]) < 11:  # since 11 every network is typed by its file
        words.append("--stronglyTyped")
    words += ["--profilingVerbosity=detailed", f"--timingCacheFile={cache}"]
    if workspace_bytes is not None:
        words.append(f"--memPoolSize=workspace:{workspace_bytes >> 20}")
    return shlex.join(words)
