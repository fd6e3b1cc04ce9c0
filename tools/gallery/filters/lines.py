"""Where lines run in an image, and lines drawn along them.

Source: Kang et al. 2009 (Flow-based image abstraction); Winnemöller et al. 2012 (XDoG).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]
"""float32[H, W]."""
WIDER = 1.6
"""Width of the second Gaussian of a difference of Gaussians, of the first one's."""


@dataclass(frozen=True)
class Flow:
    """The direction of edges at every pixel, a unit vector."""

    x: Plane
    y: Plane


def blur(plane: npt.NDArray[np.floating[Any]], sigma: float) -> npt.NDArray[np.floating[Any]]:
    """Return float32[H, W] or [H, W, 3], smoothed by a Gaussian."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def find_flow(image: npt.NDArray[np.floating[Any]], sigma: float) -> Flow:
    """Return where edges run, from the smoothed structure tensor of float32[H, W, 3].

    Source: Kyprianidis and Kang 2011, section 3.
    """
    soft = blur(image, 1.0)
    across, down = (cv2.Sobel(soft, cv2.CV_32F, *order) / 4 for order in ((1, 0), (0, 1)))
    xx, xy, yy = (
        blur((one * other).sum(2), sigma) for one, other in ((across, across), (across, down), (down, down))
    )
    largest = (xx + yy) / 2 + np.sqrt((xx - yy) ** 2 / 4 + xy * xy)
    x, y = largest - xx, -xy
    length = np.hypot(x, y)
    flat = length < 1e-9
    length = np.maximum(length, 1e-9)
    return Flow(
        np.where(flat, 0, x / length).astype(np.float32), np.where(flat, 1, y / length).astype(np.float32)
    )


def dark_side(light: Plane, flow: Flow, sigma: float, along: float, share: float) -> Plane:
    """Return a difference of Gaussians across the flow, smoothed along it: negative on dark sides and lines.

    Args:
        light: float32[H, W] in [0, 1].
        flow: of the same image.
        sigma: width of the lines, in pixels.
        along: how far along the flow is smoothed, in pixels.
        share: of the second Gaussian; below 1 flat areas stay above 0.
    """
    y, x = np.mgrid[: light.shape[0], : light.shape[1]].astype(np.float32)
    narrow, wide = np.zeros_like(light), np.zeros_like(light)
    weights = [0.0, 0.0]
    reach = int(np.ceil(2.5 * sigma * WIDER))
    for step in range(-reach, reach + 1):
        seen = _at(light, x - step * flow.y, y + step * flow.x)
        ones = [float(np.exp(-(step**2) / (2 * width**2))) for width in (sigma, WIDER * sigma)]
        narrow, wide = narrow + ones[0] * seen, wide + ones[1] * seen
        weights = [total + one for total, one in zip(weights, ones, strict=True)]
    return _along(narrow / weights[0] - share * wide / weights[1], flow, along)


def draw_lines(dark: Plane, hardness: float, threshold: float) -> Plane:
    """Return float32[H, W]: 1 for paper, 0 for ink. Source: Winnemöller 2012, equation 5."""
    ink = 1 + np.tanh(hardness * np.minimum(dark - threshold, 0))
    return np.asarray(ink, np.float32)


def _along(plane: Plane, flow: Flow, sigma: float) -> Plane:
    """Return the mean along the flow, both ways."""
    height, width = plane.shape
    total, weight = plane.copy(), 1.0
    for way in (1.0, -1.0):
        y, x = np.mgrid[:height, :width].astype(np.float32)
        at_x, at_y = way * flow.x, way * flow.y
        for step in range(1, int(np.ceil(2 * sigma)) + 1):
            x, y = x + at_x, y + at_y
            next_x, next_y = _at(flow.x, x, y), _at(flow.y, x, y)
            turned = np.where(next_x * at_x + next_y * at_y < 0, np.float32(-1), np.float32(1))
            at_x, at_y = next_x * turned, next_y * turned
            share = float(np.exp(-(step**2) / (2 * sigma**2)))
            total, weight = total + share * _at(plane, x, y), weight + share
    return np.asarray(total / weight, np.float32)


def _at(plane: Plane, x: Plane, y: Plane) -> Plane:
    return np.asarray(
        cv2.remap(
            plane,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.float32,
    )
