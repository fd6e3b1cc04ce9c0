"""Weights of the CycleGAN and pix2pix authors' repository: `latest_net_G*.pth` becomes a generator.

Source: github.com/junyanz/pytorch-CycleGAN-and-pix2pix. Its names of architectures are kept: resnet_9blocks,
resnet_6blocks, unet_256, unet_128.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor

from rt.text import first_few
from train.checkpoint import CHECKPOINT, write_checkpoint
from train.environment import describe_environment
from train.errors import RunError
from train.facts import RunFacts
from train.nets import make_generator
from train.nets.layers import Generator

ARCHITECTURES = {
    "resnet_9blocks": "resnet9",
    "resnet_6blocks": "resnet6",
    "unet_256": "unet256",
    "unet_128": "unet128",
}
"""Our generators by the authors' names."""

PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before the names of weights."""
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Import:
    """Take over a generator trained with the CycleGAN and pix2pix authors' repository."""

    file: Annotated[Path, tyro.conf.Positional]
    """The generator's weights: latest_net_G.pth, latest_net_G_A.pth or latest_net_G_B.pth."""
    out: Path
    """Run folder to write; afterwards `videobrush-train export` makes a style of it."""
    arch: Literal["resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128"] | None = None
    """The authors' --netG; default: read off the weights."""
    key: str | None = None
    """Name of the state dict within a file that holds several, such as state_dict or netG_A2B."""


@dataclass(frozen=True)
class Layout:
    """What the names and shapes of weights say of their network."""

    arch: str
    """The authors' name."""
    norm: str
    channels_in: int
    channels_out: int
    width: int
    dropout: bool
    """Dropout between the layers. A U-Net's weights do not show it: True there, the authors' default."""

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `make_generator`, its `name` as `generator`."""
        return {
            "generator": ARCHITECTURES[self.arch],
            "norm": self.norm,
            "channels_in": self.channels_in,
            "width": self.width,
            "dropout": self.dropout,
        }


def import_generator(config: Import) -> str:
    """Write a run folder around a foreign generator; return what was found, in words.

    Raises:
        RunError: the file is no such generator, or the folder holds a run or cannot be written.
    """
    net, settings = load_reference(config.file, config.arch, config.key)
    if (config.out / CHECKPOINT).exists():
        raise RunError(f"{config.out} already holds a run: give another --out")
    environment = {**describe_environment(), "imported": config.file.name}
    facts = RunFacts("import", settings, environment=environment)
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"run folder {config.out} cannot be written: {error.strerror}") from None
    write_checkpoint(
        config.out / CHECKPOINT, {f"G/{name}": weight for name, weight in net.state_dict().items()}, facts
    )
    return f"{settings['generator']}, norm {settings['norm']}, {settings['width']} channels"


def load_reference(
    path: Path, arch: str | None = None, key: str | None = None
) -> tuple[Generator, dict[str, Any]]:
    """Return the generator of a `latest_net_G*.pth`, ready for inference, and the arguments that built it.

    Args:
        path: a state dict saved by the authors' repository; read without running any code of it.
        arch: the authors' name of the architecture; None: read off the weights.
        key: name of the state dict within a file that holds several.

    Raises:
        RunError: the file cannot be read, is no such generator or of another architecture than `arch`, or a
            weight is NaN or infinite.
    """
    weights = _read_weights(path, key)
    layout = recognise(weights)
    if layout is None:
        raise RunError(
            f"{path} is no generator of the authors' repository: found are {_some_names(weights)}; "
            f"needed are the weights of {', '.join(ARCHITECTURES)} (latest_net_G*.pth, not latest_net_D*.pth)"
        )
    if arch is not None and layout.arch != arch:
        raise RunError(
            f"{path} does not fit {arch}: its weights are of {layout.arch}; type --arch {layout.arch}"
        )
    if (layout.channels_in, layout.channels_out) != (3, 3):
        raise RunError(
            f"{path} turns {layout.channels_in} channel(s) into {layout.channels_out}: a style turns 3 into 3"
        )
    options = layout.settings
    net = make_generator(options.pop("generator"), **options)
    try:
        net.load_state_dict(_known(weights, layout.norm))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RunError(f"{path} looks like {layout.arch} but does not fit: {reason}") from None
    return net.eval(), layout.settings


def recognise(weights: Weights) -> Layout | None:
    """Tell from names and shapes which of the authors' generators the weights are of; None: of none."""
    blocks = {
        match[1] for name in weights if (match := re.match(r"model\.(\d+)\.conv_block\.1\.weight$", name))
    }
    if len(blocks) in (6, 9) and _is_matrix(weights, "model.1.weight"):
        second = f"model.{min(blocks, key=int)}.conv_block"
        last = max((name for name in weights if _is_matrix(weights, name)), key=_number)
        return Layout(
            arch=f"resnet_{len(blocks)}blocks",
            norm="batch" if "model.2.weight" in weights else "instance",
            channels_in=weights["model.1.weight"].shape[1],
            channels_out=len(weights[last]),
            width=len(weights["model.1.weight"]),
            dropout=f"{second}.6.weight" in weights and f"{second}.5.weight" not in weights,
        )
    halvings = 1 + sum(
        re.match(r"model\.model\.1(\.model\.3)*\.model\.1\.weight$", n) is not None for n in weights
    )
    if halvings in (7, 8) and _is_matrix(weights, "model.model.3.weight"):
        return Layout(
            arch=f"unet_{2**halvings}",
            norm="batch" if "model.model.1.model.2.weight" in weights else "instance",
            channels_in=weights["model.model.0.weight"].shape[1],
            channels_out=weights["model.model.3.weight"].shape[1],
            width=len(weights["model.model.0.weight"]),
            dropout=True,
        )
    return None


