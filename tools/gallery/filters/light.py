"""Photos in another light: autumn, night, winter.

Sizes are for a short side of 256 px.
"""

from __future__ import annotations

import cv2
import numpy as np

from rt.frame import Rgb
from tools.gallery.filters.drawing import Image, from_lab, to_float, to_lab, to_rgb
from tools.gallery.filters.lines import Plane, blur


def autumn(rgb: Rgb) -> Rgb:
    """Return leaves and grass in gold, orange and red, in the light of a late afternoon."""
    image, scale = to_float(rgb), min(rgb.shape[:2]) / 256
    lab = to_lab(image)
    light, sky = lab[..., 0] / 100, find_sky(image)
    leaves = find_green(lab, scale) * (1 - sky)
    # Hue goes from gold to red with what tells one crown from the next: its light and its own green.
    low = blur(light, 4 * scale)
    own = blur(lab[..., 1], 5 * scale) - blur(lab[..., 1], 30 * scale)
    tone = np.clip(0.5 + 2.2 * (low - blur(light, 26 * scale)) + 0.12 * own, 0, 1)
    hue = np.deg2rad(40 + 42 * tone)
    strength = np.clip(1.15 * np.hypot(lab[..., 1], lab[..., 2]) + 14 * np.clip(2 * light, 0, 1), 0, 78)
    gold = lab.copy()
    gold[..., 0] = np.clip(lab[..., 0] * (1.02 + 0.1 * tone) + 3, 0, 100)
    gold[..., 1], gold[..., 2] = strength * np.cos(hue), strength * np.sin(hue)
    found = lab * (1 - leaves[..., None]) + gold * leaves[..., None]
    rest = (1 - leaves) * (1 - sky)
    found[..., 1] += 1.5 * rest
    found[..., 2] += 5 * rest + 1.5 * sky
    return to_rgb(from_lab(found))


def night(rgb: Rgb) -> Rgb:
    """Return moonlight on everything and a dark sky; what was bright and small glows like a lamp."""
    image, scale = to_float(rgb), min(rgb.shape[:2]) / 256
    lab = to_lab(image)
    light, sky = lab[..., 0] / 100, find_sky(image)
    linear = image**2.2
    gray = (linear * np.array([0.2, 0.7, 0.1], np.float32)).sum(2, keepdims=True)
    # Moonlight: less colour (Purkinje), deeper shadows, and a room as dark as a street.
    exposed = 0.3 / (0.1 + float(np.clip(gray.mean(), 0.05, 0.5)))
    moon = (0.65 * gray + 0.35 * linear) * np.clip(exposed * gray, 0.02, 1) ** 0.35
    moon = moon * np.array([0.13, 0.21, 0.44], np.float32) * 0.85
    down = np.linspace(0, 1, len(image), dtype=np.float32)[:, None]
    depth = 0.6 + 0.8 * blur(light, 2 * scale)
    above = np.stack([0.008 + 0.02 * down, 0.016 + 0.04 * down, 0.055 + 0.1 * down], 2) * depth[..., None]
    dark = moon * (1 - sky[..., None]) + above * sky[..., None]
    # Lamps are small, and brighter than what is around; warm ones most of all. None hangs in the sky.
    over = light - blur(light, 7 * scale)
    warm = np.clip((lab[..., 2] - 6) / 30, 0, 1)
    lamp = np.clip((over - 0.14) / 0.2, 0, 1) * np.clip((light - 0.6) / 0.25, 0, 1) * (0.35 + 0.65 * warm)
    lamp = lamp * (1 - np.clip(1.5 * blur(sky, 3 * scale), 0, 1))
    glow = sum(
        share * blur(lamp.astype(np.float32), sigma * scale)
        for sigma, share in ((1, 0.7), (4, 0.9), (13, 1.2))
    )
    colour = np.array([1.0, 0.62, 0.24], np.float32)
    dark = dark + np.asarray(glow)[..., None] * colour * (0.2 + 1.1 * linear)
    return to_rgb(np.clip(dark, 0, 1).astype(np.float32) ** (1 / 2.2))


