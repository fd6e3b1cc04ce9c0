"""One painting becomes a style: baked into convolutions, then trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

from rt.card import file_sha256
from rt.frame import Rgb
from train.config import Paint
from train.data.feed import Batch, Feed
from train.data.folders import open_photos
from train.data.images import to_tensor
from train.data.paintings import painted_views, read_frames, read_paintings, squares
from train.data.warp import disturb, draw_flow, inside, warp
from train.device import World
from train.metrics.pretrained import gram, judge, measure_pretrained
from train.nets.arbitrary import STYLE_PX, Predictor, load_arbitrary
from train.nets.arbitrary import WEIGHTS as STROKE_WEIGHTS
from train.nets.backbone import Features, load_backbone
from train.nets.strokes import Strokes, from_style
from train.recipes.base import SHOWN, Aim, Base, Losses, check_crop, stack_rows
from train.report.sheet import Sheet

SHRUNK = 8
"""How much both images are shrunk before their colours are compared."""
FLOW_PX, SHIFT_PX, ZOOM = 4.0, 5.0, 0.02
NOISE = 0.01
"""Largest deviation of the noise on what is painted, of [0, 1]."""
LONGEST_STEP = 2.0
"""Norm that longer gradients are cut to."""
SCRATCH_RATE = 4.0
"""--from-scratch learns so many times as fast."""
SMOOTH_WEIGHT = 0.02
"""Weight of the total variation --from-scratch."""


class PaintRecipe(Base):
    """Generator and the step of its training.

    The strokes start as the arbitrary-style network with the painting built in, which stays beside them as
    the teacher: low frequencies, features and each image's Gram matrices are held to it, the batch's Gram
    matrices to the painting. Untrained it flickers; the loss of equivariance takes that away.
    """

    aim = Aim("gram", "lower")

    def __init__(self, config: Paint, world: World) -> None:
        super().__init__(config, world)
        self.config = config
        self.feed: Feed = open_photos(config, Strokes.multiple)
        paintings = read_paintings(config.data)
        self.facts = {"paintings": len(paintings), "painting": _checksum(config)}
        if config.from_scratch:
            self.teacher, start = None, Strokes()
        else:
            start = bake(config, paintings, self.feed.held["A"])
            self.teacher = start.requires_grad_(False).to(self.device)
            self.facts["weights"] = dict(STROKE_WEIGHTS)
        self.strokes = self.add("G", Strokes())
        self.strokes.load_state_dict(start.state_dict())
        self.to_B = self.add_average("G")
        self.optimizer = self.add_adam("optimizer_G", self.strokes)
        self.paintings = painted_views(paintings, config.scale)
        if config.trains:
            check_crop(self.strokes, config, "strokes")
            self.backbone = load_backbone(config.backbone).to(self.device)
            self.wanted = self._mean_grams()

    def learning_rate(self, progress: float) -> float:
        """Adam's step size at a point of the run."""
        return super().learning_rate(progress) * (SCRATCH_RATE if self.config.from_scratch else 1.0)

    def step(self, batch: Batch) -> Losses:
        """Update the strokes once, from photos `A`."""
        self.follow_schedule(batch.progress)
        parts = batch.parts(self.config.accumulate)
        losses = self.descend(self.optimizer, parts, partial(self._losses, batch), LONGEST_STEP)
        return self.finish(batch, losses)

    def _losses(self, batch: Batch, part: Mapping[str, Tensor]) -> tuple[Losses, Tensor]:
        assert batch.rng is not None
        config, photo = self.config, part["A"]
        with self.autocast():
            found = self.strokes(disturb(photo, batch.rng, noise=NOISE)).float()
            features = self.backbone(found, 5)
        grams = [gram(texture) for texture in features.textures]
        held = self._to_teacher if self.teacher is not None else self._to_photo
        losses, total = held(photo, found, features, grams)
        losses["painting"] = torch.stack(
            [_relative_square(one.mean(0), wanted) for one, wanted in zip(grams, self.wanted, strict=True)]
        ).sum()
        weight = config.painting_weight if self.teacher is not None else 1.0
        total = total + weight * losses["painting"]
        if config.equivariance_weight:
            losses["equivariance"] = self._unsteadiness(photo, found, batch.rng)
            total = total + config.equivariance_weight * losses["equivariance"]
        return losses, total

    def _to_teacher(
        self, photo: Tensor, found: Tensor, features: Features, grams: list[Tensor]
    ) -> tuple[Losses, Tensor]:
        """Return what holds the strokes to the untrained style."""
        assert self.teacher is not None
        with torch.no_grad(), self.autocast():
            taught = self.teacher(photo).float()
            seen = self.backbone(taught, 5)
        wanted = [gram(texture) for texture in seen.textures]
        losses = {
            "low": (nnf.avg_pool2d(found, SHRUNK) - nnf.avg_pool2d(taught, SHRUNK)).abs().mean(),
            "features": _mean(
                [_relative_l1(*pair) for pair in zip(_held(features), _held(seen), strict=True)]
            ),
            "gram": torch.stack([_relative_square(*pair) for pair in zip(grams, wanted, strict=True)]).sum(),
        }
        config = self.config
        return losses, (
            config.low_weight * losses["low"]
            + config.feature_weight * losses["features"]
            + config.gram_weight * losses["gram"]
        )

    def _to_photo(
        self, photo: Tensor, found: Tensor, features: Features, grams: list[Tensor]
    ) -> tuple[Losses, Tensor]:
        """Return what holds the strokes to the photo where there is no teacher.

        Each image's Gram matrices are held to the painting's, not only the batch's: else one image takes all
        of its dark, another all of its light. Source: Johnson et al. 2016.
        """
        with torch.no_grad(), self.autocast():
            seen = self.backbone(photo, 5)
        across, down = (found.diff(dim=axis).abs().mean() for axis in (3, 2))
        losses = {
            "features": _relative_square(features.stages[2], seen.stages[2]),
            "gram": torch.stack(
                [_relative_square(one, wanted[None]) for one, wanted in zip(grams, self.wanted, strict=True)]
            ).sum(),
            "smooth": across + down,
        }
        config = self.config
        return losses, (
            config.feature_weight * losses["features"]
            + config.gram_weight * losses["gram"]
            + SMOOTH_WEIGHT * losses["smooth"]
        )

    def _unsteadiness(self, photo: Tensor, found: Tensor, rng: torch.Generator) -> Tensor:
        """Return |G(W x + n) - W G(x)| over what W takes from inside, of two of the photos."""
        photo, found = photo[:2], found[:2]
        height, width = photo.shape[-2:]
        flow = draw_flow(len(photo), height, width, rng, sigma_px=FLOW_PX, shift_px=SHIFT_PX, zoom=ZOOM).to(
            photo.device
        )
        with self.autocast():
            moved = self.strokes(disturb(warp(photo, flow), rng)).float()
        error: Tensor = ((moved - warp(found, flow)).abs() * inside(flow)).mean()
        return error

    @torch.no_grad()
    def _mean_grams(self) -> list[Tensor]:
        """Return float32[C, C] per layer of textures: the mean over all views of the paintings."""
        found = [
            [gram(texture)[0] for texture in self.backbone(self.tensors([view]), 5).textures]
            for view in self.paintings
        ]
        return [torch.stack(layer).mean(0) for layer in zip(*found, strict=True)]

    def sheet(self) -> Sheet:
        """Return rows of the photo, the untrained and the trained style."""
        photos = list(self.feed.held["A"][:SHOWN])
        rows = {"photo": photos}
        if self.teacher is not None and self.config.trains:
            rows["untrained"] = self.translate(self.teacher, photos)
        return stack_rows({**rows, "style": self.translate(self.to_B, photos)})

    def validate(self) -> dict[str, Any] | None:
        """Return KID and Gram distance to the paintings, and the warping error; None without training."""
        if not self.config.trains:
            return None
        photos = list(self.feed.held["A"])[:24]
        painted = self.translate(self.to_B, photos)
        backbone = judge() or load_backbone(self.config.backbone)
        return measure_pretrained(photos, painted, self.paintings, backbone) | self.steadiness(
            self.to_B, photos
        )


