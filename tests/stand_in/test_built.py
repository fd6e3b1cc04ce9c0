"""What `videobrush-engines build` makes, the backend finds and runs, bit for bit."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.compile import Order, build_engines, typed_model
from engines.profile import profile, profile_lines
from engines.quality import Network
from engines.store import write_engine
from engines.verify import verify
from rt.backends import open_backend
from rt.engine_file import EngineKey, read_engine
from rt.errors import BackendError
from rt.styles import find_style
from tests.stand_in.conftest import SIZE
from tests.stand_in.conftest import Network as Typed
from tests.support.cuda import StandIn
from tests.support.media import Clip, write_clip
from tests.support.networks import save_residual
from tests.support.onnx_styles import drawn_image, make_style
from tests.support.tensorrt.behaviour import make_plan


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


def test_the_layers_of_an_engine_are_profiled_with_every_version(
    trt: Any, tmp_path: Path, gpu: StandIn
) -> None:
    style = find_style(make_style(tmp_path, model=save_residual(tmp_path / "residual.onnx")))
    (made,) = build_engines(style, Order("fp16", SIZE), lambda what: nullcontext(lambda *step: None))
    found = profile(made.facts.key, read_engine(made.facts.key).plan)
    assert found.layers == (("/conv", 1.0), ("/relu", 0.5))
    assert found.total_ms == 1.5
    assert found.wall_ms > 0
    first, heading, *rows, last = profile_lines(made.path)
    assert first.startswith(f"{made.path}: 2 layers on Stand-in GPU, TensorRT ")
    assert heading.split() == ["layer", "ms", "share"]
    assert [row.split() for row in rows] == [
        ["/conv", "1.0000", "66.7", "%"],
        ["/relu", "0.5000", "33.3", "%"],
        ["all", "layers", "1.5000", "100.0", "%"],
    ]
    assert last.startswith("an image on the clock: ")
    assert gpu.held() == {}


def test_an_engine_of_another_gpu_is_not_profiled_and_everything_is_released(
    one: Any, gpu: StandIn, network: Typed
) -> None:
    plan = make_plan(one.__version__, network.model, (1, *SIZE, 3), compute_capability=89)
    key = EngineKey("drawn", "0" * 64, "fp16", *SIZE, "tensorrt", one.__version__, "sm89", "any")
    with pytest.raises(BackendError, match=r"^the engine cannot be profiled here: the engine is for sm89, "):
        profile(key, plan)
    assert gpu.held() == {}
