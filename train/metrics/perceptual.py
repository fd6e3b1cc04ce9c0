"""FID and LPIPS through torchmetrics, where it and its weights are there."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rt.frame import Rgb
from train.errors import DataError, RunError
from train.metrics.distances import Images
from train.metrics.translation import Measured, rounded

INCEPTION = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"


def measure_fid(inputs: Images, translated: Images, reals: Images, weights: Path) -> dict[str, Any]:
    """FID of the translations against the given reals; images of any sizes.

    Papers use two protocols that must not be mixed: fakes against test reals alone (CUT), and against train
    and test reals (GAN Compression). Which one this is, the caller chooses by `reals`. The floor is one half
    of the reals against the other: with fewer images FID is larger, so it lies above what a perfect
    translation would reach. Source: Heusel et al. 2017.

    Args:
        inputs: images before translation, whose FID is the ceiling.
        translated: the same images after it.
        reals: images of the target domain.
        weights: the Inception weights of torch-fidelity.

    Raises:
        RunError: torchmetrics or the weights are missing.
        DataError: there are fewer than 4 reals or 2 translations.
    """
    if len(reals) < 4 or len(translated) < 2:
        raise DataError(f"FID of {len(translated)} translations and {len(reals)} reals: needed are 2 and 4")
    metric = find_fid(weights).FrechetInceptionDistance(2048, feature_extractor_weights_path=str(weights))
    metric.set_dtype(torch.float64)
    pairs = ((translated, reals), (reals[0::2], reals[1::2]), (inputs, reals))
    return rounded({"fid": Measured(*(_fid(metric, found, wanted) for found, wanted in pairs))})


def measure_lpips(inputs: Images, translated: Images, wanted: Images) -> dict[str, Any]:
    """Mean LPIPS (AlexNet) between each translation and the image it should be; images from 32 px.

    The weights are looked for where torchvision keeps them. Source: Zhang et al. 2018.

    Raises:
        RunError: torchmetrics, torchvision or the weights are missing.
        DataError: there are not as many of each.
    """
    if not len(inputs) == len(translated) == len(wanted) > 0:
        raise DataError(f"LPIPS of {len(translated)} translations and {len(wanted)} wanted images: no pairs")
    metric = find_lpips().LearnedPerceptualImagePatchSimilarity("alex", normalize=True).eval()
    means = (_lpips(metric, found, wanted) for found in (translated, wanted, inputs))
    return rounded({"lpips": Measured(*means)})


def find_fid(weights: Path) -> ModuleType:
    """Return the module of torchmetrics that computes FID with these weights.

    Raises:
        RunError: torchmetrics or the weights are missing.
    """
    module = _torchmetrics("fid", "torchmetrics torch-fidelity")
    if not weights.is_file():
        raise RunError(f"no Inception weights {weights}: fetch {INCEPTION} once and give its path")
    _check_weights(weights)
    return module


def find_lpips() -> ModuleType:
    """Return the module of torchmetrics that computes LPIPS, its weights in their place.

    Raises:
        RunError: torchmetrics, torchvision or the weights are missing.
    """
    module = _torchmetrics("lpip", "torchmetrics torchvision")
    weights = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET.rpartition("/")[2]
    if not weights.is_file():
        raise RunError(f"no AlexNet weights {weights}: fetch {ALEXNET} once and put it there")
    return module


def _torchmetrics(name: str, packages: str) -> ModuleType:
    """Return a module of torchmetrics.image.

    Raises:
        RunError: one of the packages is missing.
    """
    try:
        for package in packages.split():
            importlib.import_module(package.replace("-", "_"))
        return importlib.import_module(f"torchmetrics.image.{name}")
    except ModuleNotFoundError as error:
        raise RunError(f"this metric needs {error.name}: type pip install {packages}") from None


def _check_weights(path: Path) -> None:
    """Load a file of weights and nothing else once: torch-fidelity would run code that lies in it."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError):
        raise RunError(f"{path} holds no weights, or more than weights: fetch {INCEPTION} again") from None


def _fid(metric: Any, found: Images, wanted: Images) -> float:
    metric.reset()
    for images, real in ((found, False), (wanted, True)):
        for rgb in images:
            metric.update(_batch(rgb), real=real)
    return float(metric.compute())


@torch.no_grad()
def _lpips(metric: Callable[[Tensor, Tensor], Tensor], found: Images, wanted: Images) -> float:
    pairs = zip(found, wanted, strict=True)
    return float(np.mean([float(metric(_batch(one) / 255, _batch(other) / 255)) for one, other in pairs]))


def _batch(rgb: Rgb) -> Tensor:
    """Return uint8[1, 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
