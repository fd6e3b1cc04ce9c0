"""What every source is: an iterable of frames, with options."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

from rt.errors import SourceError

if TYPE_CHECKING:  # the table of kinds feeds the help, which loads no NumPy
    from rt.frame import Frame, SourceInfo

NUMBER = re.compile(r"%(0(\d+))?d")
"""The place of the number in the names of numbered images."""
_FLAGS = {"start_s": "--start", "duration_s": "--duration"}
"""Options whose flag is not their own name."""


@dataclass(frozen=True)
class SourceOptions:
    """What the user asks of a source. What a source cannot do is refused by name, never ignored."""

    fps: Fraction | None = None
    """Frames per second: asked of a camera or a drawn pattern, given to images without times."""
    height: int | None = None
    """Height in pixels asked of a camera, a pattern or a screen."""
    width: int | None = None
    """Width in pixels asked of a camera, a pattern or a screen."""
    loop: bool = False
    """Begin again at the end of a recorded source, for ever; times go on."""
    start_s: float = 0.0
    """Seconds to leave out at the beginning of a recorded source; times are counted from there."""
    duration_s: float | None = None
    """Seconds after which the source ends."""
    keep_names: bool = False
    """Images that are no numbered sequence keep their names and sizes; other sources have none."""
    keep_clock: bool = False
    """Keep the times of a file whose clock does not begin at zero."""
    interlaced: Literal["deinterlace", "keep"] = "deinterlace"
    """What becomes of interlaced frames."""
    fields: bool = False
    """Give both fields of an interlaced frame as frames of their own."""
    microphone: str | None = None
    """Name of a microphone that is heard beside a camera, a screen or a pattern."""

    @property
    def on_interlaced(self) -> str:
        """What is said of a source that is interlaced."""
        if self.interlaced == "keep":
            return "interlaced frames are kept as they are: combed where something moves"
        made = "both fields become frames" if self.fields else "one frame each (both fields: --fields)"
        return f"interlaced; deinterlaced, {made}; --interlaced keep leaves them as they are"


DEFAULTS = SourceOptions()
"""Nothing asked for."""


class Source(Protocol):
    """An iterable of frames, iterated once.

    Iteration ends at the end of the stream and raises `SourceError` on failure; `DamagedSource` where
    every readable frame was delivered but the stream is not whole.
    """

    @property
    def live(self) -> bool:
        """True where frames that are not fetched in time are lost (a camera); False for files."""
        ...

    @property
    def dropped(self) -> int:
        """Frames lost so far because they were not fetched in time; 0 for files."""
        ...

    @property
    def info(self) -> SourceInfo:
        """What is known of the stream."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order."""
        ...

    def close(self) -> None:
        """Release everything. Works twice, and from any thread: a blocked reader wakes and ends."""
        ...


def refuse_options(options: SourceOptions, address: str, what: str, can: Collection[str]) -> None:
    """Refuse by name what is asked of a source that it cannot do; `can` are names of fields.

    Raises:
        SourceError: one of the other options is set.
    """
    for field in dataclasses.fields(options):
        if field.name not in (*can, "keep_names") and getattr(options, field.name) != field.default:
            flag = _FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
            raise SourceError(f"cannot use {flag} with {address}: it is {what}; leave {flag} out")


def frames_before(time_s: float, fps: Fraction) -> int:
    """Return how many frames at `fps`, the first at 0, begin before a time."""
    return -int(-exact_s(time_s) * fps // 1)


def exact_s(time_s: float) -> Fraction:
    """Return a typed time as what was meant, to the microsecond: 0.4 is 2/5."""
    return Fraction(round(time_s * 1_000_000), 1_000_000)


def check_values(options: SourceOptions) -> None:
    """Refuse values that make no sense of any source.

    Raises:
        SourceError: one is zero or negative.
    """
    for name in ("fps", "height", "width", "duration_s"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise SourceError(f"cannot use {_FLAGS.get(name, f'--{name}')} {value}: more than 0 is needed")
    if options.start_s < 0:
        raise SourceError(f"cannot use --start {options.start_s:g}: 0 or more is needed")
