"""Where a run computes: the device, and the processes that share the work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rt.backends.cpu import cpu_name, cpu_threads
from train.errors import RunError


@dataclass(frozen=True)
class World:
    """The processes of one run, started by torchrun; a single one without it.

    Gradients are averaged by hand, not by DistributedDataParallel: a step of a GAN runs each network several
    times before one backward pass and freezes half of them in turn, which that class does not allow.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @torch.no_grad()
    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Put the mean over all processes into every gradient of the optimiser's weights."""
        if self.size == 1:
            return
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in parameters:
            if parameter.grad is None:  # all processes must send equally many numbers
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters]
        flat = self._mean(torch.cat([gradient.flatten() for gradient in gradients]))
        start = 0
        for gradient in gradients:
            end = start + gradient.numel()
            gradient.copy_(flat[start:end].view_as(gradient))
            start = end

    @torch.no_grad()
    def average(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean over all processes of each scalar."""
        if self.size == 1 or not losses:
            return losses
        found = self._mean(torch.stack([loss.float() for loss in losses.values()]))
        return dict(zip(losses, found.unbind(), strict=True))

    def agree(self, values: Iterable[float]) -> list[float]:
        """Return the first process's numbers in every process."""
        told = list(values)
        if self.size == 1:
            return told
        sent = torch.tensor(told, dtype=torch.float64, device=self.device)
        dist.broadcast(sent, 0)
        return [float(value) for value in sent.tolist()]

    def gather(self, value: Any) -> list[Any]:
        """Return what every process has, in the order of their ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def close(self) -> None:
        """Leave the other processes."""
        if self.size > 1:
            dist.destroy_process_group()

    def _mean(self, flat: Tensor) -> Tensor:
        """Return the mean of a vector over all processes."""
        dist.all_reduce(flat)
        return flat / self.size


def open_world(wanted: str) -> World:
    """Return the device of this process and, under torchrun, its place among the processes.

    Raises:
        RunError: CUDA is asked for and PyTorch finds none.
    """
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise RunError(
            "--device cuda: PyTorch finds no CUDA device "
            f"(torch {torch.__version__}); type videobrush doctor, or use --device cpu"
        )
    on_gpu = found and wanted != "cpu"
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if size > 1:
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return World(device, rank, size)


def computes_bfloat16(device: torch.device) -> bool:
    """Say whether a device has instructions for bfloat16; those without emulate it, far slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())  # other instruction sets are not asked


def describe_precision(amp: bool, world: World) -> str:
    """Return what networks are computed in, as it is recorded: bfloat16 (mixed with float32) or float32."""
    return "bfloat16" if amp and computes_bfloat16(world.device) else "float32"


def describe_world(world: World, wanted: str) -> str:
    """Return the line said at start: device, reason of the choice, processes."""
    if world.device.type == "cuda":
        name = torch.cuda.get_device_name(world.device)
    else:
        name = f"{cpu_name()}, {torch.get_num_threads()} of {cpu_threads()} threads"
    found = "CUDA" if world.device.type == "cuda" else "no CUDA"
    reason = f" (auto: PyTorch finds {found})" if wanted == "auto" else ""
    shared = f", {world.size} processes" if world.size > 1 else ""
    return f"device: {world.device.type}, {name}{reason}{shared}"
