"""Long videos in chunks: cut, translated, joined exactly."""

from __future__ import annotations

import json
import shutil
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from rt.batch.plan import Item
from rt.errors import SourceError, VideobrushError
from rt.frame import Frame
from rt.job import Ends, Load, run_job, sink_options, source_options
from rt.media import packet_time
from rt.pipeline import Stop
from rt.replacing import replacing
from rt.sinks.base import Sink, rate_of
from rt.sinks.compared import Compared
from rt.sinks.encoder import choose_encoder
from rt.sinks.joined import JoinedSink
from rt.sinks.parts import DamagedPart, PartFacts, PartSink
from rt.sources.file import FileSource
from rt.sources.span import SideReader, Span, SpanSource, digests, find_keyframes

Packet = Any
"""Of PyAV."""
CUT_FROM = 1.5
"""A file is cut from so many chunks' length on, and the last chunk is no shorter than half of one."""
ENCODER_THREADS = 4
"""Of every chunk, on whatever machine: x264's bytes are others with more or fewer."""
_WARM_UP = ((0.0, 0), (0.7, 48), (1.0, 96))
"""`--steady` up to so much needs so many frames before a chunk, until it forgot where it began."""
_COMPARED = 8
"""So many steadied frames must be equal on both sides of a cut."""
_CUTS = "cuts.json"


@dataclass(frozen=True)
class Cuts:
    """Where a file is cut, and what must be the same for all of its chunks."""

    begins: tuple[int, ...] = ()
    """pts of the first frame of each chunk but the first one."""
    warms: tuple[int | None, ...] = ()
    """For each of those, from where frames are translated before it; None: not at all."""
    counts: tuple[int, ...] = ()
    """Frames of each chunk."""
    encoder: str = ""
    whole: str = ""
    """Why the file is translated whole after all."""


class NotCuttable(Exception):
    """A chunk shows that its file has to be translated whole: why."""


class BackendDiffers(VideobrushError):
    """This machine translates with something else than those that made the other parts."""


@dataclass(frozen=True)
class Chunk:
    """One span of an item, which becomes one part."""

    item: Item
    number: int
    cuts: Cuts

    @property
    def span(self) -> Span:
        """What of the file it is."""
        begins, warms = (None, *self.cuts.begins), (None, *self.cuts.warms)
        end = begins[self.number + 1] if self.number + 1 < len(begins) else None
        return Span(begins[self.number], end, warms[self.number])

    @property
    def frames(self) -> int:
        """How many it should have."""
        return self.cuts.counts[self.number]


@dataclass(frozen=True)
class Join:
    """The parts of an item, all of them whole, which become its output."""

    item: Item
    cuts: Cuts


@dataclass(frozen=True)
class Part:
    """What is known of a whole part."""

    facts: PartFacts
    opening: tuple[str, ...]
    """Digests of its first source frames."""
    beyond: tuple[str, ...]
    """Digests of the first source frames behind it: those its neighbour opens with."""
    closing: tuple[str, ...]
    """Digests of its last frames, steadied; none without `--steady`."""
    warmed: tuple[str, ...]
    """Digests of the frames before it, steadied."""
    backend: str
    """What translated it."""
    seconds: float
    warnings: tuple[str, ...]


class Parts:
    """The folder of an item's chunks: `cuts.json`, and for each part its packets and, last, its note."""

    def __init__(self, item: Item) -> None:
        """Take the folder; it need not exist."""
        self.folder = item.parts

    def cuts(self) -> Cuts | None:
        """Return where the file is cut; None where that is not known yet."""
        try:
            said = json.loads((self.folder / _CUTS).read_text(encoding="utf-8"))
            lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
            return Cuts(**{**said, **lists})
        except (OSError, ValueError, TypeError):
            return None

    def write_cuts(self, cuts: Cuts) -> None:
        """Note where the file is cut."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / _CUTS) as part:
            part.write_text(json.dumps(asdict(cuts)), encoding="utf-8")

    def packets(self, number: int) -> Path:
        """Return the file of a part's packets."""
        return self.folder / f"{number:04}.packets"

    def read(self, number: int) -> Part | None:
        """Return what is known of a part; None where it is not whole."""
        try:
            said = json.loads((self.folder / f"{number:04}.json").read_text(encoding="utf-8"))
            lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
            part = Part(**{**said, **lists, "facts": PartFacts(**said["facts"])})
            return part if self.packets(number).stat().st_size == part.facts.bytes else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def checked(self, number: int, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yield the packets of a part; forget the part where it is damaged.

        Raises:
            DamagedPart: it is.
        """
        try:
            yield from packets
        except DamagedPart:
            (self.folder / f"{number:04}.json").unlink(missing_ok=True)
            raise

    def missing(self, cuts: Cuts) -> list[int]:
        """Return the numbers of the parts that are not whole."""
        return [number for number in range(len(cuts.counts)) if self.read(number) is None]

    def publish(self, number: int, written: Path, part: Part) -> None:
        """Give a written part its name, and then its note: of two attempts the last one wins."""
        written.replace(self.packets(number))
        note = written.with_suffix(".note")
        note.write_text(json.dumps(asdict(part)), encoding="utf-8")
        note.replace(self.folder / f"{number:04}.json")

    def remove(self) -> None:
        """Remove the folder; works where it is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)


