"""How long is the studio's round trip: `python -m tools.bench.studio`.

A page of the studio in a real Chromium is given a camera that draws a number into each frame as black and
white bars; the bars are read out of the image that comes back, when it is drawn. So the trip is the whole
one, from the camera's frame to the translated image on the page: what the frame waits for is in it. Told
are trip, frames a second, frames of the camera that were not translated, and the server's share of a core,
through no network (`identity`) and through a style. The aim is 1.2 times what a bare page took through a
WebSocket, and the network's own time. Needs chromium, Playwright and an idle machine. Prints a table, then
one JSON object as the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from rt.backends import open_backend
from rt.demo import CLIP
from rt.fit import style_size
from rt.image import encode_image
from rt.styles import Style, find_style
from tools.bench.result import ROOT, facts, finish, parser, table

BARE_MS = {(640, 480): (36.0, 45.0), (1280, 720): (56.0, 104.0)}
"""(width, height) of the camera: p50 and p95 of a bare page and server without a network, on two cores."""
ALLOWANCE = 1.2
WARM_S = 3.0
CALLS = 60
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage")


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--style", default="winter", help="name of a style, or the path of its folder")
    arguments.add_argument("--seconds", type=float, default=30.0)
    arguments.add_argument("--fps", type=int, default=30, help="frames a second of the camera")
    typed = arguments.parse_args()
    style = find_style(typed.style)
    runs = []
    for backend in ("identity", "auto"):
        with serving(style, backend) as (address, process):
            for size_wh in BARE_MS:
                found = visit(address, process, size_wh, typed.fps, typed.seconds)
                own_ms = network_ms(style, backend, size_wh)
                runs.append(
                    {
                        "network": style.name if backend == "auto" else backend,
                        **found,
                        **aims(size_wh, own_ms),
                    }
                )
    result = {
        **facts("studio"),
        "style": style.name,
        "seconds": typed.seconds,
        "fps": typed.fps,
        "runs": runs,
    }
    headings = (
        "network, image",
        "trip p50/p95 ms",
        "aim ms",
        "network ms",
        "fps",
        "dropped",
        "server's core",
    )
    rows = [
        [
            f"{run['network']}, {run['image']}",
            f"{run['p50_ms']:.0f}/{run['p95_ms']:.0f}",
            f"{run['aim_p50_ms']:.0f}/{run['aim_p95_ms']:.0f}",
            *(run["network_ms"], run["shown_fps"], run["dropped"], f"{run['server_core']:.0%}"),
        ]
        for run in runs
    ]
    finish(result, table(f"{style.name}, camera of {typed.fps} fps", headings, rows), typed.save)
    return 0


def aims(size_wh: tuple[int, int], own_ms: float) -> dict[str, float]:
    """Return what the trip should take with a network that takes `own_ms`."""
    p50_ms, p95_ms = (round(ALLOWANCE * bare_ms + own_ms, 1) for bare_ms in BARE_MS[size_wh])
    return {"network_ms": round(own_ms, 1), "aim_p50_ms": p50_ms, "aim_p95_ms": p95_ms}


def network_ms(style: Style, backend: str, size_wh: tuple[int, int]) -> float:
    """Return the median time in milliseconds of the network alone, 0 for none."""
    if backend == "identity":
        return 0.0
    size = style_size(style.card, size_wh[1], size_wh[0])
    loaded = open_backend(backend, style, size).backend
    pixels = np.zeros((1, *size, 3), np.uint8)
    times = []
    for _ in range(CALLS):
        began_s = time.perf_counter()
        loaded.translate(pixels)
        times.append(1000 * (time.perf_counter() - began_s))
    loaded.close()
    return float(np.median(times))


@contextlib.contextmanager
def serving(style: Style, backend: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a studio in a process of its own; give its address and the process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rt", "studio", "--port", "0", "--backend", backend]
        process = subprocess.Popen(
            [*command, "--style", str(style.folder)],
            cwd=ROOT,
            env={**os.environ, "XDG_STATE_HOME": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if not said:
                raise SystemExit("the studio did not start; its reason stands above")
            yield said.strip().removeprefix("studio: open "), process
        finally:
            process.terminate()
            process.wait()


def visit(
    address: str, process: subprocess.Popen[str], size_wh: tuple[int, int], fps: int, seconds: float
) -> dict[str, Any]:
    """Open the page with a camera of this size and watch it; return what was found."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("the bench needs a browser; type: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1400, "height": 860})
        page.add_init_script(path=Path(__file__).with_name("barcode.js"))
        camera = f"barcode.start({size_wh[0]}, {size_wh[1]}, {fps}, {image(size_wh)!r})"
        page.add_init_script(f"navigator.mediaDevices.getUserMedia = () => {camera};")
        page.goto(address)
        page.wait_for_selector("#stage:not([data-empty])")
        page.keyboard.press("m")  # not mirrored
        page.keyboard.press("Space")  # after alone
        page.wait_for_timeout(1000 * WARM_S)
        page.evaluate("() => { barcode.read = []; barcode.unread = 0; }")
        dropped, busy_s, began_s = _dropped(page), cpu_s(process.pid), time.perf_counter()
        page.wait_for_timeout(1000 * seconds)
        took_s, busy_s = time.perf_counter() - began_s, cpu_s(process.pid) - busy_s
        read, unread = page.evaluate("() => [barcode.read, barcode.unread]")
        lost = _dropped(page) - dropped
        browser.close()
    if not read:
        raise SystemExit(f"no bar code could be read out of {unread} images")
    p50_ms, p95_ms = np.percentile([trip_ms for trip_ms, _ in read], (50, 95))
    return {
        "image": f"{size_wh[0]}x{size_wh[1]}",
        "p50_ms": round(float(p50_ms), 1),
        "p95_ms": round(float(p95_ms), 1),
        "shown_fps": round(len(read) / took_s, 1),
        "read": len(read),
        "unread": unread,
        "dropped": lost,
        "server_core": round(busy_s / took_s, 3),
    }


def _dropped(page: Any) -> int:
    return int(page.inner_text("#dropped").replace(",", "").replace("–", "0"))


def image(size_wh: tuple[int, int]) -> str:
    """Return the first image of the bundled clip, enlarged, as an address of its bytes."""
    with av.open(str(CLIP)) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
    large = np.asarray(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_CUBIC), np.uint8)
    return f"data:image/jpeg;base64,{base64.b64encode(encode_image(large, 'JPEG')).decode()}"


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


if __name__ == "__main__":
    sys.exit(main())
