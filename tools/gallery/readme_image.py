"""Make README's moving image: the demo, smaller, as an animated WebP.

python -m tools.gallery.readme_image [--out README.webp]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

from rt.demo import STYLES, run_demo
from rt.pipeline import Stop

SIZE_WH = (480, 270)
STEP = 2
"""Every second frame: 12 a second."""
MOST_BYTES = 3_000_000


def main() -> int:
    """Make the image; exit status 1 where it is too large."""
    parser = argparse.ArgumentParser(description="Make README's moving image.")
    parser.add_argument("--out", type=Path, default=Path("README.webp"))
    parser.add_argument("--quality", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = run_demo(Path(folder), STYLES, "auto", None, False, Stop())
        with av.open(str(made.video)) as container:
            frames = [
                Image.fromarray(frame.to_ndarray(format="rgb24")).resize(SIZE_WH, Image.Resampling.LANCZOS)
                for number, frame in enumerate(container.decode(video=0))
                if number % STEP == 0
            ]
            rate = container.streams.video[0].average_rate
    assert rate is not None
    frames[0].save(
        given.out,
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 * STEP / rate),
        loop=0,
        quality=given.quality,
        method=4,
    )
    size = given.out.stat().st_size
    print(f"{given.out}: {size / 1e6:.2f} MB, {len(frames)} frames")
    return 0 if size <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