def winter(rgb: Rgb) -> Rgb:
    """Return snow on meadows, on trees and among them, in cold light; none on skin, water and sky."""
    image, scale = to_float(rgb), min(rgb.shape[:2]) / 256
    lab = to_lab(image)
    light, sky = lab[..., 0] / 100, find_sky(image)
    # Skin, hair and coats are as warm as dry grass, but redder.
    redder = np.clip(3 - lab[..., 2] / np.maximum(lab[..., 1], 1), 0, 1)
    skin = np.clip((lab[..., 1] - 4) / 4, 0, 1) * np.clip((lab[..., 2] - 3) / 6, 0, 1) * redder
    around = np.clip(4 * blur(skin.astype(np.float32), 9 * scale) - 0.7, 0, 1)  # fair hair beside a face
    skin = np.maximum(np.clip(1.5 * blur(skin.astype(np.float32), 1.5 * scale), 0, 1), around)
    # Dry grass is land where something green grows not far from it; else it may be hair, or a wall.
    green = find_green(lab, scale)
    grown = np.clip(5 * blur(green, 40 * scale) - 0.1, 0, 1)
    earth = np.clip((lab[..., 2] - 5) / 14, 0, 1) * (1 - skin) * grown
    land = np.maximum(green, guided(light, earth.astype(np.float32), round(4 * scale), 2e-3))
    land = np.clip(1.1 * land, 0, 1) * (1 - sky)
    water = np.clip((-lab[..., 2] - 3) / 6, 0, 1)
    # Snow lies where light falls from above: on what is lighter than what is below it, and on calm ground.
    soft, near, wide = (blur(light, width * scale) for width in (1.2, 5, 14))
    above = soft - np.roll(soft, -round(3 * scale), 0)
    above[-round(4 * scale) - 2 :] = 0
    over = light - near
    down = np.linspace(0, 1, len(image), dtype=np.float32)[:, None]
    calm = np.clip(1 - blur(np.abs(over), 6 * scale) / 0.11, 0, 1) * np.clip((down - 0.4) / 0.2, 0, 1)
    score = 5 * above + 6 * over + 2.2 * (light - 0.32) + 1.6 * land * calm + 0.9 * (land - 0.25)
    snow = 1 / (1 + np.exp(-4.5 * (score - 0.3)))
    among = np.clip(2.6 * blur(land.astype(np.float32), 22 * scale) - 0.25, 0, 1)
    snow = snow * np.clip(land + 0.75 * among * (land < 0.5), 0, 1) * among
    snow = snow * (1 - sky) * (1 - skin) * (1 - water)
    snow = np.clip(guided(light, snow.astype(np.float32), max(2, round(1.5 * scale)), 1e-4), 0, 1)
    white = np.clip(0.82 + 0.18 * np.tanh(2.2 * (light - wide)) + 0.2 * (wide - 0.5), 0.45, 1)
    cover = np.stack([0.955 * white, 0.975 * white, np.minimum(1, 1.02 * white)], 2)
    cold = lab.copy()
    fade = 0.9 - 0.45 * land * among
    cold[..., 0] = np.clip(0.97 * lab[..., 0] + 2, 0, 100)
    cold[..., 1] *= fade
    cold[..., 2] = cold[..., 2] * fade - 3 * (1 - skin)
    pale = lab.copy()
    pale[..., 0] = np.clip(lab[..., 0] + 0.3 * (80 - lab[..., 0]), 0, 97)
    pale[..., 1:] *= 0.74
    found = from_lab(cold) * (1 - snow[..., None]) + cover * snow[..., None]
    return to_rgb((found * (1 - sky[..., None]) + from_lab(pale) * sky[..., None]).astype(np.float32))


def find_sky(image: Image) -> Plane:
    """Return float32[H, W]: 1 in the sky: smooth, blue or pale, and joined to the upper edge."""
    height, scale = len(image), min(image.shape[:2]) / 256
    lab = to_lab(image)
    light, blue = lab[..., 0] / 100, np.clip((-lab[..., 2] - 2) / 18, 0, 1)
    soft = blur(light, 1.0)
    slope = (
        np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)).astype(np.float32) / 4
    )
    pale = np.clip((light - 0.62) / 0.25, 0, 1) * np.clip(1 - np.abs(lab[..., 1:]).sum(2) / 40, 0, 1)
    likely = np.maximum(blue * np.clip((light - 0.12) / 0.2, 0, 1), pale)
    likely = likely * np.clip(1 - blur(slope * scale, 3 * scale) / 0.03, 0, 1)
    seen = (likely > 0.35).astype(np.uint8)
    _, labels = cv2.connectedComponents(seen, connectivity=4)
    above = np.unique(labels[: max(2, height // 40)])
    mask = np.isin(labels, above[above > 0]).astype(np.float32) * seen
    mask[int(0.9 * height) :] = 0
    mask = np.asarray(cv2.medianBlur((mask * 255).astype(np.uint8), 7), np.float32) / 255
    return np.clip(guided(light, mask, max(6, round(8 * scale)), 1e-3), 0, 1)


def find_green(lab: Image, scale: float) -> Plane:
    """Return float32[H, W]: 1 on leaves and grass."""
    green = np.clip((-lab[..., 1] + 0.55 * lab[..., 2] - 3) / 10, 0, 1) * np.clip(
        (lab[..., 2] + 2) / 10, 0, 1
    )
    # Skin, wood and walls are yellow, too, but not green.
    green = green * np.clip((2 - lab[..., 1]) / 5, 0, 1)
    return np.clip(guided(lab[..., 0] / 100, green.astype(np.float32), round(3 * scale) + 1, 1e-3), 0, 1)


def guided(guide: Plane, plane: Plane, radius: int, smooth: float) -> Plane:
    """Return a plane smoothed within the edges of a guide. Source: He et al. 2010, equations 5, 6, 8."""

    def mean(values: Plane) -> Plane:
        return np.asarray(cv2.blur(values, (2 * radius + 1, 2 * radius + 1)), np.float32)

    of_guide, of_plane = mean(guide), mean(plane)
    slope = (mean(guide * plane) - of_guide * of_plane) / (mean(guide * guide) - of_guide**2 + smooth)
    return mean(slope) * guide + mean(of_plane - slope * of_guide)