def _read_weights(path: Path, key: str | None) -> Weights:
    """Return the tensors by name, in float32, without the prefixes that several GPUs and compilers leave."""
    try:
        with path.open("rb") as file:
            if file.read(2) not in (b"PK", b"\x80\x02", b""):
                raise RunError(f"{path} is no file of PyTorch: needed is latest_net_G*.pth")
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"no file {path}") from None
    except pickle.UnpicklingError:
        raise RunError(
            f"{path} holds more than weights, which is not loaded: loading it could run foreign code. "
            "Needed is a state dict, as the authors' repository saves it"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0] or "it is empty or cut short"
        raise RunError(f"{path} cannot be read as PyTorch weights: {reason}") from None
    weights = {_plain(name): _float(tensor) for name, tensor in _unwrapped(path, found, key).items()}
    if bad := [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]:
        raise RunError(
            f"{path} holds {len(bad)} weight(s) that are no numbers (NaN or infinite), "
            f"the first is {bad[0]}: its training diverged; take an earlier file of it"
        )
    return weights


def _unwrapped(path: Path, found: Any, key: str | None) -> Weights:
    """Return the state dict of a file: the file itself, or the one within it, or the one of that key."""
    if _is_state_dict(found) and key is None:
        return dict(found)
    within = {name: value for name, value in found.items() if _is_state_dict(value)} if _named(found) else {}
    if key is not None and key not in within:
        raise RunError(f"{path} has no state dict {key!r}: it holds {', '.join(within) or 'none by name'}")
    if key is None and len(within) > 1:
        one = next(iter(within))
        raise RunError(f"{path} holds several state dicts, {', '.join(within)}: say which by --key {one}")
    if not within:
        raise RunError(f"{path} is no state dict: needed is one tensor per name, and nothing else")
    return dict(within[key or next(iter(within))])


def _named(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(name, str) for name in found)


def _is_state_dict(found: Any) -> bool:
    return _named(found) and bool(found) and all(isinstance(value, Tensor) for value in found.values())


def _plain(name: str) -> str:
    """Return a weight's name without `module.` (DataParallel) and `_orig_mod.` (torch.compile) before it."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _float(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _known(weights: Weights, norm: str) -> Weights:
    """Leave out the statistics that PyTorch 0.3 kept in instance norms and nobody uses."""
    if norm == "batch":
        return weights
    ends = (".running_mean", ".running_var", ".num_batches_tracked")
    return {name: tensor for name, tensor in weights.items() if not name.endswith(ends)}


def _is_matrix(weights: Weights, name: str) -> bool:
    return name in weights and weights[name].dim() == 4


def _number(name: str) -> int:
    return int(name.split(".")[1])


def _some_names(weights: Weights) -> str:
    return first_few(list(weights), 3) or "no weights"
