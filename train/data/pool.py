"""The pool of past fakes."""

from __future__ import annotations

import torch
from torch import Tensor


class Pool:
    """Half the time hand the discriminator an older fake instead of the newest.

    Source: Shrivastava et al. 2017, section 2.3; Zhu et al. 2017, section 4 (50 images).
    """

    def __init__(self, capacity: int = 50) -> None:
        self.capacity = capacity
        self.images: list[Tensor] = []

    def exchange(self, fakes: Tensor, rng: torch.Generator) -> Tensor:
        """Return float32[N, 3, H, W]: each fake, or with probability 1/2 a past one whose place it takes."""
        if self.capacity == 0:
            return fakes
        chosen = []
        for fake in fakes.detach():
            if len(self.images) < self.capacity:
                self.images.append(fake.clone())
                chosen.append(fake)
            elif torch.rand((), generator=rng).item() < 0.5:
                place = int(torch.randint(self.capacity, (), generator=rng))
                chosen.append(self.images[place].to(fake.device))  # a checkpoint leaves them in memory
                self.images[place] = fake.clone()
            else:
                chosen.append(fake)
        return torch.stack(chosen)
