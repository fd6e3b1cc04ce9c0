"""Checkpoints: tensors, with the facts of their run in the header."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rt.replacing import replacing
from rt.text import megabytes
from train.data.pool import Pool
from train.errors import RunError
from train.facts import RunFacts

CHECKPOINT = "checkpoint.safetensors"
"""The newest checkpoint of a run."""
BEST = "best.safetensors"
"""The checkpoint the validation liked best."""


class Trainable(Protocol):
    """What a recipe gives a checkpoint."""

    @property
    def nets(self) -> Mapping[str, nn.Module]:
        """Networks by name."""
        ...

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Optimisers by name."""
        ...

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Pools by name."""
        ...


class Checkpoints:
    """The checkpoints of a run folder: the newest few and the best.

    Each is written as checkpoint-STEP.safetensors; checkpoint.safetensors and best.safetensors are further
    names (hard links) of such files, so whenever a run is killed each name stands for a whole checkpoint.
    """

    def __init__(self, run: Path, keep: int) -> None:
        self.run, self.keep = run, keep

    def save(self, step: int, tensors: dict[str, Tensor], facts: RunFacts, best: bool = False) -> None:
        """Write a checkpoint, keep it as the best if it is, and let go of the oldest.

        Raises:
            RunError: it cannot be written; the ones before are left as they are.
        """
        path = self.path(step)
        write_checkpoint(path, tensors, facts)
        if best:  # before the newest: a run killed in between has the best again when it goes on
            _name_also(path, self.run / BEST)
        _name_also(path, self.run / CHECKPOINT)
        for old in self.numbered()[: -self.keep]:
            old.unlink()

    def path(self, step: int) -> Path:
        """Return the file of a step's checkpoint."""
        return self.run / f"checkpoint-{step:07d}.safetensors"

    def numbered(self) -> list[Path]:
        """Return the checkpoints there are, oldest first."""
        return sorted(self.run.glob("checkpoint-*.safetensors"))

    def describe(self) -> str:
        """Return how many checkpoints there are and under which names: several names are one file."""
        kept = self.numbered()
        places = {path.stat().st_ino: path.name for path in kept}
        names = []
        for name in (CHECKPOINT, BEST):
            if (path := self.run / name).is_file() and (same := places.get(path.stat().st_ino)):
                names.append(f"{name} is another name of {same}")
        size = megabytes(sum(path.stat().st_size for path in kept), 0)
        told = f"checkpoints: {len(kept)} of the newest, {size}"
        return told + (f" ({', '.join(names)}: the same file, no further room)" if names else "")

    def check_space(self, checkpoint_bytes: int) -> None:
        """Refuse a run whose checkpoints the disk has no room for.

        Raises:
            RunError: less is free than the checkpoints kept, the best and the one being written need.
        """
        there = sum(path.stat().st_size for path in self.numbered())
        needed = (self.keep + 2) * checkpoint_bytes - there
        free = shutil.disk_usage(next(path for path in (self.run, *self.run.parents) if path.exists())).free
        if free < needed:
            raise RunError(
                f"disk too full: {self.run} needs {megabytes(needed, 0)} for checkpoints, "
                f"{megabytes(free, 0)} are free; make room, lower --keep, or give another --run"
            )


def training_state(recipe: Trainable) -> dict[str, Tensor]:
    """Return everything of a recipe that learns or remembers, by its name in a checkpoint, on the CPU."""
    tensors: dict[str, Tensor] = {}
    for name, net in recipe.nets.items():
        tensors |= {f"{name}/{key}": value for key, value in net.state_dict().items()}
    for name, optimizer in recipe.optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{key}": value for key, value in state.items()}
    return tensors | pool_state(recipe)


def pool_state(recipe: Trainable, suffix: str = "") -> dict[str, Tensor]:
    """Return the images of a recipe's pools; `suffix` tells the pools of several processes apart."""
    return {
        f"{name}{suffix}/{index}": image.cpu()
        for name, pool in recipe.pools.items()
        for index, image in enumerate(pool.images)
    }


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: RunFacts) -> None:
    """Write tensors and facts under a temporary name, flush, then rename.

    Raises:
        RunError: the file cannot be written.
    """
    laid_out = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    try:
        with replacing(path) as part:
            save_file(laid_out, part, metadata={"facts": json.dumps(facts.to_json())})
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"checkpoint {path} cannot be written: {error}; the ones before are kept, "
            "make room and continue with --resume"
        ) from None


