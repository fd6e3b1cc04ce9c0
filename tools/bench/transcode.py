"""What a whole program does with a 1080p file: `python -m tools.bench.transcode`.

Each contender translates the same clip from file to file, in turns within one process:

    videobrush           this program, INT8 and FP32
    identity             this program without a network: reading, fitting and writing
    null sink            this program, INT8, without writing
    plain onnxruntime    what people write: read with OpenCV, resize, the same ONNX file in ONNX Runtime,
                         resize, write with OpenCV, one after the other
    plain torch          the same loop around ResNet-9 (ngf 64) in PyTorch as the CycleGAN repository runs it

The plain loops work at the same network size. `transcode_ratio` is videobrush INT8 over identity. Prints a
table, then one JSON object as the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch

from rt.backends import PrecisionName
from rt.backends.cpu import cpu_threads
from rt.commands import Backend, Run
from rt.fit import style_size
from rt.frame import Rgb
from rt.job import run_job
from rt.pipeline import Stop
from rt.styles import Style, find_style
from tools.bench.clips import make_clip
from tools.bench.result import facts, finish, parser, table
from train.nets import make_generator

Contender = Callable[[], tuple[int, float]]
"""Translates the clip; returns frames and seconds."""
PLAIN_FRAMES = 12
"""Frames the plain PyTorch loop does: its rate is the same from the first one on."""


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--style", default="winter", help="name of a style, or the path of its folder")
    arguments.add_argument("--clip", type=Path, help="video file; default: the bundled clip at 1920x1080")
    arguments.add_argument("--frames", type=int, default=150, help="length of the default clip")
    arguments.add_argument("--turns", type=int, default=3)
    typed = arguments.parse_args()
    logging.getLogger("rt").setLevel(logging.WARNING)
    style = find_style(typed.style)
    with tempfile.TemporaryDirectory() as folder:
        clip = typed.clip or make_clip(Path(folder) / "clip.mp4", 1080, 1920, typed.frames)
        result = measure(style, clip, Path(folder), typed.turns)
    rows = [[name, fps, round(fps / result["fps"]["identity"], 3)] for name, fps in result["fps"].items()]
    finish(result, table(f"{result['clip']}", ("program", "frames/s", "of identity"), rows), typed.save)
    return 0


def measure(style: Style, clip: Path, folder: Path, turns: int) -> dict[str, Any]:
    """Let the contenders take turns."""
    out = folder / "out.mp4"
    height, width = _size(clip)
    card = style.card
    size = style_size(card, height, width)
    contenders: dict[str, Contender] = {
        "identity": lambda: videobrush(style, clip, str(out), backend="identity"),
        "videobrush fp32": lambda: videobrush(style, clip, str(out), precision="fp32"),
        "plain onnxruntime": lambda: plain(clip, out, size, onnx_loop(style)),
        "plain torch": lambda: plain(clip, out, size, torch_loop(), PLAIN_FRAMES),
    }
    if "int8" in card.models:
        contenders["videobrush int8"] = lambda: videobrush(style, clip, str(out), precision="int8")
        contenders["null sink int8"] = lambda: videobrush(style, clip, "null://", precision="int8")
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, contender in contenders.items():
            frames, seconds = contender()
            rates[name].append(frames / seconds)
    fps = {name: round(statistics.median(found), 2) for name, found in rates.items()}
    ratios = [
        one / other for one, other in zip(rates.get("videobrush int8", []), rates["identity"], strict=False)
    ]
    ours = fps.get("videobrush int8", fps["videobrush fp32"])
    return {
        **facts("transcode"),
        "style": card.name,
        "clip": f"{clip.name}, {width}x{height}",
        "network_size": list(size),
        "turns": turns,
        "fps": fps,
        "transcode_ratio": round(statistics.median(ratios), 3) if ratios else None,
        "speed_up_over_plain_onnxruntime": round(ours / fps["plain onnxruntime"], 2),
        "speed_up_over_plain_torch": round(ours / fps["plain torch"], 2),
    }


def videobrush(
    style: Style, clip: Path, output: str, backend: Backend = "auto", precision: PrecisionName = "auto"
) -> tuple[int, float]:
    """Run this program as its command does, its loading left out."""
    job = Run(
        str(clip),
        str(style.folder),
        (output,),
        backend=backend,
        precision=precision,
        overwrite=True,
    )
    stats = run_job(job, Stop())
    return stats.frames, stats.seconds


def plain(
    clip: Path, out: Path, size: tuple[int, int], net: Callable[[Rgb], Rgb], limit: int | None = None
) -> tuple[int, float]:
    """Read, resize, translate, resize and write, one after the other."""
    reader = cv2.VideoCapture(str(clip))
    height, width = _size(clip)
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height))
    frames, started = 0, time.perf_counter()
    while limit is None or frames < limit:
        ok, bgr = reader.read()
        if not ok:
            break
        small = cv2.resize(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), size[::-1], interpolation=cv2.INTER_AREA)
        rgb = cv2.resize(net(np.asarray(small, np.uint8)), (width, height), interpolation=cv2.INTER_CUBIC)
        writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        frames += 1
    writer.release()
    reader.release()
    return frames, time.perf_counter() - started


def onnx_loop(style: Style) -> Callable[[Rgb], Rgb]:
    """Return the style's FP32 network in ONNX Runtime, as it comes."""
    session = onnxruntime.InferenceSession(str(style.model("fp32")), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda rgb: np.asarray(session.run(None, {name: rgb[None]})[0][0], np.uint8)


def torch_loop() -> Callable[[Rgb], Rgb]:
    """Return ResNet-9 (ngf 64) in PyTorch, with the scaling that its callers write themselves."""
    torch.set_num_threads(cpu_threads())
    net = make_generator("resnet9").eval()

    @torch.no_grad()
    def translate(rgb: Rgb) -> Rgb:
        image = torch.from_numpy(rgb.transpose(2, 0, 1).astype(np.float32)[None] / 127.5 - 1)
        found = net(image)[0].numpy().transpose(1, 2, 0)
        return np.asarray((found + 1) * 127.5, np.uint8)

    return translate


def _size(clip: Path) -> tuple[int, int]:
    reader = cv2.VideoCapture(str(clip))
    try:
        return int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(reader.get(cv2.CAP_PROP_FRAME_WIDTH))
    finally:
        reader.release()


if __name__ == "__main__":
    sys.exit(main())