def find_cuts(item: Item) -> Cuts | None:
    """Return where a file is cut: at keyframes, by its own times alone; None where it stays whole.

    Raises:
        SourceError: it cannot be read.
    """
    asked = item.asked()
    if item.image or item.chunk_s is None or asked.loop or asked.start or asked.duration is not None:
        return None
    if item.output.suffix.lower() == ".gif" or item.source.suffix.lower() in (".gif", ".webp"):
        return None
    chunk_s = Fraction(item.chunk_s).limit_denominator(1000)
    source = FileSource(item.source, options=source_options(asked), again=True)
    try:
        info, rate = source.info, rate_of(source.info, None)
        length = None if info.frame_count is None else info.frame_count / rate
        if source.deinterlaces or (length is not None and length < CUT_FROM * chunk_s):
            return None
        unit, size = info.video.time_base, (info.height, info.width)
    finally:
        source.close()
    found = find_keyframes(item.source)
    if found is None:
        return None
    begins = _cut(found.pts, found.keys, round(chunk_s / unit))
    if not begins:
        return None
    places = [0, *(bisect_left(found.pts, begin) for begin in begins), len(found.pts)]
    frames = next(frames for most, frames in _WARM_UP if asked.steadiness <= most)
    warms = tuple(found.pts[max(0, place - frames)] if frames else None for place in places[1:-1])
    counts = tuple(end - begin for begin, end in pairwise(places))
    size = (size[0], 2 * size[1]) if asked.compare else size
    encoder = choose_encoder(replace(sink_options(asked), threads=ENCODER_THREADS), size, rate).word
    return Cuts(begins, warms, counts, encoder)


def _cut(pts: Sequence[int], keys: Sequence[int], ticks: int) -> tuple[int, ...]:
    """Return the keyframes at which chunks begin, `ticks` or a little more apart."""
    begins: list[int] = []
    last, end = pts[0], pts[-1]
    for key in keys:
        if key - last >= ticks and end - key >= ticks / 2:
            begins.append(key)
            last = key
    return tuple(begins)


def translate_chunk(
    chunk: Chunk,
    attempt: str,
    load: Load,
    on_progress: Callable[[int, int | None], object],
    check: Callable[[], object],
    warnings: Sequence[str],
) -> int:
    """Translate a chunk into its part; return its frames. `check` is called for each and may raise.

    Raises:
        NotCuttable: the file has to be translated whole.
        VideobrushError: it cannot be translated.
    """
    started, parts, item = time.monotonic(), Parts(chunk.item), chunk.item
    asked = replace(item.asked(), encoder=chunk.cuts.encoder)
    written = parts.folder / f"{chunk.number:04}-{attempt}.part"
    try:
        source = SpanSource(item.source, chunk.span, source_options(asked), again=chunk.number > 0)
    except SourceError as error:
        raise NotCuttable(str(error)) from None
    images: dict[bool, deque[Any]] = {True: deque(maxlen=_COMPARED), False: deque(maxlen=_COMPARED)}
    used = _Used(load)
    sinks: list[PartSink] = []

    def open_sink() -> Sink:
        size = source.info.height, source.info.width
        sinks.append(
            PartSink(
                written,
                item.output,
                source.info,
                replace(sink_options(asked), threads=ENCODER_THREADS),
                (size[0], 2 * size[1]) if asked.compare else size,
            )
        )
        return _WithoutWarmUp(Compared(sinks[0]) if asked.compare else sinks[0], source)

    def watch(frame: Frame) -> None:
        check()
        if asked.steadiness:
            images[source.is_warm_up(frame)].append(frame.image)

    def report(frames: int, _: int | None) -> None:
        on_progress(min(frames, chunk.frames), chunk.frames)

    try:
        run_job(asked, Stop(), watch, report, used.load, Ends(source, open_sink))
    except SourceError as error:
        written.unlink(missing_ok=True)
        raise NotCuttable(str(error)) from None
    facts = sinks[0].facts
    assert facts is not None
    part = Part(
        facts,
        tuple(source.opening),
        tuple(source.beyond),
        tuple(digests([*images[False]])),
        tuple(digests([*images[True]])),
        used.backend,
        round(time.monotonic() - started, 3),
        tuple(warnings),
    )
    parts.publish(chunk.number, written, part)
    return facts.frames


