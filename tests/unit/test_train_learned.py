"""FID and LPIPS: how they are asked for, and what is said where something is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from rt.frame import Rgb
from train.errors import DataError, RunError
from train.learned import measure_fid, measure_lpips


def flat(*levels: int) -> list[Rgb]:
    return [np.full((32, 40, 3), level, np.uint8) for level in levels]


class MeanDistance:
    """Has the calls of torchmetrics' FID and gives the squared distance of the sets' mean levels."""

    def __init__(self, feature: int, feature_extractor_weights_path: str) -> None:
        assert (feature, Path(feature_extractor_weights_path).is_file()) == (2048, True)
        self.levels: dict[bool, list[float]] = {}

    def set_dtype(self, dtype: torch.dtype) -> None:
        assert dtype == torch.float64

    def reset(self) -> None:
        self.levels = {True: [], False: []}

    def update(self, pictures: Tensor, real: bool) -> None:
        assert (pictures.dtype, pictures.shape) == (torch.uint8, (1, 3, 32, 40))
        self.levels[real].append(pictures.float().mean().item())

    def compute(self) -> float:
        return float((np.mean(self.levels[True]) - np.mean(self.levels[False])) ** 2)


class LevelDistance:
    """Has the calls of torchmetrics' LPIPS and gives the distance of two pictures' mean levels in [0, 1]."""

    def __init__(self, net_type: str, normalize: bool) -> None:
        assert (net_type, normalize) == ("alex", True)

    def eval(self) -> LevelDistance:
        return self

    def __call__(self, found: Tensor, wanted: Tensor) -> Tensor:
        assert found.max() <= 1.0
        return (found.mean() - wanted.mean()).abs()


@pytest.fixture
def torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the packages, which the tests do not need."""
    fid, lpip = ModuleType("torchmetrics.image.fid"), ModuleType("torchmetrics.image.lpip")
    fid.FrechetInceptionDistance = MeanDistance  # type: ignore[attr-defined]
    lpip.LearnedPerceptualImagePatchSimilarity = LevelDistance  # type: ignore[attr-defined]
    names = ("torchmetrics", "torch_fidelity", "torchvision", "torchmetrics.image")
    for name, module in (
        *((name, ModuleType(name)) for name in names),
        (fid.__name__, fid),
        (lpip.__name__, lpip),
    ):
        monkeypatch.setitem(sys.modules, name, module)


def test_fid_is_given_between_the_halves_of_the_reals_and_the_inputs(
    torchmetrics: None, tmp_path: Path
) -> None:
    torch.save({"fc.weight": torch.zeros(2)}, weights := tmp_path / "inception.pth")
    measured = measure_fid(flat(100, 100), flat(12, 12), flat(10, 20, 10, 20), weights)
    assert measured == {"fid": {"translated": 9.0, "floor": 100.0, "ceiling": 85.0**2}}


def test_lpips_is_the_mean_over_pairs(
    torchmetrics: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        RunError, match=r"no AlexNet weights .*checkpoints/alexnet-owt-7be5be79\.pth: fetch https"
    ):
        measure_lpips(flat(0), flat(0), flat(0))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    measured = measure_lpips(flat(255, 0), flat(51, 0), flat(0, 0))
    assert measured == {"lpips": {"translated": 0.1, "floor": 0.0, "ceiling": 0.5}}


def test_what_is_missing_is_named_with_what_to_type(
    torchmetrics: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reals = flat(1, 2, 3, 4)
    with pytest.raises(RunError, match="no Inception weights nowhere: fetch https://github.com/toshas"):
        measure_fid(reals, reals, reals, Path("nowhere"))
    torch.save(torch.nn.Linear(1, 1), tmp_path / "code.pth")
    with pytest.raises(RunError, match=r"code\.pth holds no weights, or more than weights"):
        measure_fid(reals, reals, reals, tmp_path / "code.pth")
    with pytest.raises(DataError, match="FID of 1 translations and 4 reals: needed are 2 and 4"):
        measure_fid(reals[:1], reals[:1], reals, tmp_path)
    with pytest.raises(DataError, match="LPIPS of 1 translations and 2 wanted pictures: no pairs"):
        measure_lpips(reals[:1], reals[:1], reals[:2])
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)  # as if not installed
    with pytest.raises(RunError, match="needs torch_fidelity: type pip install torchmetrics torch-fidelity"):
        measure_fid(reals, reals, reals, tmp_path)
