"""Long videos in chunks against a plain run: `python -m tools.bench.batch_exact FOLDER`.

Translates every video of a folder twice in lossless coding, as `videobrush run` does and in chunks of
`--chunk` seconds, and compares all that is in the two files but the coded bytes of the video: every frame's
pixels, its time, the packets of the other streams, tags, chapters. Prints a table, then one JSON object as
the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import av

from rt.batch.chunk import Chunk
from rt.batch.plan import make_plan
from rt.batch.tasks import Tasks
from rt.batch.work import LoadedBackends, work
from rt.commands import Batch
from rt.errors import DamagedSource, VideobrushError
from rt.job import run_job
from rt.pipeline import Stop
from tools.bench.result import facts, finish, parser, table


def main() -> None:
    """Compare, print, and end with 1 where a file differs."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--style", default="winter")
    options.add_argument("--backend", default="openvino")
    options.add_argument("--chunk", type=float, default=0.5)
    options.add_argument("--steady", type=float, default=0.0)
    typed = options.parse_args()
    logging.disable(logging.ERROR)
    rows = [row for path in sorted(typed.folder.iterdir()) if (row := compare(path, typed)) is not None]
    result = facts("batch_exact") | {
        "style": typed.style,
        "backend": typed.backend,
        "chunk_s": typed.chunk,
        "steady": typed.steady,
        "files": rows,
        "unequal": sum(not row["equal"] for row in rows),
    }
    shown = [
        (row["file"], row["frames"], row["chunks"], row["status"], "equal" if row["equal"] else "OTHER")
        for row in rows
    ]
    finish(
        result, table("chunks against a run", ("", "frames", "chunks", "ended", "files"), shown), typed.save
    )
    sys.exit(result["unequal"] > 0)


def compare(path: Path, typed: Any) -> dict[str, Any] | None:
    """Translate a file both ways; None where a run cannot read it."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Batch(
            (str(path),),
            Path(folder) / "out",
            (typed.style,),
            backend=typed.backend,
            crf=0,
            chunk=typed.chunk,
            steady=typed.steady or "off",
        )
        (item,) = make_plan(asked).items
        alone = Path(folder) / item.output.name
        message = ""
        try:
            run_job(replace(item.asked(), output=(str(alone),)), Stop())
        except DamagedSource as error:
            message = str(error)
        except VideobrushError:
            return None
        tasks, loaded, kinds = Tasks([item]), LoadedBackends(), Counter[type]()
        ended = None
        while (task := tasks.take()) is not None:
            kinds[type(task)] += 1
            ended = tasks.ended(task, work(task, loaded))
        loaded.close()
        assert ended is not None
        equal = ended.message == message and contents(alone) == contents(item.output)
        return {
            "file": path.name,
            "frames": ended.frames,
            "chunks": kinds[Chunk],
            "status": ended.status,
            "equal": equal,
        }


def contents(path: Path) -> dict[str, Any]:
    """Return everything of a file but how its video is coded: frames, times, streams, tags, chapters."""
    found: dict[str, Any] = {}
    with av.open(str(path)) as container:
        found["file"] = dict(container.metadata), container.duration, container.chapters()
        for stream in container.streams:
            rate = (
                (stream.average_rate, stream.codec_context.sample_aspect_ratio)
                if isinstance(stream, av.VideoStream)
                else None
            )
            found[f"stream {stream.index}"] = (
                stream.type,
                stream.codec_context and stream.codec_context.name,
                stream.codec_context and stream.codec_context.extradata,
                (stream.duration, stream.time_base, stream.start_time, stream.frames),
                rate,
                dict(stream.metadata),
                int(stream.disposition),
            )
        frames = [*container.decode(video=0)]
        found["frames"] = [(frame.pts, frame.rotation, _digest(frame)) for frame in frames]
    with av.open(str(path)) as container:
        others = [stream for stream in container.streams if stream.type != "video"]
        found["packets"] = (
            sorted(
                (packet.stream_index, packet.pts, packet.dts, packet.duration, bytes(packet))
                for packet in container.demux(*others)
                if packet.size
            )
            if others
            else []
        )
    return found


def _digest(frame: av.VideoFrame) -> str:
    return hashlib.md5(frame.to_ndarray().tobytes()).hexdigest()


if __name__ == "__main__":
    main()
