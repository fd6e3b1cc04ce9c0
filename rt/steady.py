"""Hold what the network made steady in time.

A network that sees one frame at a time decides anew in every frame, and its image flickers where the scene
does not. What flickers is averaged over time along the motion of the input. Applied to the frame it is the
residual alone: the input itself is never averaged and keeps its own motion. Shown instead of the frame it is
the whole image: the residual of what is painted or drawn also takes the input's noise away, each frame's own,
and the mean of several changes would put it back.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rt.card import Detail
from rt.frame import Rgb

_HOLD = 0.75
"""Share of the residual or image before that is held, where the motion is followed well."""
_CALM, _SPAN = 0.02 * 255, 0.05 * 255
"""Levels by which the followed image may be wrong before the share falls, and over which it falls to 0."""
_FLICKER: dict[Detail, tuple[float, float]] = {"keep": (12, 16), "network": (4, 6)}
"""Levels by which what is held may differ from the one before and count as flicker, and over which the share
falls to 0: what is really another, as behind an object that is gone, would show as its ghost. Whole images
differ by all that is seen, and are trusted less."""
_CUT = 0.15 * 255
"""Mean difference of two frames, in levels, above which another scene begins."""
_LOST = 0.5
"""Part of the image that must be followed, or else another scene begins."""
_BLUR_PX = 5
_MEAN = np.full((1, 3), 1 / 3)
"""Of the three colours, for `cv2.transform`: many times as quick as NumPy's mean along so short an axis."""
_FLOW_MINIMUM_PX = 12
"""The shorter side of the smallest image in which OpenCV can search for motion."""

_Gray = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]


class Steady:
    """Steadies the images of one stream, at the network's size.

    Example:
        steady = Steady(0.7)
        small_out = steady.steady(small_in, small_out, "keep")
    """

    def __init__(self, amount: float) -> None:
        """`amount` in [0, 1] is how much: 0 is off and costs nothing, 1 holds most."""
        self.amount = amount
        self._scene: _Scene | None = None

    @property
    def amount(self) -> float:
        """How much is held, in [0, 1]; a new value takes effect with the next image."""
        return self._amount

    @amount.setter
    def amount(self, amount: float) -> None:
        if not 0 <= amount <= 1:
            raise ValueError(f"steady is {amount}, not within 0..1")
        self._amount = amount

    def reset(self) -> None:
        """Forget the images before: the next one stands for itself."""
        self._scene = None

    def steady(self, small_in: Rgb, small_out: Rgb, detail: Detail = "keep") -> Rgb:
        """Return the network's image `small_out` of `small_in`, steadied; uint8[h, w, 3] RGB all three.

        The images of a stream are given in order. The first one, the first of another scene, of another
        size and of another `detail` (see `rt.fit.apply_residual`; `network` holds the whole image) come back
        as they are. Neither image is kept or changed; the result may be `small_out` itself.
        """
        amount = self._amount  # another thread may turn it meanwhile
        if amount == 0:
            self.reset()
            return small_out
        gray = np.asarray(cv2.cvtColor(small_in, cv2.COLOR_RGB2GRAY), np.uint8)
        below = small_in if detail == "keep" else np.zeros_like(small_in)
        delta = np.asarray(cv2.subtract(small_out, below, dtype=cv2.CV_32F), np.float32)
        if self._scene is None or self._scene.detail != detail or self._scene.ends_before(gray):
            self._scene = _Scene(gray, delta, detail, _flow_for(gray))
            return small_out
        delta = self._scene.go_on(gray, delta, amount)
        return np.asarray(cv2.add(below, delta, dtype=cv2.CV_8U), np.uint8)


@dataclass
class _Scene:
    """The latest image of a scene and its steadied residual."""

    gray: _Gray
    """uint8[h, w]: the network's input."""
    delta: _Floats
    """float32[h, w, 3] levels: what the network changed or its whole image, steadied, not rounded."""
    detail: Detail
    flow: cv2.DISOpticalFlow | None
    """Searches for motion; None where the image is too small for that. It keeps what it chose for the
    first image it saw, so every scene has its own."""

    def ends_before(self, gray: _Gray) -> bool:
        """Say whether the next image shows another scene or has another size."""
        return self.gray.shape != gray.shape or float(cv2.absdiff(self.gray, gray).mean()) > _CUT

    def go_on(self, gray: _Gray, delta: _Floats, amount: float) -> _Floats:
        """Take the next image and its residual; return the residual steadied: float32[h, w, 3]."""
        x, y = self._motion(gray)
        held = cv2.remap(self.delta, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        followed = cv2.remap(self.gray, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        trust = _trust(cv2.absdiff(gray, followed).astype(np.float32), _CALM, _SPAN)
        self.gray, self.delta = gray, delta
        if trust.mean() > _LOST:
            other = held - delta
            apart = np.asarray(cv2.transform(np.abs(other), _MEAN), np.float32)
            trust *= _trust(apart, *_FLICKER[self.detail])
            self.delta = np.asarray(delta + (amount * _HOLD * trust)[..., None] * other, np.float32)
        return self.delta

    def _motion(self, gray: _Gray) -> tuple[_Floats, _Floats]:
        """Return where each pixel of `gray` was in the image before: x and y, float32[h, w] each."""
        height, width = gray.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        if self.flow is None:
            return x, y
        flow = np.asarray(self.flow.calc(gray, self.gray, None), np.float32)  # type: ignore[call-overload]
        return x + flow[..., 0], y + flow[..., 1]


def _trust(difference: _Floats, good: float, span: float) -> _Floats:
    """Return 1 where the mean difference around is up to `good`, 0 from `good + span` on: float32[h, w]."""
    around = cv2.blur(difference, (_BLUR_PX, _BLUR_PX))
    return np.asarray(np.clip(1 - (around - good) / span, 0, 1), np.float32)


def _flow_for(gray: _Gray) -> cv2.DISOpticalFlow | None:
    if min(gray.shape) < _FLOW_MINIMUM_PX:
        return None
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
