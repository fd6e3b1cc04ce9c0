"""A generator as an ONNX graph with pixels in and out, checked against PyTorch."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rt.card import HIGHEST_OPSET
from rt.frame import Rgb
from train.errors import ExportError

INPUT, OUTPUT = "frame", "translated"
LARGEST_PX = 8192
"""Largest height and width the graph is said to take."""


class PixelsInOut(nn.Module):
    """A generator with scaling and layout inside: uint8[N, H, W, 3] RGB in, the same out."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, frame: Tensor) -> Tensor:
        """Translate uint8[N, H, W, 3] RGB; the graph that is exported."""
        image = frame.to(torch.float32).permute(0, 3, 1, 2) * (1 / 127.5) - 1.0  # [N, 3, H, W]
        levels = self.generator(image) * 127.5 + 127.5
        # TensorRT's cast to uint8 truncates and is undefined out of range: round and clip stand before it.
        return torch.clamp(torch.round(levels), 0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)


def fold_batch_norm(net: nn.Module) -> tuple[nn.Module, int]:
    """Return a copy for inference whose convolutions do what the batch norms behind them did, and how many.

    The statistics are the ones gathered in training, not those of the image: frames of one video are
    normalised alike.
    """
    folded = copy.deepcopy(net).eval()
    count = 0
    for parent in folded.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for index in range(len(parent) - 1):
            convolution, norm = parent[index], parent[index + 1]
            if isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, (nn.Conv2d, nn.ConvTranspose2d)):
                transposed = isinstance(convolution, nn.ConvTranspose2d)
                parent[index] = fuse_conv_bn_eval(convolution, norm, transpose=transposed)
                parent[index + 1] = nn.Identity()
                count += 1
    return folded, count


def write_onnx(net: nn.Module, path: Path) -> None:
    """Export a generator with dynamic batch, height and width to an ONNX file with uint8 RGB in and out.

    The file holds the network alone: PyTorch's notes on its nodes, which tell the folders of the machine that
    exported it, are left out.
    """
    multiple = _whole(net.multiple)
    batch = torch.export.Dim("batch", min=1, max=64)
    rows, columns = (
        torch.export.Dim(name, min=1 if multiple > 64 else 2, max=LARGEST_PX // multiple)
        for name in ("rows", "columns")
    )
    shapes = ({0: batch, 1: multiple * rows, 2: multiple * columns},)
    # Neither number may be 1, which the exporter would take for fixed, nor the image larger than it must.
    times = max(2, 96 // multiple)
    example = torch.zeros(2, times * multiple, (times + 1) * multiple, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which is not used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            PixelsInOut(net).eval(),
            (example,),
            dynamo=True,
            opset_version=HIGHEST_OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


@torch.no_grad()
def translate_images(net: nn.Module, images: list[Rgb]) -> list[Rgb]:
    """Translate uint8[H, W, 3] RGB images of any size, each cropped to the network's multiple."""
    graph = PixelsInOut(net).eval()
    return [graph(torch.from_numpy(np.ascontiguousarray(rgb))[None])[0].numpy() for rgb in images]


def check_parity(net: nn.Module, path: Path, images: list[Rgb]) -> int:
    """Compare ONNX Runtime with PyTorch on images cut to several sizes; return the largest difference.

    Raises:
        ExportError: a pixel differs by more than one level, or the shapes differ.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    multiple, minimum = _whole(net.multiple), _whole(net.minimum_px)
    worst = 0
    for number, rgb in enumerate(images):
        # Sizes change from image to image, so that a size frozen into the graph is found.
        cropped = crop_to_multiple(rgb[: max(minimum, rgb.shape[0] - multiple * number)], multiple)
        frames = np.stack([cropped] * (1 + number % 2))
        with torch.no_grad():
            wanted = PixelsInOut(net).eval()(torch.from_numpy(frames)).numpy()
        found = session.run([OUTPUT], {INPUT: frames})[0]
        if found.shape != wanted.shape:
            raise ExportError(
                f"ONNX Runtime returned shape {found.shape} for {frames.shape}: export is wrong"
            )
        worst = max(worst, int(np.abs(found.astype(np.int16) - wanted).max()))
    if worst > 1:
        raise ExportError(
            f"ONNX Runtime's image differs from PyTorch's by up to {worst} levels (1 is allowed): "
            "nothing was written"
        )
    return worst


def crop_to_multiple(rgb: Rgb, multiple: int) -> Rgb:
    """Cut an image at the bottom and the right to multiples of `multiple` pixels."""
    height, width = (side - side % multiple for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[:height, :width])


def _whole(value: Tensor | nn.Module | int) -> int:
    """Return a network's plain number, which PyTorch types as if it were a part of the network."""
    return int(value)  # type: ignore[arg-type]
