"""Measure how steady a translated video is, steadied and not.

Two frames that follow one another are compared along the motion of the source: what was shown before is moved
to where its scene is now, and what then differs is the warping error. Places that come into view, and those
whose motion cannot be trusted, do not count. Sources: Lai et al., Learning Blind Video Temporal Consistency
(warping error); Ruder et al., Artistic Style Transfer for Videos (motion forwards against backwards); Chu et
al., Learning Temporal Coherence via Self-Supervision for GAN-based Video Generation (tOF).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rt.card import Detail
from rt.errors import VideobrushError
from rt.fit import apply_residual, shrink
from rt.frame import Rgb
from rt.steady import Steady

_Gray = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]
_MINIMUM_PX = 12
"""The shorter side of the smallest image in which OpenCV can search for motion."""
_STILL = 1 / 4000
"""Median motion from frame to frame, over the longer side, up to which a camera counts as standing still."""


class Unmeasurable(VideobrushError):
    """A clip in which no motion can be found: too short, too small, or nothing in it can be followed."""


@dataclass(frozen=True)
class Figures:
    """How steady and how sharp one video is."""

    warping_levels: float
    """Warping error: mean absolute difference along the motion of the source, in levels of 0..255."""
    tof_px: float
    """Mean distance between the motion seen in this video and in the source, in pixels."""
    deviation_levels: float | None
    """Standard deviation of the brightness over time, mean of all pixels; None where the camera moves."""
    sharpness: float
    """Variance of the Laplacian of the brightness, mean of all frames."""


@dataclass(frozen=True)
class Comparison:
    """A clip translated frame by frame, and the same steadied."""

    frames: int
    source: Figures
    """The clip itself."""
    off: Figures
    """Translated frame by frame."""
    on: Figures
    """Translated and steadied."""

    @property
    def warping_off(self) -> float | None:
        """E_warp(off) / E_warp(source): 1 is as steady as the source; None where the source has no error."""
        return _over(self.off.warping_levels, self.source.warping_levels)

    @property
    def warping_on(self) -> float | None:
        """E_warp(on) / E_warp(source); None where the source has no error."""
        return _over(self.on.warping_levels, self.source.warping_levels)

    @property
    def warping_cut(self) -> float:
        """Share of the warping error that is gone, the source's own part included: 0.4 is 40 % less."""
        kept = _over(self.on.warping_levels, self.off.warping_levels)
        return 0.0 if kept is None else 1 - kept

    @property
    def flicker_cut(self) -> float | None:
        """Share of what the translation adds to the source's error that is gone; None where it adds none."""
        added = self.off.warping_levels - self.source.warping_levels
        return (self.off.warping_levels - self.on.warping_levels) / added if added > 0 else None

    @property
    def sharpness_kept(self) -> float:
        """Sharpness of the steadied video over that of the other."""
        kept = _over(self.on.sharpness, self.off.sharpness)
        return 1.0 if kept is None else kept


def _over(value: float, base: float) -> float | None:
    return value / base if base > 0 else None


def compare(
    frames: Iterable[Rgb],
    translate: Callable[[Rgb], Rgb],
    size: tuple[int, int],
    amount: float = 1.0,
    strength: float = 1.0,
    detail: Detail = "keep",
) -> tuple[Comparison, Comparison]:
    """Translate a clip once and measure it with and without steadying.

    Args:
        frames: uint8[H, W, 3] RGB, all of one size, in order.
        translate: the network: uint8[h, w, 3] RGB of `size` to the same.
        size: (height, width) of the network's images.
        amount: how much to steady, in [0, 1].
        strength: how much of the residual is applied to the frame.
        detail: how it is applied, see `rt.fit.apply_residual`.

    Returns:
        What a viewer sees, at the size of the frames, and the network's own images.

    Raises:
        Unmeasurable: there are fewer than two frames, or no motion can be found in them.
    """
    return compare_amounts(frames, translate, size, [amount], strength, detail)[0]


def compare_amounts(
    frames: Iterable[Rgb],
    translate: Callable[[Rgb], Rgb],
    size: tuple[int, int],
    amounts: Sequence[float],
    strength: float = 1.0,
    detail: Detail = "keep",
) -> list[tuple[Comparison, Comparison]]:
    """Do what `compare` does for several amounts at once: the clip is translated and followed once."""
    steadies = [Steady(amount) for amount in amounts]
    viewer, network = _Watch(2 + len(amounts)), _Watch(2 + len(amounts))
    for rgb in frames:
        small_in = shrink(rgb, size)
        small_off = translate(small_in)
        smalls = [small_off, *(steady.steady(small_in, small_off, detail) for steady in steadies)]
        viewer.see(rgb, *(apply_residual(rgb, small_in, small, strength, detail) for small in smalls))
        network.see(small_in, *smalls)
    return list(zip(viewer.comparisons(), network.comparisons(), strict=True))


