"""The process that codes frames and sends them to a server.

FFmpeg has no time limit for opening an output, and PyAV holds Python's lock meanwhile: a server that never
answers would stop the whole program. So all of it happens in a process that ends itself when nothing moves.

stdin: a line of JSON (`Task`), then records: a `HEAD` and its bytes. A frame is uint8[H, W, 3] RGB, audio
is float32[C, N] that follows the audio before.
stdout: the line `open` once the server has taken the header, or `fault WHY`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import struct
import sys
import traceback
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import av.error
import numpy as np

from rt.errors import SinkError
from rt.frame import Frame
from rt.media import reason
from rt.scheduling import scheduling_kept
from rt.sinks.encoder import Encoder
from rt.sinks.live_track import LiveTrack
from rt.sinks.track import LIVE_UNIT, VideoTrack, plain_facts

HEAD = struct.Struct("<cqI")
"""What a record is, its pts in units of `LIVE_UNIT`, and how many bytes follow."""
FRAME, AUDIO = b"F", b"A"


@dataclass(frozen=True)
class Task:
    """What is to be sent where."""

    url: str
    format: str
    """FFmpeg's name of the muxer."""
    options: dict[str, str]
    """The muxer's options."""
    height: int
    width: int
    rate: str
    """Mean frames per second, a fraction."""
    encoder: Encoder
    channels: int
    """Of the audio; 0 for none."""
    limit_s: float
    """The process ends itself where one step takes longer."""

    def line(self) -> bytes:
        """Return the task as a line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    """Do the task on stdin until its end."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    facts = json.loads(stdin.readline())
    task = Task(**{**facts, "encoder": Encoder(**facts["encoder"])})
    with Path(os.devnull).open("w") as nowhere:
        try:
            _send(task, stdin, stdout, nowhere.fileno())
        except (av.error.FFmpegError, OSError, ValueError, SinkError) as error:
            stdout.write(f"fault {reason(error)}\n".encode())
            stdout.flush()
            os._exit(1)  # without closing what is open: that would wait for the server again
        except Exception:
            traceback.print_exc()
            os._exit(2)  # not to be taken for the watch, which ends with 1


def _send(task: Task, stdin: BinaryIO, stdout: BinaryIO, nowhere: int) -> None:
    def watch() -> None:
        """Begin to count the time: the watch is no Python thread and needs no lock of Python's."""
        faulthandler.dump_traceback_later(task.limit_s, exit=True, file=nowhere)

    size = (task.height, task.width)
    watch()
    container = av.open(task.url, "w", format=task.format, container_options=task.options)
    track = VideoTrack(
        container, plain_facts(Path(task.format), size), size, Fraction(task.rate), LIVE_UNIT, task.encoder
    )
    audio = LiveTrack(container, task.channels, "aac") if task.channels else None
    with scheduling_kept():
        container.start_encoding()
    stdout.write(b"open\n")
    stdout.flush()
    while True:
        faulthandler.cancel_dump_traceback_later()  # frames may be late: that is no fault of the server
        head = stdin.read(HEAD.size)
        kind, pts, count = HEAD.unpack(head) if len(head) == HEAD.size else (b"", 0, 0)
        data = stdin.read(count)
        watch()
        if not kind or len(data) < count:
            break
        if kind == FRAME:
            rgb = np.frombuffer(data, np.uint8).reshape(*size, 3)  # [H·W·3] → [H, W, 3]
            track.write(Frame(rgb, pts, LIVE_UNIT, 0), Fraction(0))
        elif audio is not None:
            audio.write(np.frombuffer(data, np.float32).reshape(task.channels, -1))  # [C·N] → [C, N]
    track.finish()
    if audio is not None:
        audio.finish()
    container.close()
    faulthandler.cancel_dump_traceback_later()
