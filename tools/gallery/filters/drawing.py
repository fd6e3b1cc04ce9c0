"""Photos as drawings: comic, pencil, watercolour.

Sizes are for a short side of 256 px.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rt.frame import Rgb
from tools.gallery.filters.kuwahara import kuwahara
from tools.gallery.filters.lines import Flow, blur, dark_side, draw_lines, find_flow

Image = npt.NDArray[np.floating[Any]]
"""float32[H, W, 3], RGB in [0, 1] or Lab."""


def comic(rgb: Rgb) -> Rgb:
    """Return flat strong colours in few tones, within lines of ink."""
    scale = min(rgb.shape[:2]) / 256
    image, flat = to_float(rgb), to_float(kuwahara(rgb, round(3 * scale)))
    for _ in range(3):
        flat = np.asarray(cv2.bilateralFilter(flat, 0, 0.07, 2.5 * scale), np.float32)
    lab = to_lab(flat)
    light = np.clip(1.15 * (lab[..., 0] / 100 - 0.5) + 0.54, 0, 1)
    lab[..., 0] = 100 * in_tones(light, 6, scale)
    lab[..., 1:] *= 1.45
    flow = find_flow(image, 2.5 * scale)
    ink = _ink(image, flow, scale, width=0.9, along=4.0, hardness=50.0, threshold=-0.006)
    return to_rgb(from_lab(lab) * ink[..., None])


def pencil(rgb: Rgb) -> Rgb:
    """Return soft graphite on white paper: lines, and shade where the photo is dark."""
    scale = min(rgb.shape[:2]) / 256
    image = to_float(rgb)
    light = to_lab(image)[..., 0] / 100
    calm = np.asarray(cv2.bilateralFilter(light, 0, 0.06, 2 * scale), np.float32)
    flow = find_flow(image, 2.0 * scale)
    strong = _ink(image, flow, scale, width=0.8, along=4.0, hardness=32.0, threshold=-0.002)
    fine = np.clip(calm / np.maximum(blur(calm, 5 * scale), 0.03), 0, 1) ** 1.5
    shade = 0.42 + 0.58 * np.clip(1.25 * blur(calm, 0.8 * scale) + 0.02, 0, 1) ** 0.8
    tone = np.clip(fine * shade * (0.18 + 0.82 * strong), 0, 1)
    graphite, paper = np.array([0.13, 0.13, 0.15]), np.array([0.985, 0.98, 0.965])
    return to_rgb((graphite + (paper - graphite) * tone[..., None]).astype(np.float32))


def watercolour(rgb: Rgb) -> Rgb:
    """Return thin light washes with darker rims, over a few lines of pencil."""
    scale = min(rgb.shape[:2]) / 256
    image, flat = to_float(rgb), to_float(kuwahara(rgb, round(5 * scale)))
    flat = np.asarray(cv2.bilateralFilter(flat, 0, 0.06, 2.5 * scale), np.float32)
    lab = to_lab(flat)
    lab[..., 0] = 100 - 0.84 * (100 - lab[..., 0]) ** 0.98
    lab[..., 1:] *= 1.35
    wash = from_lab(lab)
    rims = np.abs(wash - blur(wash, 3 * scale)).mean(2)
    flow = find_flow(image, 2.5 * scale)
    ink = _ink(image, flow, scale, width=0.7, along=3.0, hardness=26.0, threshold=-0.006)
    thin = np.clip(1 - 1.3 * rims, 0, 1) * (0.5 + 0.5 * ink)
    return to_rgb(0.03 + 0.97 * wash * thin[..., None])


def in_tones(light: npt.NDArray[np.floating[Any]], count: int, scale: float) -> npt.NDArray[np.floating[Any]]:
    """Return light in [0, 1] in `count` tones; steps are soft where the light changes slowly.

    Source: Winnemöller, Olsen and Gooch 2006, section 3.3.
    """
    soft = blur(light, 1.0 * scale)
    slope = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)) / 4 * scale
    sharp = 1.5 + 3.5 * np.clip(blur(slope.astype(np.float32), 2 * scale) / 0.02, 0, 1)
    place = light * count
    within = place - np.floor(place) - 0.5
    step = np.tanh(2 * sharp * within) / np.tanh(sharp)
    return np.asarray(np.clip((np.floor(place) + 0.5 + 0.5 * step) / count, 0, 1), np.float32)


def _ink(
    image: Image, flow: Flow, scale: float, *, width: float, along: float, hardness: float, threshold: float
) -> npt.NDArray[np.floating[Any]]:
    """Return lines of ink on white, float32[H, W] in [0, 1], from the light of an image without its grain."""
    light = to_lab(image)[..., 0] / 100
    calm = np.asarray(cv2.bilateralFilter(light, 0, 0.05, 1.5 * scale), np.float32)
    return draw_lines(dark_side(calm, flow, width * scale, along * scale, 0.99), hardness, threshold)


def to_float(rgb: Rgb) -> Image:
    """Return uint8[H, W, 3] as float32 in [0, 1]."""
    return rgb.astype(np.float32) / 255


def to_rgb(image: npt.NDArray[np.floating[Any]]) -> Rgb:
    """Return float32[H, W, 3] in [0, 1] as uint8, rounded."""
    return np.asarray(np.clip(image, 0, 1) * 255 + 0.5, np.uint8)


def to_lab(image: Image) -> Image:
    """Return L in [0, 100], a and b about 0."""
    return np.asarray(cv2.cvtColor(np.clip(image, 0, 1), cv2.COLOR_RGB2LAB), np.float32)


def from_lab(lab: Image) -> Image:
    """Return RGB in [0, 1]."""
    return np.asarray(np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1), np.float32)
