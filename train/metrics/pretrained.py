"""KID and Gram distance: sets of images compared on pretrained features.

What the eye sees they see too, where figures of random features and of small classifiers were blind. They
are not comparable with the KID of papers, which is on the features of another network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from train.data.images import to_tensor
from train.errors import DataError
from train.metrics.distances import Images, squash
from train.metrics.translation import Measured, rounded
from train.nets.backbone import Backbone, Features, has_backbone, load_backbone

SIDE = 224
"""Images are looked at as squares of this side: the one the features were trained at."""
POOLED = (2, 4, 6)
"""Stages whose channels are averaged for KID."""
DISTANCES = ("kid", "gram")
"""Names of the distances; smaller is nearer."""
FEW = "too few images to judge"
ENOUGH = 8
"""Held-out images of each kind from which on these distances steer a run."""


@dataclass(frozen=True)
class Seen:
    """What a backbone saw in a set of images."""

    pooled: Tensor
    """float64[N, C]: mean of every channel of three stages."""
    grams: list[Tensor]
    """float32[C, C] for each layer of textures: the mean over the images."""


def gram(features: Tensor) -> Tensor:
    """Return float32[N, C, C]: products of the channels, averaged over all places.

    Source: Gatys et al. 2016, equation 3.
    """
    flat = features.float().flatten(2)  # [N, C, H*W]
    return flat @ flat.transpose(1, 2) / flat.shape[-1]


@torch.no_grad()
def look(images: Images, backbone: Backbone) -> Seen:
    """Return what is needed of images, uint8[H, W, 3] RGB each, to compare them with others.

    Raises:
        DataError: there are none.
    """
    if not images:
        raise DataError("no images to compare")
    pooled, grams = [], list[Tensor]()
    for rgb in images:
        features: Features = backbone(to_tensor(squash(rgb, SIDE))[None])
        pooled.append(torch.cat([features.stages[at].mean((2, 3))[0] for at in POOLED]).double())
        own = [gram(texture)[0] for texture in features.textures]
        grams = own if not grams else [total + one for total, one in zip(grams, own, strict=True)]
    return Seen(torch.stack(pooled), [total / len(images) for total in grams])


def kid(found: Seen, wanted: Seen, among: Tensor | None = None) -> float:
    """Unbiased squared MMD with a cubic kernel. Source: Binkowski et al. 2018, section 3.

    Args:
        found: one set.
        wanted: the other.
        among: float64[N, C], features whose mean and deviation all are scaled by; default: the wanted ones.

    Raises:
        DataError: either has fewer than two images.
    """
    n, m = len(found.pooled), len(wanted.pooled)
    if min(n, m) < 2:
        raise DataError(f"KID of {n} and {m} images: needed are 2 of each")
    among = wanted.pooled if among is None else among
    mean, scale = among.mean(0), among.std(0) + 1e-3
    x, y = (found.pooled - mean) / scale, (wanted.pooled - mean) / scale
    within_x, within_y, between = _cubic(x, x), _cubic(y, y), _cubic(x, y)
    return float(
        (within_x.sum() - within_x.trace()) / (n * (n - 1))
        + (within_y.sum() - within_y.trace()) / (m * (m - 1))
        - 2 * between.mean()
    )


def gram_distance(found: Seen, wanted: Seen) -> float:
    """Mean over the layers of the relative distance between both sets' mean Gram matrices."""
    pairs = zip(found.grams, wanted.grams, strict=True)
    return float(sum((a - b).norm() / b.norm() for a, b in pairs) / len(wanted.grams))


def measure_pretrained(
    inputs: Images, translated: Images, reals: Sequence[Any], backbone: Backbone
) -> dict[str, Any]:
    """Return `kid` and `gram`, each with floor and ceiling, and what they were measured with.

    One half of the reals is the reference, the other gives the floor; the inputs give the ceiling.

    Raises:
        DataError: there are fewer than 4 reals, or fewer than 2 images.
    """
    if len(reals) < 4 or len(translated) < 2:
        raise DataError(f"{len(translated)} images and {len(reals)} reals: needed are 2 and 4")
    wanted, held, translations, untouched = (
        look(some, backbone) for some in (reals[0::2], reals[1::2], translated, inputs)
    )
    # Views of one painting hardly differ: scaled by their own deviation every distance would be enormous.
    among = torch.cat([wanted.pooled, held.pooled, untouched.pooled])
    others = (translations, held, untouched)  # in the order of the fields of Measured
    found = {
        "kid": Measured(*(kid(one, wanted, among) for one in others)),
        "gram": Measured(*(gram_distance(one, wanted) for one in others)),
    }
    return {**rounded(found), "features": f"EfficientNet-{backbone.source.capitalize()}, ImageNet"}


def judges(metric: Mapping[str, Any]) -> bool:
    """Say whether a distance's floor lies below its ceiling: else the images are too few to judge by."""
    return float(metric["floor"]) < float(metric["ceiling"])


@cache
def judge() -> Backbone | None:
    """Return the backbone that judges, lite1, which no loss here is computed on; None where it is missing."""
    return load_backbone("lite1") if has_backbone("lite1") else None


def _cubic(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
