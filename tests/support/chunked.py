"""Batches worked on in this process, and videos compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av

from rt.batch.plan import make_plan
from rt.batch.tasks import Tasks
from rt.batch.work import Fact, Task, work
from rt.commands import Batch
from rt.job import run_job
from rt.pipeline import Stop


def translate(asked: Batch, perform: Callable[[Task], Fact] = work) -> tuple[list[Fact], list[Task]]:
    """Work on all of a batch, one task after the other; return how its items ended, and the tasks."""
    tasks, worked, facts = Tasks(make_plan(asked).items), list[Task](), list[Fact]()
    while (task := tasks.take()) is not None:
        worked.append(task)
        if (ended := tasks.ended(task, perform(task))) is not None:
            facts.append(ended)
    return facts, worked


def run_alone(asked: Batch, output: Path) -> None:
    """Translate the only input of a batch as `videobrush run` does."""
    (item,) = make_plan(asked).items
    run_job(replace(item.asked(), output=(str(output),), overwrite=True), Stop())


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
