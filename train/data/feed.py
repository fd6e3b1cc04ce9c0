"""From image sets to batches: which image is next, cut how, with which noise.

Sample number p of a run is the same whenever and wherever it is drawn: its place in the order comes from
(seed, epoch), its crop and noise from (seed, p). Nothing has to be saved to continue a run exactly, and
several processes share a batch by drawing neighbouring numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rt.frame import Rgb
from train.config import Training
from train.data.images import ImageSet
from train.device import World

Sample = dict[str, npt.NDArray[Any]]
"""Images uint8[H, W, 3] RGB, noise float32[Z], classes int64[], by name."""


class Feed(Protocol):
    """Where a recipe's samples come from."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Images by folder, for the card."""
        ...

    @property
    def held(self) -> Mapping[str, Sequence[Rgb]]:
        """Images for sheets and validation by name, squares of one size."""
        ...

    @property
    def length(self) -> int:
        """Samples of one epoch."""
        ...

    def draw(self, position: int, rng: torch.Generator) -> Sample:
        """Return sample number `position` of the run, its randomness from `rng`."""
        ...


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    tensors: Mapping[str, Tensor]
    """Images float32[N, 3, H, W] in [-1, 1], noise float32[N, Z], classes int64[N], by name."""
    number: int = 0
    """Number of this step, from 0."""
    progress: float = 0.0
    """How much of the run is done, in [0, 1]."""
    rng: torch.Generator | None = None
    """Randomness of this step in this process: pools, augmentation, flow."""

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def parts(self, count: int) -> list[dict[str, Tensor]]:
        """Return the tensors in `count` equal parts along N."""
        split = {name: tensor.chunk(count) for name, tensor in self.tensors.items()}
        return [{name: chunks[index] for name, chunks in split.items()} for index in range(count)]


def seeded(*key: object) -> torch.Generator:
    """Return a generator of its own for every key, on the CPU."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


class Order:
    """The order of a set's images: every epoch its own permutation."""

    def __init__(self, count: int, *key: object) -> None:
        self.count, self.key = count, key
        self._drawn: tuple[int, list[int]] = (-1, [0])

    def at(self, position: int) -> int:
        """Return the number of the image at a position of the run; safe from several threads."""
        epoch, place = divmod(position, self.count)
        drawn = self._drawn
        if epoch != drawn[0]:
            permutation: list[int] = torch.randperm(self.count, generator=seeded(*self.key, epoch)).tolist()
            self._drawn = drawn = (epoch, permutation)
        return drawn[1][place]


class UnpairedFeed:
    """One crop of A and one of B; the shorter set is gone through more often."""

    def __init__(
        self, config: Training, set_A: ImageSet, set_B: ImageSet, held: Mapping[str, Sequence[Rgb]]
    ) -> None:
        self.config, self.set_A, self.set_B, self.held = config, set_A, set_B, held
        self.counts = {"trainA": len(set_A), "trainB": len(set_B)}
        self.order_A = Order(len(set_A), config.seed, "A")
        self.order_B = Order(len(set_B), config.seed, "B")

    @property
    def length(self) -> int:
        """Samples of one epoch: images of the larger set."""
        return max(len(self.set_A), len(self.set_B))

    def draw(self, position: int, rng: torch.Generator) -> Sample:
        """Return crops `A` and `B`."""
        size, flip = self.config.crop_size, self.config.flip
        return {
            "A": self.set_A.crop(self.order_A.at(position), size, rng, flip),
            "B": self.set_B.crop(self.order_B.at(position), size, rng, flip),
        }


