"""Checkpoints: tensors in safetensors with the facts in its header; all that exact resume needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from train.errors import RunError
from train.pool import Pool


class Trainable(Protocol):
    """What a recipe gives a checkpoint."""

    @property
    def nets(self) -> dict[str, nn.Module]:
        """Networks by name."""
        ...

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers by name."""
        ...

    @property
    def pools(self) -> dict[str, Pool]:
        """Pools by name."""
        ...


def save_checkpoint(path: Path, recipe: Trainable, facts: dict[str, Any]) -> None:
    """Write weights, optimiser states, pools and facts under a temporary name, then rename it."""
    tensors: dict[str, Tensor] = {}
    for name, net in recipe.nets.items():
        tensors |= {f"{name}/{key}": value for key, value in net.state_dict().items()}
    for name, optimizer in recipe.optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{key}": value for key, value in state.items()}
    for name, pool in recipe.pools.items():
        tensors |= {f"{name}/{index}": picture for index, picture in enumerate(pool.pictures)}
    temporary = path.with_name(path.name + ".part")
    contiguous = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    save_file(contiguous, temporary, metadata={"facts": json.dumps(facts)})
    temporary.replace(path)


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts of a checkpoint.

    Raises:
        RunError: the checkpoint is missing or damaged.
    """
    facts, _ = _read(path, tensors=False)
    return facts


def load_checkpoint(path: Path, recipe: Trainable) -> dict[str, Any]:
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
        pictures = _below(tensors, name)
        pool.pictures = [pictures[str(index)] for index in range(len(pictures))]
    return facts


def load_weights(path: Path, recipe: Trainable) -> dict[str, Any]:
    """Put the weights of a checkpoint, and nothing else of it, into a recipe and return the facts.

    Raises:
        RunError: the checkpoint is missing, damaged, or of other networks.
    """
    facts, _ = _load_nets(path, recipe)
    return facts


def load_net(path: Path, name: str, net: nn.Module) -> dict[str, Any]:
    """Put one network of a checkpoint into `net` and return the facts.

    Raises:
        RunError: the checkpoint is missing, damaged, or of another network.
    """
    facts, tensors = _read(path, tensors=True)
    try:
        net.load_state_dict(_below(tensors, name))
    except RuntimeError as error:
        raise RunError(
            f"checkpoint {path} is of another network: {str(error).splitlines()[-1].strip()}"
        ) from None
    return facts


def _load_nets(path: Path, recipe: Trainable) -> tuple[dict[str, Any], dict[str, Tensor]]:
    facts, tensors = _read(path, tensors=True)
    try:
        for name, net in recipe.nets.items():
            net.load_state_dict(_below(tensors, name))
    except RuntimeError as error:
        raise RunError(
            f"checkpoint {path} is of other networks: {str(error).splitlines()[-1].strip()}"
        ) from None
    return facts, tensors


def _read(path: Path, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as archive:
            facts = json.loads(archive.metadata()["facts"])
            names = archive.keys() if tensors else ()
            return facts, {name: archive.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise RunError(f"no checkpoint {path}: train first, or give the folder of a run") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"checkpoint {path} is damaged: {error}") from None


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
