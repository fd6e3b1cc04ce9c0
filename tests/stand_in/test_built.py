"""What `videobrush-engines build` makes, the backend finds and runs, bit for bit."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.compile import Order, build_engines, typed_model
from engines.quality import Network
from engines.store import write_engine
from engines.verify import verify
from rt.backends import open_backend
from rt.styles import find_style
from tests.stand_in.conftest import SIZE
from tests.support.media import Clip, write_clip
from tests.support.networks import save_residual
from tests.support.onnx_styles import drawn_image, make_style


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_that_was_built_is_found_and_gives_the_typed_network_s_images(
    trt: Any, tmp_path: Path, precision: str
) -> None:
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    (made,) = build_engines(style, Order(precision, SIZE), lambda what: nullcontext(lambda *step: None))
    assert made.facts.key.runtime_version == trt.__version__
    backend = open_backend("tensorrt", style, SIZE, precision).backend
    assert backend.info.device.endswith(", 1 image in flight, CUDA graph)")
    typed, _ = typed_model(style, precision)
    image = drawn_image(*SIZE)
    assert np.array_equal(backend.translate(image[None])[0], Network(typed).translate(image))
    backend.close()


def test_verify_runs_the_engine_of_this_gpu_and_passes_over_another_s(one: Any, tmp_path: Path) -> None:
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    (made,) = build_engines(style, Order("fp16", SIZE), lambda what: nullcontext(lambda *step: None))
    other = replace(made.facts.key, device="another GPU")
    foreign = write_engine(other, b"plan", "model.onnx", 1.0, {})
    clip = write_clip(tmp_path / "clip.mp4", Clip(frames=3))
    verdicts = {verdict.what.split()[0]: verdict for verdict in verify(style, "fp16", (str(clip),), 3, None)}
    engine = verdicts[made.path.name]
    assert engine.comparison is not None
    assert 50 < engine.comparison.psnr_db < 100
    assert " on GPU (" in engine.what
    assert str(verdicts[foreign.name]).startswith(f"{foreign.name}: not run: it is for sm86 another GPU ")
