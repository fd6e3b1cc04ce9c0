"""Inputs that stand where outputs are named: what a shell made of `*.jpg`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import av
import av.error

from rt.errors import SinkError, SourceError
from rt.image import open_image
from rt.media import TOLERANT, local_name
from rt.text import first_few

_NAMED = 8
"""So many files are typed one by one in the command that is offered."""
_HEAD_BYTES = 1 << 16


def refuse_inputs_as_outputs(source: str, outputs: Sequence[str], style: str) -> None:
    """Refuse to write over a readable image or video that is named beside other outputs.

    `run *.jpg out/` names all photos but the first as outputs. Whether or not what exists may be replaced,
    nobody types several outputs of which one is an image worth keeping, but the shell does.

    Raises:
        SinkError: with the command that translates several inputs.
    """
    if len(outputs) < 2:
        return
    media = [output for output in outputs if is_media(output)]
    if not media:
        return
    folders = [output for output in outputs if output not in media and is_folder(output)]
    folder = shlex.quote(folders[-1]) if folders else "DIR"
    command = f"videobrush batch {_typed([source, *media])} --out {folder} --style {shlex.quote(style)}"
    raise SinkError(
        f"{first_few(media, 3)} would be written over, since only the first name is an input; to translate "
        f"several inputs type: {command}; an output of an earlier run has to be removed first"
    )


def is_media(address: str) -> bool:
    """Tell whether an address is a file that exists and holds an image, a video or audio."""
    path = Path(address)
    try:
        if "://" in address or not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        return bool(head) and (_is_image(path) or _is_stream(path))
    except (OSError, ValueError):
        return False


def _is_image(path: Path) -> bool:
    try:
        open_image(path.read_bytes(), whole=False)
    except SourceError as error:
        return "HEIC" in str(error) or "at most" in str(error)  # an image, if not one that is read here
    return True


def _is_stream(path: Path) -> bool:
    try:
        options = {"protocol_whitelist": "file"}
        with av.open(local_name(path), container_options=options, **TOLERANT) as container:
            return bool(container.streams.video or container.streams.audio)
    except (av.error.FFmpegError, ValueError):
        return False


def is_folder(output: str) -> bool:
    """Tell whether an output names a folder."""
    return output.endswith(("/", "\\")) or Path(output).is_dir()


def _typed(names: Sequence[str]) -> str:
    """Return names as they are typed: one by one, or as a pattern where they are many of one folder."""
    paths = [Path(name) for name in names]
    if len(names) > _NAMED and len({(path.parent, path.suffix) for path in paths}) == 1:
        folder, pattern = paths[0].parent, f"*{paths[0].suffix}"
        return pattern if folder == Path() else f"{shlex.quote(str(folder))}/{pattern}"
    return " ".join(shlex.quote(name) for name in names)
