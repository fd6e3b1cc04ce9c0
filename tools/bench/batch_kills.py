"""A batch killed again and again: `python -m tools.bench.batch_kills`.

Draws a film and two short clips, translates them once in peace, then in folder after folder with `kill -9` at
random moments: of the driver, of it and its workers, or of one worker. Whoever killed the driver starts it
again at once, until the batch is done; then every output must have the bytes of the batch in peace. What was
whole at a kill must not be made again, and no more than one chunk a worker may be half done. Prints a table,
then one JSON object as the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from rt.batch.plan import FOLDER
from tools.bench.result import ROOT, facts, finish, parser, table

WORKERS = 2
HOW = ("the driver", "the driver and its workers", "one worker")


def main() -> None:
    """Kill, resume, compare, print; end with 1 where anything differs."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seconds", type=float, default=60, help="of the film")
    options.add_argument("--at-once", type=int, default=1, help="batches side by side")
    typed = options.parse_args()
    each = -(-typed.kills // typed.at_once)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(typed.at_once) as pool:
        found = [
            pool.submit(
                kill_often, Path(folder, str(number)), each, typed.seed + number, round(typed.seconds * 25)
            )
            for number in range(typed.at_once)
        ]
        result = facts("batch_kills") | summed([future.result() for future in found])
    rows = [(name, result["killed"].get(name, 0)) for name in HOW]
    rows += [(name, result[name]) for name in ("batches", "unequal", "made_again", "most_half_done")]
    finish(result, table("kill -9 of a batch", ("", "count"), rows), typed.save)
    sys.exit(bool(result["unequal"] or result["made_again"]) or result["most_half_done"] > WORKERS)


def summed(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what several rounds found, as one."""
    one = dict(found[0])
    for name in ("kills", "batches", "unequal", "made_again"):
        one[name] = sum(each[name] for each in found)
    one["killed"] = dict(sum((Counter(each["killed"]) for each in found), Counter[str]()))
    one["most_half_done"] = max(each["most_half_done"] for each in found)
    return one


def kill_often(folder: Path, kills: int, seed: int, frames: int) -> dict[str, Any]:
    """Kill batches so many times; return what was found."""
    draw = random.Random(seed)
    inputs = folder / "in"
    inputs.mkdir(parents=True)
    draw_video(inputs / "film.mp4", frames)
    draw_video(inputs / "short.mp4", 40)
    draw_video(inputs / "other.mkv", 30)
    begun = time.monotonic()
    assert start(folder, "peace").wait() == 0
    length_s = time.monotonic() - begun
    wanted = outputs(folder / "peace")
    assert len(wanted) == 3
    killed, batches, unequal, again, most = Counter[str](), 0, 0, 0, 0
    while killed.total() < kills:
        out = folder / f"out{batches}"
        batches += 1
        before, half = whole(out), half_done(out)
        while (status := struck(folder, out, draw, length_s, killed)) != 0:
            assert status == -signal.SIGKILL, f"the batch ended with {status}"
            again += made_again(before, out)
            most = max(most, len(half_done(out) - half))
            before, half = whole(out), half_done(out)
        unequal += outputs(out) != wanted
        again += made_again(before, out)
        shutil.rmtree(out)
    return {
        "kills": killed.total(),
        "killed": dict(killed),
        "batches": batches,
        "workers": WORKERS,
        "film_frames": frames,
        "batch_in_peace_s": round(length_s, 2),
        "unequal": unequal,
        "made_again": again,
        "most_half_done": most,
    }


def start(folder: Path, out: str) -> subprocess.Popen[bytes]:
    """Start the batch."""
    typed = ["batch", folder / "in", "--out", folder / out, "--style", "winter", "--backend", "identity"]
    typed += ["--chunk", "5", "--workers", WORKERS]
    return subprocess.Popen(
        [sys.executable, "-m", "rt", *map(str, typed)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def struck(folder: Path, out: Path, draw: random.Random, length_s: float, killed: Counter[str]) -> int:
    """Run the batch and kill something of it at some moment, if it lasts until then; return how it ended."""
    running = start(folder, out.name)
    try:
        return running.wait(draw.uniform(0, length_s))
    except subprocess.TimeoutExpired:
        how, workers = draw.choice(HOW), workers_of(running.pid)
    if how == "one worker" and not workers:
        how = "the driver"
    killed[how] += 1
    if how != "one worker":
        running.kill()
    if how != "the driver":
        for worker in workers if how != "one worker" else [draw.choice(workers)]:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    return running.wait()


def workers_of(driver: int) -> list[int]:
    """Return the processes that translate for a batch."""
    found = []
    for task in Path(f"/proc/{driver}/task").glob("*/children"):
        for child in task.read_text().split():
            with suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def whole(out: Path) -> dict[Path, int]:
    """Return what is done of a batch, down to the chunk, and when."""
    account = out / FOLDER
    notes = [*account.glob("parts/*/[0-9]*.json"), *account.glob("facts/*.done.json")]
    return {note: note.stat().st_mtime_ns for note in notes}


def half_done(out: Path) -> set[str]:
    """Return the names of the chunks that are being written, or were when they were killed."""
    return {path.name for path in (out / FOLDER).glob("parts/*/*.part")}


def made_again(before: dict[Path, int], out: Path) -> int:
    """Return how much of what was done has been done again."""
    now = whole(out)
    return sum(now.get(note, made) != made for note, made in before.items())


def outputs(out: Path) -> dict[str, str]:
    """Return a digest of each output; of Matroska, whose header holds a random number, of its packets."""
    found = {}
    for path in sorted(path for path in out.iterdir() if path.is_file()):
        if path.suffix == ".mkv":
            with av.open(str(path)) as container:
                content = b"".join(
                    b"%d:%b" % (packet.pts or 0, bytes(packet)) for packet in container.demux()
                )
        else:
            content = path.read_bytes()
        found[path.name] = hashlib.sha256(content).hexdigest()
    return found


def draw_video(path: Path, frames: int) -> None:
    """Write a video of moving stripes with a keyframe each second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        stream.height, stream.width, stream.pix_fmt = 120, 160, "yuv420p"
        y, x = np.mgrid[0:120, 0:160]
        for number in range(frames):
            rgb = np.stack([(2 * x + 5 * number) % 256, (3 * y + number) % 256, (x + y) % 256], axis=-1)
            frame = av.VideoFrame.from_ndarray(rgb.astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