class PairedFeed:
    """The same crop of an input and of its wanted image."""

    def __init__(
        self,
        config: Training,
        inputs: ImageSet,
        wanted: ImageSet,
        held: Mapping[str, Sequence[Rgb]],
        z: int,
        folder: str,
    ) -> None:
        self.config, self.inputs, self.wanted, self.held, self.z = config, inputs, wanted, held, z
        self.counts = {folder: len(inputs)}
        self.order = Order(len(inputs), config.seed, "pairs")

    @property
    def length(self) -> int:
        """Samples of one epoch: the pairs."""
        return len(self.inputs)

    def draw(self, position: int, rng: torch.Generator) -> Sample:
        """Return crops `A` (the input) and `B` (wanted) at one place, and noise `z` where there is any."""
        number, state = self.order.at(position), rng.get_state()
        sample: Sample = {"A": self.inputs.crop(number, self.config.crop_size, rng, self.config.flip)}
        rng.set_state(state)  # the same place for both
        sample["B"] = self.wanted.crop(number, self.config.crop_size, rng, self.config.flip)
        return sample | _noise(self.z, rng)


class NoiseFeed:
    """A crop of an image, noise for a generated one, and the image's class where there are classes."""

    def __init__(
        self,
        config: Training,
        images: ImageSet,
        held: Mapping[str, Sequence[Rgb]],
        z: int,
        counts: Mapping[str, int],
        classes: Sequence[int] = (),
    ) -> None:
        self.config, self.images, self.held, self.z, self.classes = config, images, held, z, classes
        self.counts = counts
        self.order = Order(len(images), config.seed, "pictures")  # the key of the order since 0.1

    @property
    def length(self) -> int:
        """Samples of one epoch: the images."""
        return len(self.images)

    def draw(self, position: int, rng: torch.Generator) -> Sample:
        """Return a crop `real`, noise `z`, and its `class` where there are classes."""
        number = self.order.at(position)
        sample: Sample = {
            "real": self.images.crop(number, self.config.crop_size, rng, self.config.flip),
            **_noise(self.z, rng),
        }
        if self.classes:
            sample["class"] = np.asarray(self.classes[number], np.int64)
        return sample


class InputFeed:
    """Crops of one set: a teacher is asked what they should become."""

    def __init__(
        self, config: Training, images: ImageSet, held: Mapping[str, Sequence[Rgb]], folder: str
    ) -> None:
        self.config, self.images, self.held = config, images, held
        self.counts = {folder: len(images)}
        self.order = Order(len(images), config.seed, "inputs")

    @property
    def length(self) -> int:
        """Samples of one epoch: the images."""
        return len(self.images)

    def draw(self, position: int, rng: torch.Generator) -> Sample:
        """Return a crop `A`."""
        number = self.order.at(position)
        return {"A": self.images.crop(number, self.config.crop_size, rng, self.config.flip)}


class Batches:
    """The batches of a run; while one is computed with, a thread cuts the next."""

    def __init__(self, feed: Feed, config: Training, world: World) -> None:
        self.feed, self.seed, self.world = feed, config.seed, world
        self.channels_last = config.lays_channels_last
        self.size = config.batch * config.accumulate
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._next: tuple[int, Future[dict[str, Tensor]]] | None = None

    def at(self, step: int) -> dict[str, Tensor]:
        """Return this process's tensors of a step, on its device."""
        if self._next is None or self._next[0] != step:
            self._next = (step, self._thread.submit(self._cut, step))
        cut = self._next[1].result()
        self._next = (step + 1, self._thread.submit(self._cut, step + 1))
        return {name: self._place(tensor) for name, tensor in cut.items()}

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _cut(self, step: int) -> dict[str, Tensor]:
        start = (step * self.world.size + self.world.rank) * self.size
        samples = [
            self.feed.draw(position, seeded(self.seed, "sample", position))
            for position in range(start, start + self.size)
        ]
        stacked = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
        tensors = {name: torch.from_numpy(array) for name, array in stacked.items()}
        pinned = self.world.device.type == "cuda"
        return {name: tensor.pin_memory() if pinned else tensor for name, tensor in tensors.items()}

    def _place(self, tensor: Tensor) -> Tensor:
        placed = tensor.to(self.world.device, non_blocking=True)
        if placed.dtype != torch.uint8:
            return placed
        # [N, H, W, 3] -> [N, 3, H, W], which is channels_last as it lies
        images = placed.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
        return images if self.channels_last else images.contiguous()


def _noise(z: int, rng: torch.Generator) -> Sample:
    return {"z": torch.randn(z, generator=rng).numpy()} if z else {}
