"""Is live audio in step: `python -m tools.bench.live_audio`.

A stream with a flash and a beep a second comes over TCP, is translated by a stand-in for a network that takes
its time, and goes into a recording and, over TCP again, to a server. The sender's clock is a little fast, its
packets come late, and it hangs up again and again, to begin with another time stamp, first just before 33
bits wrap. Told is how far beeps are from their flashes in both results. Prints a table, then one JSON object
as the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import logging
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rt.backends import Backend
from rt.backends.base import Computed
from rt.backends.identity import IdentityBackend
from rt.commands import Run
from rt.job import run_job
from rt.pipeline import Stop
from rt.sources import Source
from tools.bench.flashes import FlashServer, Found, find
from tools.bench.result import facts, finish, parser, table

BEGINS_S = (95_400.0, 12.5, 50_001.0, 0.0, 7919.25)
"""Time stamps of the connections; the first one wraps at 95 443.7 s."""
LIMIT_MS = 20.0


class SlowBackend(IdentityBackend):
    """Changes nothing, and takes between half and one and a half times `latency_s` for it."""

    def __init__(self, size: tuple[int, int], latency_s: float) -> None:
        super().__init__(size)
        self._latency_s = latency_s
        self._random = random.Random(3)

    def start(self, rgb: npt.NDArray[np.uint8]) -> Computed:
        """Copy, after a while."""
        time.sleep(self._latency_s * self._random.uniform(0.5, 1.5))
        return Computed(self.translate(rgb))


class Receiver:
    """A server that writes what it is sent to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the sender's end."""
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        with connection, self._path.open("wb") as file, suppress(OSError):
            while block := connection.recv(1 << 16):
                file.write(block)


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=1.0)
    arguments.add_argument("--container", default="mpegts", choices=("mpegts", "flv", "matroska"))
    arguments.add_argument("--latency-ms", type=float, default=120.0, help="of the stand-in for a network")
    arguments.add_argument("--jitter-ms", type=float, default=80.0, help="frames are sent up to so much late")
    arguments.add_argument("--drift-ppm", type=float, default=200.0)
    arguments.add_argument("--reconnect-every", type=float, default=50.0, metavar="S")
    typed = arguments.parse_args()
    logging.getLogger("rt").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        found = run(typed, Path(folder))
    result = {
        **facts("live-audio"),
        "source": {name: value for name, value in vars(typed).items() if name != "save"},
    }
    result["results"] = {name: described(each) for name, each in found.items()}
    headings = (
        "result",
        "flashes",
        "beeps",
        "without beep",
        "p50 ms",
        "p99 ms",
        "max ms",
        "frames",
        "seconds",
    )
    rows = [[name, *described(each).values()] for name, each in found.items()]
    finish(
        result,
        table(f"flash to beep, {typed.minutes:g} minutes", headings, rows),
        typed.save,
        typed.container,
    )
    return 0 if all(each.share(0.99) <= LIMIT_MS for each in found.values()) else 1


def run(typed: Any, folder: Path) -> dict[str, Found]:
    """Carry the stream into both results, and look into them."""
    recording, sent = folder / "recording.mp4", folder / "sent.ts"
    ending = threading.Event()
    receiver = Receiver(sent)

    def load(asked: Run, name: str, source: Source, size: Any, say: Callable[..., None]) -> Backend:
        return SlowBackend(size or (source.info.height, source.info.width), typed.latency_ms / 1000)

    with FlashServer(typed.container, BEGINS_S, typed.jitter_ms / 1000, typed.drift_ppm / 1e6) as server:

        def upset() -> None:
            while not ending.wait(typed.reconnect_every):
                server.hang_up()

        upsetting = threading.Thread(target=upset, name="upset", daemon=True)
        upsetting.start()
        asked = Run(
            server.address,
            "winter",
            (str(recording), receiver.address),
            duration=60 * typed.minutes,
            encoder="x264",
            preset="ultrafast",
        )
        try:
            run_job(asked, Stop(), load=load)
        finally:
            ending.set()
            upsetting.join()
        receiver.wait()
        print(f"{server.connections} connections", file=sys.stderr)
    return {"recording": find(recording), "stream out": find(sent)}


def described(found: Found) -> dict[str, float]:
    """Return the figures of a result."""
    return {
        "flashes": found.flashes,
        "beeps": found.beeps,
        "flash_frames_without_beep": found.unmatched,
        "p50_ms": round(found.share(0.5), 2),
        "p99_ms": round(found.share(0.99), 2),
        "max_ms": round(found.share(1.0), 2),
        "frames": found.frames,
        "seconds": round(found.seconds, 1),
    }


if __name__ == "__main__":
    raise SystemExit(main())