@torch.no_grad()
def bake(config: Paint, paintings: Sequence[Rgb], photos: Sequence[Rgb]) -> Strokes:
    """Return the arbitrary-style network with the paintings built in, as plain convolutions.

    Args:
        config: settings; what they say of scale, strength and frames is done.
        paintings: uint8[H, W, 3] RGB each; their vectors are averaged.
        photos: of the statistics, where no frames are given; squares of one size.

    Raises:
        RunError: the package with the weights is missing.
        DataError, SourceError: the frames cannot be read.
    """
    style, predict = load_arbitrary(), Predictor()
    shown = list(photos)
    if config.frames is not None:
        shown = [_cropped(rgb) for rgb in read_frames(config.frames, config.size)]
    vectors = [
        torch.stack([predict.vector(square) for square in squares(painting, STYLE_PX, config.scale)]).mean(0)
        for painting in paintings
    ]
    vector = torch.stack(vectors).mean(0)
    if config.strength < 1:
        plain = torch.stack([predict.vector(rgb) for rgb in shown]).mean(0)
        vector = torch.lerp(plain, vector, config.strength)
    style.vector.copy_(vector)
    style.soften()
    style.fix_statistics([to_tensor(rgb)[None] for rgb in shown])
    return from_style(style)


def _cropped(rgb: Rgb) -> Rgb:
    height, width = (side - side % Strokes.multiple for side in rgb.shape[:2])
    return rgb[:height, :width]


def _checksum(config: Paint) -> str:
    """Return what tells this painting, or folder of paintings, from others."""
    if config.data.is_file():
        return file_sha256(config.data)
    return " ".join(sorted(path.name for path in config.data.iterdir()))


def _held(features: Features) -> list[Tensor]:
    """Return the features that the content of an image is compared by."""
    return [features.stem, *features.stages[:3]]


def _relative_l1(found: Tensor, wanted: Tensor) -> Tensor:
    return (found.float() - wanted.float()).abs().mean() / wanted.float().abs().mean()


def _relative_square(found: Tensor, wanted: Tensor) -> Tensor:
    return (found.float() - wanted.float()).square().mean() / wanted.float().square().mean()


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()
