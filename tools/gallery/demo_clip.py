"""Make the clip of `videobrush demo`: a camera that moves over photos.

    python -m tools.gallery.demo_clip WALLPAPERS ASTRONAUT.png [--out rt/demo/clip.mp4]

WALLPAPERS is the folder of Debian's package `lomiri-wallpapers-16.04`, unpacked or installed
(`usr/share/backgrounds`); ASTRONAUT.png is that of scikit-image (`skimage/data`). Terms: `rt/demo/NOTICE.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from rt.frame import Rgb

HEIGHT, WIDTH, FPS = 360, 640, 24
SCENE_FRAMES = 36
RATE_HZ = 44100
CHORDS = (
    (220.0, 277.2, 329.6),
    (196.0, 246.9, 293.7),
    (220.0, 261.6, 329.6),
    (164.8, 246.9, 311.1),
)
"""Hertz; one for each scene."""


@dataclass(frozen=True)
class View:
    """Where the camera looks: centre and width as shares of the photo's width."""

    x: float
    y: float
    width: float


@dataclass(frozen=True)
class Scene:
    """A photo, and the camera's way over it."""

    photo: str
    begin: View
    end: View


SCENES = (
    Scene("life_by_Aitzol_Berasategi.jpg", View(0.50, 0.39, 0.94), View(0.47, 0.42, 0.66)),
    Scene("aitzgorri_by_Aitzol_Berasategi.jpg", View(0.42, 0.42, 0.72), View(0.60, 0.38, 0.78)),
    Scene("astronaut.png", View(0.46, 0.27, 0.88), View(0.45, 0.22, 0.66)),
    Scene("friends_by_Aitzol_Berasategi.jpg", View(0.50, 0.57, 0.96), View(0.50, 0.58, 0.80)),
)


def images(folders: list[Path]) -> Iterator[Rgb]:
    """Yield the frames, uint8[HEIGHT, WIDTH, 3] RGB."""
    for scene in SCENES:
        path = next(folder / scene.photo for folder in folders if (folder / scene.photo).exists())
        photo = np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1]
        scale = 2 * WIDTH / (photo.shape[1] * min(scene.begin.width, scene.end.width))
        if scale < 1:  # twice the size it is shown at: motion between pixels stays smooth, nothing aliases
            photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        for number in range(SCENE_FRAMES):
            share = (1 - np.cos(np.pi * number / (SCENE_FRAMES - 1))) / 2
            yield seen(np.ascontiguousarray(photo), scene, float(share))


def seen(photo: Rgb, scene: Scene, share: float) -> Rgb:
    """Return what the camera sees at `share` in [0, 1] of its way."""
    begin, end = scene.begin, scene.end
    x, y = begin.x + (end.x - begin.x) * share, begin.y + (end.y - begin.y) * share
    width = begin.width * (end.width / begin.width) ** share
    step = width * photo.shape[1] / WIDTH  # photo's pixels for one of the frame
    left, top = x * photo.shape[1] - step * WIDTH / 2, y * photo.shape[1] - step * HEIGHT / 2
    way = np.array([[step, 0, left], [0, step, top]], np.float32)
    smooth = cv2.GaussianBlur(photo, (0, 0), 0.4 * step) if step > 1.2 else photo
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(smooth, way, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def soundtrack(seconds: float) -> npt.NDArray[np.float32]:
    """Return float32[samples] in [-1, 1]: water, and a chord for each scene."""
    random = np.random.default_rng(7)
    count = round(seconds * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    noise = random.normal(0, 1, count)
    spectrum = np.fft.rfft(noise)
    hertz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum *= 1 / (1 + (hertz / 900) ** 2) * (hertz > 150)
    water = np.fft.irfft(spectrum, count)
    water *= 0.05 / np.abs(water).std() * (1 + 0.3 * np.sin(2 * np.pi * 0.7 * time_s))
    total = water
    length = seconds / len(SCENES)
    for number, chord in enumerate(CHORDS):
        age = time_s - number * length
        swell = np.clip(age / 0.08, 0, 1) * np.exp(-np.clip(age, 0, None) / 0.9) * (age >= 0)
        for hertz_of_note in chord:
            total = total + 0.09 * swell * np.sin(2 * np.pi * hertz_of_note * time_s)
    fade = np.clip(np.minimum(time_s, seconds - time_s) / 0.05, 0, 1)
    return np.asarray(total * fade, np.float32)


def write(path: Path, folders: list[Path]) -> None:
    """Encode the clip: H.264 with AAC."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        video = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "23", "preset": "veryslow"}
        audio = out.add_stream("aac", rate=RATE_HZ)
        audio.bit_rate = 64000
        audio.layout = "mono"
        for index, rgb in enumerate(images(folders)):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        samples = soundtrack(len(SCENES) * SCENE_FRAMES / FPS)
        for begin in range(0, len(samples), 1024):
            chunk = av.AudioFrame.from_ndarray(
                samples[None, begin : begin + 1024], format="fltp", layout="mono"
            )
            chunk.sample_rate, chunk.pts, chunk.time_base = RATE_HZ, begin, Fraction(1, RATE_HZ)
            out.mux(audio.encode(chunk))
        out.mux(audio.encode(None))


def main() -> None:
    """Make the clip."""
    parser = argparse.ArgumentParser(description="Make the clip of videobrush demo.")
    parser.add_argument("wallpapers", type=Path)
    parser.add_argument("astronaut", type=Path)
    parser.add_argument("--out", type=Path, default=Path("rt/demo/clip.mp4"))
    given = parser.parse_args()
    write(given.out, [given.wallpapers, given.astronaut.parent])
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
