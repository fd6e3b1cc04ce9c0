"""Opening a video file, and choosing its video stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import av.container
import av.error
import av.stream
import numpy as np

from rt.captions import side_data
from rt.errors import SourceError, nearest_file
from rt.media import STILL_CODECS, TOLERANT, Chapter, local_name, rational, reason

_NOT_VIDEO = frozenset({"tty", "lavfi", "ffmetadata", "hls", "concat", "dash", "sdp", "rtsp"})
"""What FFmpeg opens as a stream of frames but is text or a list of addresses."""
_TURNS = {
    270: (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30),
    180: (-1 << 16, 0, 0, 0, -1 << 16, 0, 0, 0, 1 << 30),
    90: (0, -1 << 16, 0, 1 << 16, 0, 0, 0, 0, 1 << 30),
}
"""Display matrices by the counter-clockwise degrees that FFmpeg reads from them."""


def check_file(path: Path) -> None:
    """Refuse what is not a readable file with content.

    Raises:
        SourceError: with what was found instead.
    """
    try:
        if not path.exists():
            raise SourceError(f"cannot read {path}: no such file{nearest_file(path)}")
        if not path.is_file():
            raise SourceError(f"cannot read {path}: it is not a regular file; a video file is needed")
        if path.stat().st_size == 0:
            raise SourceError(f"cannot read {path}: the file is empty (0 bytes); a video file is needed")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {path}: {reason(error)}") from None


def open_container(path: Path) -> av.container.InputContainer:
    """Open a file for reading, and nothing that it may name.

    Raises:
        SourceError: it is no video file.
    """
    try:
        # A media file that names others (a play list) must not reach the network or other files.
        container: av.container.InputContainer = av.open(
            local_name(path), container_options={"protocol_whitelist": "file"}, **TOLERANT
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"cannot read {path}: {_what_it_is(path, error)}; a video file is needed") from None
    if container.format.name in _NOT_VIDEO:
        container.close()
        raise SourceError(f"cannot read {path}: it is text, not a video; a video file is needed")
    return container


def _what_it_is(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if b"\0" not in head and all(byte >= 9 for byte in head):
        return "it is text, not a video"
    if head[4:8] == b"ftyp":
        return "it is an mp4 without its index: cut short, or never finished"
    return f"it is not a video file ({reason(error)})"


def choose_video(
    path: Path, container: av.container.InputContainer, warn: Callable[..., None]
) -> av.VideoStream:
    """Return the video stream a player would show: default first, then the largest, then the first.

    Raises:
        SourceError: there is none, or none that can be decoded.
    """
    still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        raise SourceError(
            f"cannot read {path}: {_what_instead(container)}; a file with a video stream is needed"
        )
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise SourceError(f"cannot read {path}: its video codec is unknown to the built-in FFmpeg")
    chosen = max(known, key=_rank)
    if others := len(known) - 1:
        warn("%s has %d more video stream(s); stream %d is translated", path, others, chosen.index)
    return chosen


def _rank(stream: av.VideoStream) -> tuple[bool, bool, int]:
    """Return what makes a stream the video: it is no lone image, it is marked, it is large."""
    alone = stream.codec_context.name in STILL_CODECS and stream.frames <= 1
    return not alone, bool(stream.disposition & av.stream.Disposition.default), stream.width * stream.height


def _what_instead(container: av.container.InputContainer) -> str:
    audio = [codec_name(stream) for stream in container.streams.audio]
    if audio:
        return f"it holds only audio ({', '.join(audio)})"
    kinds = sorted({stream.type for stream in container.streams})
    if kinds:
        return f"it holds no video (only {', '.join(kinds)})"
    return f"it has a {container.format.name.split(',')[0]} header but no streams"


def codec_name(stream: av.stream.Stream) -> str:
    """Return FFmpeg's name of a stream's codec."""
    return str(stream.codec_context.name) if stream.codec_context is not None else "unknown codec"


def read_chapters(container: av.container.InputContainer) -> list[Chapter]:
    """Return the named parts of a file."""
    found = []
    for chapter in container.chapters():
        unit = rational(chapter["time_base"])
        if unit is not None:
            found.append(Chapter(chapter["start"] * unit, chapter["end"] * unit, chapter["metadata"]))
    return found


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Return the nine integers that turn a decoded frame upright; None where it has none."""
    try:
        entries = side_data(frame)
    except ValueError:
        return _TURNS.get(frame.rotation % 360)
    for data in entries:
        if data.type.name == "DISPLAYMATRIX":
            return tuple(int(value) for value in np.frombuffer(data, dtype=np.int32, count=9))
    return None
