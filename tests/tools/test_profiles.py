"""An engine with an optimization profile, on paper."""

from __future__ import annotations

from pathlib import Path

from engines.onnx_model import read_onnx, with_fixed_shape
from tests.support.networks import save_residual
from tests.support.rtx import load_rtx
from tools.bench.profiles import build


def test_a_plan_for_any_size_holds_more_than_one_for_a_fixed_size(tmp_path: Path) -> None:
    trt, model = load_rtx(), read_onnx(save_residual(tmp_path / "residual.onnx"))
    fixed = build(trt, "sm89", with_fixed_shape(model, 1, (32, 48)).SerializeToString(), [], "fixed")
    span = (1, 16, 16, 3), (1, 32, 48, 3), (1, 64, 64, 3)
    spanning = build(trt, "sm89", model.SerializeToString(), [span], "one profile")
    assert 0 < fixed["operations"] < spanning["operations"]
    assert 0 < fixed["plan_mb"] < spanning["plan_mb"]
