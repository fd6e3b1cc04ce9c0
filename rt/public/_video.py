"""Videos: a whole one through a style, or frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from ._errors import SinkError
from ._load import _check
from ._runtime import runtime

if TYPE_CHECKING:  # importing videobrush loads nothing heavy
    import numpy as np
    import numpy.typing as npt

Codec = Literal["h264", "hevc", "av1"]
Audio = Literal["copy", "aac", "none"]
OtherVideos = Literal["drop", "keep"]
Interlaced = Literal["deinterlace", "keep"]


@dataclass(frozen=True)
class Result:
    """What a run did."""

    frames: int
    """Frames written."""
    seconds: float
    """Time it took, loading left out."""
    dropped: int
    """Frames of a live source that were not translated."""

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds if self.seconds else 0.0


def run(
    input: str | Path,
    output: str | Path | Sequence[str | Path],
    style: str | Path,
    *,
    on_progress: Callable[[int, int | None], object] | None = None,
    backend: Literal["auto", "openvino", "onnxruntime", "tensorrt", "identity"] = "auto",
    precision: Literal["auto", "fp32", "fp16", "int8", "bf16", "int8+bf16"] = "auto",
    size: int | None = None,
    strength: float = 1.0,
    steady: float = 0.0,
    detail: Literal["auto", "keep", "network"] = "auto",
    view: Literal["auto", "image", "gray", "edges"] = "auto",
    compare: bool = False,
    fps: float | None = None,
    width: int | None = None,
    height: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    keep_clock: bool = False,
    interlaced: Interlaced = "deinterlace",
    fields: bool = False,
    codec: Codec = "h264",
    encoder: str = "auto",
    crf: int | None = None,
    preset: str | None = None,
    audio: Audio = "copy",
    other_videos: OtherVideos = "drop",
    overwrite: bool = False,
) -> Result:
    """Translate a video, images, a camera or a stream to its end, as the command `videobrush run` does.

    Audio, subtitles, metadata and exact times of a file are kept. Ctrl-C, or an exception of `on_progress`,
    ends it: unfinished files are removed.

    Args:
        input: what `videobrush run` takes: a video file, an image, a folder, `0` for a camera, `rtsp://...`.
        output: a video file, a folder of images (`frames/`), a stream; or several of them.
        style: name or folder of a style.
        on_progress: is called after each frame with the frames written and their expected number, None where
            it is unknown.
        size, strength, steady, detail: as `load` takes them.
        view: what of a frame the network looks at; "auto" for what the style was trained on.
        compare: before and after side by side.
        fps, width, height: what is asked of a camera or a screen; `fps` also of images without times.
        start, duration: seconds to leave out at the beginning, seconds to translate.
        keep_clock: keep the times of a file whose clock does not begin at zero.
        interlaced, fields: "keep" leaves interlaced frames as they are; with `fields` both of their fields
            become frames.
        codec, encoder, crf, preset: how video is encoded, as the options of the command.
        audio: "copy" as it is (AAC where the output cannot hold it), "aac" always encoded, "none" left out.
        other_videos: whether further videos of the input are kept beside the translated one.
        overwrite: replace outputs that exist.

    Raises:
        ValueError: an argument is out of range.
        SourceError, StyleError, SinkError, BackendError: something cannot be opened, or failed on the way.
    """
    outputs = [output] if isinstance(output, (str, Path)) else list(output)
    if not outputs:
        raise ValueError("output is empty: one file, folder or stream is needed")
    asked = runtime("commands").Run(
        str(input),
        str(style),
        tuple(str(entry) for entry in outputs),
        backend=backend,
        precision=precision,
        size=size,
        strength=strength,
        steady=steady or "off",
        detail=detail,
        view=view,
        compare=compare,
        fps=fps,
        width=width,
        height=height,
        start=start,
        duration=duration,
        keep_clock=keep_clock,
        interlaced=interlaced,
        fields=fields,
        codec=codec,
        encoder=encoder,
        crf=crf,
        preset=preset,
        audio=audio,
        other_videos=other_videos,
        overwrite=overwrite,
    )
    if fault := asked.fault():
        raise ValueError(fault)
    report = on_progress or (lambda frames, total: None)
    stats = runtime("job").run_job(asked, runtime("pipeline").Stop(), on_progress=report)
    return Result(stats.frames, stats.seconds, stats.dropped)


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a video."""

    rgb: npt.NDArray[np.uint8]
    """uint8[H, W, 3] RGB, upright; not to be written to."""
    time_s: float
    """Presentation time in seconds."""
    index: int
    """Number of this frame, from 0."""
    _exact: Any = field(repr=False, default=None)
    """The runtime's frame, with its exact time."""


def frames(
    input: str | Path,
    *,
    fps: float | None = None,
    width: int | None = None,
    height: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    keep_clock: bool = False,
    interlaced: Interlaced = "deinterlace",
    fields: bool = False,
) -> Frames:
    """Open a video, images, a camera or a stream to read it frame by frame.

    Args:
        input: what `videobrush run` takes.
        fps: frames per second of a camera, or of images without times.
        width, height: what is asked of a camera or a screen.
        start, duration: seconds to leave out at the beginning, seconds to read.
        keep_clock: keep the times of a file whose clock does not begin at zero.
        interlaced, fields: "keep" leaves interlaced frames as they are; with `fields` both of their fields
            become frames.

    Raises:
        ValueError: fps, width, height, start or duration is out of range.
        SourceError: it cannot be opened, or cannot do what is asked.
    """
    if not 0 <= start < math.inf:
        raise ValueError(f"start is {start}, not 0 or more")
    for name, value in (("duration", duration), ("width", width), ("height", height)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}, not above 0")
    if fields and interlaced == "keep":
        raise ValueError("fields and interlaced keep exclude each other: what is kept is not split")
    options = runtime("sources").SourceOptions(
        fps=_rate(fps),
        height=height,
        width=width,
        start_s=start,
        duration_s=duration,
        keep_clock=keep_clock,
        interlaced=interlaced,
        fields=fields,
    )
    return Frames(str(input), options)