class _Watch:
    """Watches videos of one scene: the source, its translation, and that steadied in one or more ways."""

    def __init__(self, videos: int) -> None:
        self._frames = 0
        self._pixels = 0
        self._motions_px: list[float] = []
        self._videos = [_Video() for _ in range(videos)]

    def see(self, *images: Rgb) -> None:
        """Take the next frame of each video."""
        if min(images[0].shape[:2]) < _MINIMUM_PX:
            height, width = images[0].shape[:2]
            raise Unmeasurable(f"frames of {height}x{width} are too small to find motion in them")
        grays = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in images]
        if self._frames:
            motion = Motion(self._videos[0].gray, grays[0])
            self._pixels += int(motion.trusted.sum())
            self._motions_px.append(float(np.median(np.hypot(motion.flow[..., 0], motion.flow[..., 1]))))
            for video, image, gray in zip(self._videos, images, grays, strict=True):
                video.follow(motion, image, gray)
        for video, image, gray in zip(self._videos, images, grays, strict=True):
            video.keep(image, gray)
        self._frames += 1

    def comparisons(self) -> list[Comparison]:
        if self._frames < 2:
            raise Unmeasurable(f"a clip of {self._frames} frame(s) has no motion; at least two are needed")
        if not self._pixels:
            raise Unmeasurable("no motion can be trusted anywhere in the clip")
        still = float(np.median(self._motions_px)) <= _STILL * max(self._videos[0].gray.shape)
        figures = [video.figures(self._frames, self._pixels, still) for video in self._videos]
        return [Comparison(self._frames, figures[0], figures[1], on) for on in figures[2:]]


class _Video:
    """Sums over the frames of one video."""

    gray: _Gray
    _rgb: Rgb

    def __init__(self) -> None:
        self._error = 0.0
        self._distance = 0.0
        self._laplacian = 0.0
        self._sum: npt.NDArray[np.uint64] = np.zeros(1, np.uint64)
        self._squares: npt.NDArray[np.uint64] = np.zeros(1, np.uint64)

    def follow(self, motion: Motion, rgb: Rgb, gray: _Gray) -> None:
        """Add how far this frame is from the one before along the motion."""
        self._error += motion.error(self._rgb, rgb)
        self._distance += motion.distance(self.gray, gray)

    def keep(self, rgb: Rgb, gray: _Gray) -> None:
        """Take a frame as the one before the next."""
        self._rgb, self.gray = rgb, gray
        self._laplacian += float(cv2.Laplacian(gray, cv2.CV_32F).var())
        self._sum = self._sum + gray
        self._squares = self._squares + np.square(gray, dtype=np.uint16)

    def figures(self, frames: int, pixels: int, still: bool) -> Figures:
        variance = self._squares / frames - np.square(self._sum / frames)
        deviation = float(np.sqrt(variance.clip(0)).mean()) if still else None
        return Figures(self._error / pixels, self._distance / pixels, deviation, self._laplacian / frames)


class Motion:
    """The motion of a scene from one frame to the next."""

    def __init__(self, before: _Gray, now: _Gray) -> None:
        """Take the brightness of the two frames, uint8[H, W]."""
        self.flow = find_motion(now, before)
        """float32[H, W, 2]: how far each pixel of `now` is from where it was, x and y in pixels."""
        height, width = now.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._x, self._y = x + self.flow[..., 0], y + self.flow[..., 1]
        inside = (self._x >= 0) & (self._x <= width - 1) & (self._y >= 0) & (self._y <= height - 1)
        ahead = self._moved(find_motion(before, now))
        # There and back again must end where it began, within half a pixel or so and a tenth of the way.
        way = np.square(self.flow).sum(axis=2) + np.square(ahead).sum(axis=2)
        returned = np.square(self.flow + ahead).sum(axis=2) < 0.01 * way + 0.5
        self.trusted: npt.NDArray[np.bool_] = inside & returned
        """bool[H, W]: pixels of `now` that were in view before and whose motion can be trusted."""

    def error(self, before: Rgb, now: Rgb) -> float:
        """Return how far `now` is from `before` moved along, in levels, summed over the trusted pixels."""
        difference = cv2.absdiff(now, self._moved(before)).mean(axis=2)
        return float(difference[self.trusted].sum())

    def distance(self, before: _Gray, now: _Gray) -> float:
        """Return how far the motion seen in two other images is from this, summed likewise, in pixels."""
        apart = find_motion(now, before) - self.flow
        return float(np.hypot(apart[..., 0], apart[..., 1])[self.trusted].sum())

    def _moved(self, image: Rgb | _Floats) -> npt.NDArray[Any]:
        return cv2.remap(image, self._x, self._y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def find_motion(now: _Gray, before: _Gray) -> _Floats:
    """Return how far each pixel of `now` is from where it was: float32[H, W, 2], x and y in pixels."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(now, before, None), np.float32)  # type: ignore[call-overload]
