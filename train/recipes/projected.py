"""Projected: one generator, unpaired images, a judge of pretrained features, no way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from rt.frame import Rgb
from train.config import Projected
from train.data.feed import Batch, Feed, seeded
from train.data.folders import open_unpaired
from train.data.images import ImageSet, to_tensor
from train.data.warp import disturb, draw_flow, inside, warp
from train.device import World
from train.load import best_checkpoint, generator_from, load_generator
from train.metrics.distances import sliced_wasserstein
from train.metrics.pretrained import gram, judge, measure_pretrained
from train.nets.backbone import Features, load_backbone
from train.nets.projected import ProjectedDiscriminator
from train.recipes.base import SHOWN, Aim, Base, Losses, check_crop, set_trainable, stack_rows
from train.recipes.losses import critic_generator, grid, hinge_discriminator
from train.report.sheet import Sheet

WARM_STEPS = 60
"""Steps in which the discriminator learns alone: a new one sends the generator anywhere."""
LONGEST_STEP = 5.0
"""Norm that longer gradients are cut to."""
TEXTURE_VIEWS = 128
"""Crops of B that its mean Gram matrices are taken from."""
STEM_SHARE = 0.3
"""Weight of the finest features among those whose Gram matrices are compared."""
PLACES = 100
"""Places of an image whose likeness to all others is compared."""
SHRUNK = 16
"""How much images are shrunk before their colours are compared."""
BLACK, DIM = 0.05, 0.12
"""Luminance, in [0, 1], below which an image is black, and from which on it is not dark."""
FLOW_PX, SHIFT_PX, ZOOM = 3.0, 4.0, 0.02
STILL, WHOLE = 0.15, 0.35
"""Shares of the motions that are none, and that are whole pixels: what those give is not blurred."""


class ProjectedRecipe(Base):
    """Nets, optimisers and the step of the projected GAN in one direction.

    What an image shows is held by the likeness of its places to each other, in pretrained features of two
    scales. The brush comes from the judge and from the mean Gram matrices of B.
    """

    aim = Aim("kid", "lower")

    def __init__(self, config: Projected, world: World) -> None:
        super().__init__(config, world)
        self.config = config
        self.generator = self.add("G", generator_from(config.network_facts))
        check_crop(self.generator, config, config.generator)
        self.backbone = load_backbone(config.backbone).to(self.device)
        self.judge = self.add("D", ProjectedDiscriminator(load_backbone(config.backbone)))
        self.to_B = self.add_average("G")
        self.optimizer_G = self.add_adam("optimizer_G", self.generator, beta2=0.99)
        self.optimizer_D = self.add_adam("optimizer_D", self.judge, beta2=0.99)
        feed = open_unpaired(config, int(self.generator.multiple))  # type: ignore[arg-type]
        self.feed: Feed = feed
        self.anchor: nn.Module | None = None
        if config.anchor is not None:
            anchor, _ = load_generator(best_checkpoint(config.anchor), "AtoB")
            self.anchor = anchor.requires_grad_(False).to(self.device)
            check_crop(self.anchor, config, "the anchor")
        self.wanted = self._mean_grams(feed.set_B)

    def follow_schedule(self, progress: float) -> None:
        """Set the step size of both optimisers."""
        super().follow_schedule(progress)
        for group in self.optimizer_D.param_groups:
            group["lr"] *= self.config.discriminator_rate / self.config.learning_rate

    def step(self, batch: Batch) -> Losses:
        """Update the generator, after the first steps, then the discriminator, from images `A` and `B`."""
        self.follow_schedule(batch.progress)
        parts, fakes = batch.parts(self.config.accumulate), list[list[Tensor]]()
        if batch.number < WARM_STEPS:
            for part in parts:
                with torch.no_grad(), self.autocast():
                    fake = self.generator(part["A"])
                fakes.append(self._look(fake.float()).stages)
            losses = Losses()
        else:
            set_trainable((self.judge,), False)
            losses = self.descend(
                self.optimizer_G, parts, partial(self._generator, batch, fakes), LONGEST_STEP
            )
            set_trainable((self.judge,), True)
        for number, part in enumerate(parts):
            part["number"] = torch.tensor(number)
        losses |= self.descend(self.optimizer_D, parts, partial(self._discriminator, fakes))
        return self.finish(batch, losses)

    def equivariance_weight(self, progress: float) -> float:
        """Weight of the equivariance loss: from its start to its end over the first three tenths."""
        start, end = self.config.equivariance_weight, self.config.equivariance_weight_end
        return start + (end - start) * min(1.0, progress / 0.3)

    def _generator(
        self, batch: Batch, fakes: list[list[Tensor]], part: Mapping[str, Tensor]
    ) -> tuple[Losses, Tensor]:
        assert batch.rng is not None
        config, real = self.config, part["A"]
        flow = draw_motion(len(real), real.shape[-2], real.shape[-1], batch.rng).to(real.device)
        seen = disturb(warp(real, flow, "bicubic").clamp(-1, 1), batch.rng)
        with self.autocast():  # no layer mixes images of a batch: one pass for both
            fake, moved = self.generator(torch.cat([real, seen])).float().chunk(2)
        features = self._look(fake)
        fakes.append([stage.detach() for stage in features.stages])
        with torch.no_grad():
            before = self._look(real)
        dark, change = darkness(real), fake - real
        losses = {
            "G": torch.stack([critic_generator(logits) for logits in self.judge(features.stages)]).mean(),
            "content": self_similarity(features, before, batch.rng),
            "gram": self._to_texture(features),
            "grid": grid(change) + 0.5 * grid(change, 8, 4),
            "dark": (change.abs() * dark).mean(),
        }
        total = (
            config.adversarial_weight * losses["G"]
            + config.content_weight * losses["content"]
            + config.gram_weight * losses["gram"]
            + config.grid_weight * losses["grid"]
            + config.dark_weight * losses["dark"]
        )
        if weight := self.equivariance_weight(batch.progress):
            mask = inside(flow)
            error = (moved - warp(fake, flow, "bicubic").clamp(-1, 1)).abs() * mask
            losses["equivariance"] = error.sum() / (mask.sum() * real.shape[1]).clamp_min(1.0)
            total = total + weight * losses["equivariance"]
        if config.low_weight:
            losses["low"] = (nnf.avg_pool2d(fake, SHRUNK) - self._held_colours(real)).abs().mean()
            total = total + config.low_weight * losses["low"]
        return losses, total

    @torch.no_grad()
    def _held_colours(self, real: Tensor) -> Tensor:
        """Return float32[N, 3, H/16, W/16]: the colours to be kept, the input's or the anchor's."""
        if self.anchor is None:
            return nnf.avg_pool2d(real, SHRUNK)
        with self.autocast():
            return nnf.avg_pool2d(self.anchor(real).float(), SHRUNK)

    def _discriminator(self, fakes: list[list[Tensor]], part: Mapping[str, Tensor]) -> tuple[Losses, Tensor]:
        with torch.no_grad():
            real = self._look(part["B"])
        pairs = zip(self.judge(real.stages), self.judge(fakes[int(part["number"])]), strict=True)
        loss = torch.stack([hinge_discriminator(*logits) for logits in pairs]).mean()
        return {"D": loss}, loss

    def _look(self, images: Tensor) -> Features:
        """Return what the backbone sees; on a CPU in float32, where its narrow convolutions are as fast."""
        if self.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                found: Features = self.backbone(images, 5)
                return found
        with self.autocast():
            return self.backbone(images, 5)  # type: ignore[no-any-return]

    def _to_texture(self, features: Features) -> Tensor:
        """Return how far the batch's mean Gram matrices are from those of B."""
        terms = []
        for number, (texture, wanted) in enumerate(zip(features.textures, self.wanted, strict=True)):
            term = (gram(texture).mean(0) - wanted).square().mean() / wanted.square().mean()
            terms.append(STEM_SHARE * term if number == 0 else term)
        return torch.stack(terms).sum()

    @torch.no_grad()
    def _mean_grams(self, images: ImageSet) -> list[Tensor]:
        """Return float32[C, C] per layer of textures: the mean over crops of B."""
        rng, total = seeded(self.config.seed, "textures"), list[Tensor]()
        for number in range(TEXTURE_VIEWS):
            crop = images.crop(number * len(images) // TEXTURE_VIEWS, self.config.crop_size, rng)
            textures = self._look(to_tensor(crop)[None].to(self.device)).textures
            found = [gram(texture)[0] / TEXTURE_VIEWS for texture in textures]
            total = [a + b for a, b in zip(total, found, strict=True)] if total else found
        return total

    def sheet(self) -> Sheet:
        """Return rows of real_A, fake_B and, for comparison, real_B."""
        reals = list(self.feed.held["A"][:SHOWN])
        rows: dict[str, Sequence[Rgb]] = {"real_A": reals, "fake_B": self.translate(self.to_B, reals)}
        if self.anchor is not None:
            rows["anchor"] = self.translate(self.anchor, reals)
        return stack_rows({**rows, "real_B": list(self.feed.held["B"])})

    def translations(self) -> dict[str, tuple[nn.Module, Sequence[Rgb]]]:
        """Return the averaged generator with held images."""
        return {"A to B": (self.to_B, self.feed.held["A"])}

    def validate(self) -> dict[str, Any] | None:
        """Return KID and Gram distance to B, sliced Wasserstein distance beside, and the steadiness."""
        inputs, reals = (list(self.feed.held[domain]) for domain in "AB")
        if min(len(inputs), len(reals)) < 4:
            return None
        fakes = self.translate(self.to_B, inputs)
        metrics = measure_pretrained(inputs, fakes, reals, judge() or self.backbone)
        half = min(len(reals[0::2]), len(inputs))
        metrics["swd"] = {
            "translated": sliced_wasserstein(fakes[:half], reals[0::2]),
            "floor": sliced_wasserstein(reals[1::2], reals[0::2]),
            "ceiling": sliced_wasserstein(inputs[:half], reals[0::2]),
        }
        return metrics | self.steadiness(self.to_B, inputs)


def self_similarity(found: Features, before: Features, rng: torch.Generator) -> Tensor:
    """Return how much the likeness of places to each other changed, in features of 8 and of 16 px.

    Colours and strokes may change everywhere; what was one thing has to stay one thing. Source of the idea:
    Kolkin et al. 2019 (STROTSS), section 2.2.
    """
    terms = []
    for stage in (2, 3):
        places = found.stages[stage].shape[-2] * found.stages[stage].shape[-1]
        rows = torch.randperm(places, generator=rng)[:PLACES].to(found.stem.device)
        one, other = (_likeness(features.stages[stage], rows) for features in (found, before))
        terms.append((one - other).abs().mean())
    return torch.stack(terms).sum()


def _likeness(stage: Tensor, rows: Tensor) -> Tensor:
    """Return float32[N, rows, H*W]: cosines between the features of some places and of all."""
    centred = stage.float() - stage.float().mean((2, 3), keepdim=True)
    flat = nnf.normalize(centred, dim=1).flatten(2)  # [N, C, H*W]
    return flat[:, :, rows].transpose(1, 2) @ flat


def darkness(images: Tensor) -> Tensor:
    """Return float32[N, 1, H, W]: 1 where an image is black over 9×9 px, 0 from a dim gray on."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    luminance = (0.5 * images + 0.5).mul(weights).sum(1, keepdim=True)
    mean = nnf.avg_pool2d(nnf.pad(luminance, (4, 4, 4, 4), mode="reflect"), 9, 1)
    return ((DIM - mean) / (DIM - BLACK)).clamp(0, 1)


def draw_motion(count: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Draw a motion for each image: none, whole pixels, or a smooth flow; float32[N, 2, H, W] in px."""
    flow = draw_flow(count, height, width, rng, sigma_px=FLOW_PX, shift_px=SHIFT_PX, zoom=ZOOM)
    kinds = torch.rand(count, generator=rng)
    reach = int(SHIFT_PX)
    steps = torch.randint(-reach, reach + 1, (count, 2, 1, 1), generator=rng).float()
    for number, kind in enumerate(kinds.tolist()):
        if kind < STILL:
            flow[number] = 0
        elif kind < STILL + WHOLE:
            flow[number] = steps[number]
    return flow