class _Used:
    """Loads networks, and remembers what they run on."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.backend = ""

    def load(self, *arguments: Any) -> Any:
        backend = self._load(*arguments)
        self.backend = f"{backend.info.name} {backend.info.precision}"
        return backend


class _WithoutWarmUp:
    """Leaves out the frames that are translated for those behind them alone."""

    def __init__(self, sink: Sink, source: SpanSource) -> None:
        self._sink, self._source = sink, source

    def write(self, frame: Frame) -> None:
        if not self._source.is_warm_up(frame):
            self._sink.write(frame)

    def close(self) -> None:
        self._sink.close()

    def abort(self) -> None:
        self._sink.abort()


def join_parts(join: Join, output: Path, check: Callable[[], object]) -> Sequence[Part]:
    """Write the output of an item from its parts, and return those. `check` is called often and may raise.

    Raises:
        NotCuttable: the parts do not fit together; the file has to be translated whole.
        VideobrushError: the output cannot be written.
    """
    item, folder = join.item, Parts(join.item)
    found = [folder.read(number) for number in range(len(join.cuts.counts))]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found):
        raise VideobrushError(f"parts of {item.source} are missing; the same command makes them again")
    _compare(parts)
    asked = replace(item.asked(), encoder=join.cuts.encoder, overwrite=True)
    reader = SideReader(item.source, options=source_options(asked), again=True)
    try:
        info = reader.info
        size = (info.height, 2 * info.width if asked.compare else info.width)
        sink = JoinedSink(output, info, replace(sink_options(asked), threads=ENCODER_THREADS), size)
        try:
            _write(sink, reader, folder, parts, check)
        except DamagedPart as error:
            sink.abort()
            raise VideobrushError(f"{error}; the same command makes it again") from None
        except BaseException:
            sink.abort()
            raise
    finally:
        reader.close()
    return parts


def _write(
    sink: JoinedSink, reader: SideReader, folder: Parts, parts: Sequence[Part], check: Callable[[], object]
) -> None:
    times = reader.read()
    read_s: Fraction | None = Fraction(-1)
    for number, part in enumerate(parts):
        sink.note(part.facts)
        for packet in folder.checked(number, sink.packets(folder.packets(number), part.facts)):
            check()
            time_s = packet_time(packet)
            while read_s is not None and time_s is not None and read_s + sink.shift_s <= time_s:
                read_s = next(times, None)
            sink.put(packet)
    for _ in times:
        check()
    sink.close()


def _compare(parts: Sequence[Part]) -> None:
    """Compare what neighbours found on both sides of their cut.

    Raises:
        NotCuttable: that is not the same.
        BackendDiffers: they were not made by the same backend.
    """
    used = sorted({part.backend for part in parts})
    if len(used) > 1:
        raise BackendDiffers(
            f"its parts were made with {' and '.join(used)}; name one with --backend and --precision"
        )
    for number, (one, two) in enumerate(pairwise(parts)):
        pairs = [*zip(one.beyond, two.opening, strict=False)]
        if not pairs or any(left != right for left, right in pairs):
            raise NotCuttable(f"the frames behind cut {number + 1} are others when they are read from there")
        steadied = zip(reversed(one.closing), reversed(two.warmed), strict=False)
        if any(left != right for left, right in steadied):
            raise NotCuttable(f"temporal smoothing has not settled at cut {number + 1}")