def read_facts(path: Path) -> RunFacts:
    """Return the facts of a checkpoint.

    Raises:
        RunError: the checkpoint is missing or damaged.
    """
    facts, _ = _read(path, tensors=False)
    return facts


def load_checkpoint(path: Path, recipe: Trainable, suffix: str = "") -> RunFacts:
    """Put weights, optimiser states and pools into a freshly built recipe and return the facts.

    Raises:
        RunError: the checkpoint is missing, damaged, or of other networks.
    """
    facts, tensors = _load_nets(path, recipe)
    for name, optimizer in recipe.optimizers.items():
        whole = optimizer.state_dict()
        whole["state"] = _by_index(_below(tensors, name))
        optimizer.load_state_dict(whole)
        _lay_out_like_parameters(optimizer)
    for name, pool in recipe.pools.items():
        images = _below(tensors, name + suffix)
        pool.images = [images[str(index)] for index in range(len(images))]
    return facts


def load_weights(path: Path, recipe: Trainable, kind: str) -> RunFacts:
    """Put the weights of a checkpoint, and nothing else of it, into a recipe and return the facts.

    Of a checkpoint of another kind of recipe the one generator is taken alone, its average if there is one.

    Raises:
        RunError: the checkpoint is missing, damaged, or of other networks.
    """
    facts, _ = _load_nets(path, recipe, alone=read_facts(path).recipe != kind)
    return facts


def load_net(path: Path, name: str, net: nn.Module) -> RunFacts:
    """Put one network of a checkpoint into `net`, its average where there is one, and return the facts.

    Raises:
        RunError: the checkpoint is missing, damaged, of another network, or holds NaN.
    """
    facts, tensors = _read(path, tensors=True)
    weights = _below(tensors, f"ema_{name}") or _below(tensors, name)
    _check_finite(path, weights)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(
            f"checkpoint {path} is of another network: {str(error).splitlines()[-1].strip()}"
        ) from None
    return facts


def _load_nets(path: Path, recipe: Trainable, alone: bool = False) -> tuple[RunFacts, dict[str, Tensor]]:
    facts, tensors = _read(path, tensors=True)
    _check_finite(
        path, {name: tensor for name, tensor in tensors.items() if name.partition("/")[0] in recipe.nets}
    )
    try:
        for name, net in recipe.nets.items():
            if alone and name not in ("G", "ema_G"):
                continue
            averaged = _below(tensors, "ema_G") if alone else {}
            net.load_state_dict(averaged or _below(tensors, name))
    except RuntimeError:
        raise RunError(
            f"checkpoint {path} is of other networks than {name}: it was trained with "
            f"{_networks(facts.settings)}"
        ) from None
    return facts, tensors


def _check_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are NaN or infinite: everything computed with them would be, too."""
    if bad := [name for name, weight in weights.items() if not bool(weight.isfinite().all())]:
        raise RunError(
            f"checkpoint {path} holds {len(bad)} weight(s) that are no numbers (NaN or infinite), "
            f"the first is {bad[0]}: its training diverged; take an earlier checkpoint, or train again"
        )


def _networks(settings: Mapping[str, Any]) -> str:
    """Return the options that say which networks a run trained."""
    options = ("generator", "student", "generator_width", "norm", "discriminator_width", "patch", "z")
    given = {option: settings[option] for option in options if settings.get(option) is not None}
    return " ".join(f"--{option.replace('_', '-')} {value}" for option, value in given.items())


def _read(path: Path, tensors: bool) -> tuple[RunFacts, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as archive:
            facts = RunFacts.from_json(json.loads(archive.metadata()["facts"]))
            names = archive.keys() if tensors else ()
            return facts, {name: archive.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise RunError(f"no checkpoint {path}: train first, or give the folder of a run") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"checkpoint {path} is damaged: {error}") from None


def _name_also(path: Path, name: Path) -> None:
    """Let `name` stand for the file at `path` too, at no moment for a part of it."""
    with replacing(name) as part:
        try:
            part.hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, part)


def _lay_out_like_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory layout of their weights: the fused Adam walks through both as they lie."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def _below(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _by_index(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        states.setdefault(int(index), {})[key] = tensor
    return states