class Frames:
    """The frames of a video, iterated once; see `frames`. Use it in `with`, or close it."""

    def __init__(self, input: str, options: Any) -> None:
        self._source = runtime("sources").open_source(input, options)
        info = self._source.info
        self.height: int = info.height
        """Height in pixels of the frames."""
        self.width: int = info.width
        """Width in pixels of the frames."""
        self.fps: float | None = None if info.frame_rate is None else float(info.frame_rate)
        """Mean frames per second, where the source states it."""
        self.count: int | None = info.frame_count
        """Expected number of frames, where known; an estimate."""
        self._info = info

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order.

        Raises:
            SourceError: it cannot be read, or is damaged; what could be read was yielded before.
        """
        for frame in self._source:
            yield Frame(frame.rgb, frame.time_s, frame.index, frame)

    def close(self) -> None:
        """Release the source. Works twice, and from any thread: an iteration that waits ends."""
        self._source.close()

    def __enter__(self) -> Frames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def writer(
    output: str | Path,
    like: Frames | None = None,
    *,
    fps: float | None = None,
    codec: Codec = "h264",
    encoder: str = "auto",
    crf: int | None = None,
    preset: str | None = None,
    audio: Audio = "copy",
    other_videos: OtherVideos = "drop",
    overwrite: bool = False,
) -> Writer:
    """Open a video file, a folder of images or a stream to write frame by frame.

    Args:
        output: what `videobrush run` takes.
        like: the video the frames come from: its audio, subtitles, metadata and colour are kept.
        fps: frames per second of images written without their frame; None for that of `like`, else 30.
        codec, encoder, crf, preset: how video is encoded, as the options of the command.
        audio: "copy" that of `like` (AAC where the output cannot hold it), "aac" always encoded, or "none".
        other_videos: whether further videos of `like` are kept beside what is written.
        overwrite: replace what exists.

    Raises:
        ValueError: fps is not above 0.
    """
    options = runtime("sinks").SinkOptions(
        overwrite=overwrite,
        codec=codec,
        encoder=encoder,
        crf=crf,
        preset=preset,
        audio=audio,
        other_videos=other_videos,
    )
    return Writer(str(output), like, fps, options)


class Writer:
    """Takes images one by one; see `writer`. Use it in `with`: an error leaves no file behind.

    The output is opened by the first image, whose size it has.
    """

    def __init__(self, output: str, like: Frames | None, fps: float | None, options: Any) -> None:
        self._output, self._options = output, options
        self._like = None if like is None else like._info
        default = runtime("frame").DEFAULT_RATE
        self._rate: Fraction = _rate(fps) or (self._like and self._like.frame_rate) or default
        self._sink: Any = None
        self._size: tuple[int, int] | None = None
        self._written = 0
        self._closed = False

    def write(self, rgb: npt.NDArray[np.uint8], frame: Frame | None = None) -> None:
        """Write one image `uint8[H, W, 3]` RGB, all of one size; it is neither kept nor changed.

        `frame` is the one of `frames` that it was made of: its exact time is kept. Without, the image follows
        the last one at the frame rate.

        Raises:
            ValueError: it is no `uint8[H, W, 3]`, or of another size than the first one.
            SinkError: the output cannot be opened (it exists, its suffix is unknown, ...) or written.
        """
        import numpy as np

        _check(rgb)
        if self._closed:
            raise SinkError(f"{self._output} is closed and cannot take an image")
        size = rgb.shape[0], rgb.shape[1]
        if self._sink is None:
            self._size = size
            self._sink = runtime("sinks").open_sink(
                self._output, self._like, self._options, size=size, frame_rate=self._rate
            )
        if size != self._size:
            raise ValueError(f"an image of {size} (height, width) was given, the first one had {self._size}")
        exact = None if frame is None else frame._exact
        pts, unit = (self._written, 1 / self._rate) if exact is None else (exact.pts, exact.time_base)
        copied = np.array(rgb, order="C")
        self._sink.write(runtime("frame").Frame(copied, pts, unit, self._written))
        self._written += 1

    def close(self) -> None:
        """Finish the output; nothing is left where no image was written. Works twice.

        Raises:
            SinkError: it cannot be finished.
        """
        self._closed = True
        if self._sink is not None:
            self._sink.close()

    def abort(self) -> None:
        """End without a result: no file is left behind. Works twice."""
        self._closed = True
        if self._sink is not None:
            self._sink.abort()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _rate(fps: float | None) -> Fraction | None:
    """Return frames per second as a fraction that clocks can hold."""
    if fps is None:
        return None
    if not 0 < fps < math.inf:
        raise ValueError(f"fps is {fps}, not above 0")
    return Fraction(fps).limit_denominator(1001)
