"""FID and LPIPS: how they are asked for, and what is missing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from rt.frame import Rgb
from tests.support.drawings import make_domains
from tests.support.training import tiny, train_tiny
from train.config import CycleGan
from train.errors import DataError, RunError
from train.export import Export, export_style
from train.metrics.evaluate import HELD_OUT, PROTOCOLS, EvalSet, PerceptualMetrics, measure_style
from train.metrics.perceptual import measure_fid, measure_lpips


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

    def update(self, images: Tensor, real: bool) -> None:
        assert (images.dtype, images.shape) == (torch.uint8, (1, 3, 32, 40))
        self.levels[real].append(images.float().mean().item())

    def compute(self) -> float:
        return float((np.mean(self.levels[True]) - np.mean(self.levels[False])) ** 2)


class LevelDistance:
    """Has the calls of torchmetrics' LPIPS and gives the distance of two images' mean levels in [0, 1]."""

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
    with pytest.raises(DataError, match="LPIPS of 1 translations and 2 wanted images: no pairs"):
        measure_lpips(reals[:1], reals[:1], reals[:2])
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)  # as if not installed
    with pytest.raises(RunError, match="needs torch_fidelity: type pip install torchmetrics torch-fidelity"):
        measure_fid(reals, reals, reals, tmp_path)


@pytest.fixture
def weights(torchmetrics: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in the places of the weights, and the folder where the stand-ins look for them."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "inception.pth")
    return tmp_path / "inception.pth"


class Brighter(torch.nn.Module):
    """Adds ten levels."""

    def forward(self, image: Tensor) -> Tensor:
        return image + 10 / 127.5


def test_a_card_names_the_protocol_of_its_fid(weights: Path) -> None:
    held = EvalSet(flat(20, 20), HELD_OUT, reals=flat(30, 40, 30, 40))
    both = replace(held, train_reals=flat(50, 50, 50, 50))
    for eval_set, fid_reals, found in (
        (held, "test", {"translated": 25.0, "floor": 100.0, "ceiling": 225.0}),
        (both, "train+test", {"translated": 156.25, "floor": 25.0, "ceiling": 506.25}),
    ):
        measured = measure_style(Brighter(), eval_set, PerceptualMetrics(weights, fid_reals))  # type: ignore[arg-type]
        protocol = measured["fid"].pop("protocol")
        assert measured["fid"] == found
        count = len(eval_set.reals) + len(eval_set.train_reals)
        assert protocol == f"2 fakes against {count} {PROTOCOLS[fid_reals]}"  # type: ignore[index]
    measured = measure_style(
        Brighter(), replace(held, measured_on="training images"), PerceptualMetrics(weights)
    )
    assert "no paper's protocol: nothing was held out" in measured["fid"]["protocol"]
    with pytest.raises(
        DataError, match=r"--fid-reals train\+test: needed are trainA, trainB, testA and testB"
    ):
        measure_style(Brighter(), held, PerceptualMetrics(weights, "train+test"))
    with pytest.raises(DataError, match="--fid-weights: there are no images of the target domain"):
        measure_style(Brighter(), EvalSet(flat(1), HELD_OUT), PerceptualMetrics(weights))


def test_lpips_is_measured_against_pairs_and_the_teacher(weights: Path) -> None:
    eval_set = EvalSet(flat(0, 51), HELD_OUT, wanted=flat(10, 61), teacher=torch.nn.Identity())
    measured = measure_style(Brighter(), eval_set, PerceptualMetrics(lpips=True))
    assert measured["lpips"]["translated"] == 0.0
    assert measured["lpips"]["protocol"] == "AlexNet, 2 pairs"
    assert measured["lpips_teacher"]["translated"] == round(10 / 255, 4)
    with pytest.raises(DataError, match="--lpips: there are neither pairs nor a teacher"):
        measure_style(Brighter(), EvalSet(flat(1), HELD_OUT), PerceptualMetrics(lpips=True))


def test_what_a_metric_lacks_is_said_before_anything_is_exported(torchmetrics: None, tmp_path: Path) -> None:
    make_domains(tmp_path / "data", size=(36, 40))
    config = tiny(CycleGan, tmp_path / "data", tmp_path / "run", steps=1)
    train_tiny(config)
    said: list[str] = []
    with pytest.raises(RunError, match="no Inception weights nowhere"):
        export_style(Export(run=config.run, name="x", size=32, fid_weights=Path("nowhere")), said.append)
    assert said == []
    assert not (config.run / "x").exists()
