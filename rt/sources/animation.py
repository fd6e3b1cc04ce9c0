"""Animated images (GIF, WebP, PNG, AVIF) as video: every frame with its time."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from rt.errors import DamagedSource, SourceError
from rt.frame import Frame, SourceInfo
from rt.image import StillImage, count_frames, open_image, quiet, read_content, still_from
from rt.sources.base import SourceOptions, exact_s, refuse_options

_UNIT = Fraction(1, 1000)
_SHOWN_MS, _AT_LEAST_MS = 100, 10
"""A frame that says 10 ms or less is shown for 100, as browsers do."""
_LOOKED_AT = 8
"""So many frames tell the frame rate, which the files do not state."""


class AnimationSource:
    """An animated image, read from its first frame to its last, transparent places on white.

    Raises:
        SourceError: it cannot be read, or ends before `--start`.
    """

    live = False
    dropped = 0

    def __init__(self, address: str, options: SourceOptions) -> None:
        refuse_options(options, address, "an animated image", ("loop", "start_s", "duration_s"))
        self._address = address
        self._loop = options.loop
        self._start_s = exact_s(options.start_s)
        self._duration_s = None if options.duration_s is None else exact_s(options.duration_s)
        self._started = self._closed = False
        self._fault: SourceError | None = None
        try:
            self._content = read_content(Path(address))
            first = list(itertools.islice(self._round(), _LOOKED_AT))
        except SourceError as error:
            raise SourceError(f"cannot read {address}: {error}") from None
        if not first:
            raise SourceError(f"cannot read {address}: {self._fault}")
        self._fault = None
        with quiet():
            count = count_frames(open_image(self._content, whole=False))
        height, width = first[0][2].size
        rate = Fraction(1000) / statistics.median_low([shown_ms for _, shown_ms, _ in first])
        self._frame_count = count
        whole = self._start_s == 0 and self._duration_s is None and not self._loop
        self.info = SourceInfo(address, height, width, rate, count if whole else None)
        self._frames_of_run = self._frames()
        self._next = next(self._frames_of_run, None)
        if self._next is None:
            raise SourceError(
                f"cannot read {address}: it ends before {options.start_s:g} s; type a smaller --start"
            )

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order, all of the first one's size.

        Raises:
            DamagedSource: behind the last frame, where a later one cannot be read.
            RuntimeError: the source was iterated before.
        """
        if self._started:
            raise RuntimeError("an AnimationSource is iterated once")
        self._started = True
        return self._from_first()

    def close(self) -> None:
        """End the iteration. Works twice."""
        self._closed = True

    def _from_first(self) -> Iterator[Frame]:
        frame, self._next = self._next, None
        while frame is not None and not self._closed:
            yield frame
            frame = next(self._frames_of_run, None)

    def _frames(self) -> Iterator[Frame]:
        """Yield the frames of the run, round after round where it loops."""
        index, began_s = 0, Fraction(0)
        while True:
            ends_s = Fraction(0)
            for at_ms, shown_ms, still in self._round():
                ends_s = (at_ms + shown_ms) * _UNIT - self._start_s
                pts = round((at_ms * _UNIT - self._start_s + began_s) / _UNIT)
                if at_ms * _UNIT < self._start_s:
                    continue
                if self._duration_s is not None and pts * _UNIT >= self._duration_s:
                    return
                yield Frame(still, pts, _UNIT, index)
                index += 1
            if self._fault is not None and index:
                raise DamagedSource(
                    f"{self._address}: frame {index + 1} of {self._frame_count} cannot be read: {self._fault}"
                )
            if not self._loop or not index:
                return
            began_s += ends_s

    def _round(self) -> Iterator[tuple[Fraction, Fraction, StillImage]]:
        """Yield when each frame begins, for how long it is shown (both in ms), and its image."""
        at_ms = Fraction(0)
        image = open_image(self._content, whole=False)
        with quiet():
            count = count_frames(image)
        first = 1 if image.info.get("default_image") else 0  # what is shown where nothing moves
        for number in range(first, count):
            try:
                with quiet():
                    image.seek(number)
                still = still_from(image)
            except (EOFError, OSError, SyntaxError, ValueError, SourceError) as error:
                self._fault = error if isinstance(error, SourceError) else SourceError(str(error))
                return
            shown_ms = Fraction(image.info.get("duration") or 0).limit_denominator(1000)
            if shown_ms <= _AT_LEAST_MS:
                shown_ms = Fraction(_SHOWN_MS)
            yield at_ms, shown_ms, still
            at_ms += shown_ms
