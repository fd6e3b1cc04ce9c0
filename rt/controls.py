"""What a viewer may change while frames flow.

One object is shared by those that set it (a window, a page) and those that read it once a frame (translator,
sinks). Any thread may read and write it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

STRENGTH_STEP = 0.1
MIX_STEP = 0.1
_MOST_NOTES = 100
"""Lines that are kept where nobody takes them."""


class Controls:
    """The knobs of one run."""

    def __init__(
        self,
        styles: Sequence[str] = (),
        style: str = "",
        strength: float = 1.0,
        steady: float = 0.0,
        compare: bool = False,
        mix: float = 0.5,
        fade_s: float = 0.0,
    ) -> None:
        """`styles` are what can be switched to, by number; `style` is the one at the start."""
        for name, share in (("strength", strength), ("steady", steady), ("mix", mix)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}, not within 0..1")
        self.styles = tuple(styles)
        """Names or folders; the first nine have a key each."""
        self.style = style
        """The style wanted; the one that runs may be the one before for as long as this one is loaded."""
        self.strength = strength
        """How much of the residual is applied to the frame, in [0, 1]."""
        self.steady = steady
        """How much the residual is smoothed in time, in [0, 1]; 0 is off."""
        self.compare = compare
        """Whether frames are shown as before|after."""
        self.mix = mix
        """Of two mixed styles, how much of the second one is shown, in [0, 1]."""
        self.fade_s = fade_s
        """Seconds over which one style turns into another where they are switched."""
        self.recording = False
        """Whether what is shown is also written to a file."""
        self._lock = threading.Lock()
        self._notes: list[str] = []

    def select(self, number: int) -> None:
        """Ask for the style with this number, from 1; where there is none, that is said."""
        if 1 <= number <= len(self.styles):
            self.style = self.styles[number - 1]
        else:
            self.note(f"there is no style {number}: {len(self.styles)} can be chosen")

    def change_strength(self, steps: int) -> None:
        """Make the effect stronger or, with negative steps, weaker, within 0 and 1."""
        self.strength = min(1.0, max(0.0, round(self.strength + steps * STRENGTH_STEP, 3)))

    def change_mix(self, steps: int) -> None:
        """Show more of the second of two mixed styles or, with negative steps, of the first."""
        self.mix = min(1.0, max(0.0, round(self.mix + steps * MIX_STEP, 3)))

    def toggle_compare(self) -> None:
        """Show before and after, or after alone."""
        self.compare = not self.compare

    def toggle_recording(self) -> None:
        """Begin or end a recording."""
        self.recording = not self.recording

    def press(self, key: str) -> bool:
        """Do what a key of the window changes here; return whether it is one."""
        if len(key) == 1 and key in "123456789":
            self.select(int(key))
        elif key and key in "+=":
            self.change_strength(1)
        elif key and key in "-_":
            self.change_strength(-1)
        elif key in ("[", "]"):
            self.change_mix(1 if key == "]" else -1)
        elif key == " ":
            self.toggle_compare()
        else:
            return False
        return True

    def note(self, text: str) -> None:
        """Leave a line for the viewer: `recording to ...`, `style monet cannot be loaded: ...`."""
        with self._lock:
            self._notes = [*self._notes[1 - _MOST_NOTES :], text]

    def take_notes(self) -> list[str]:
        """Return the lines left since the last call."""
        with self._lock:
            notes, self._notes = self._notes, []
            return notes
