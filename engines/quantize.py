"""A style's INT8 or FP16 model, written where it holds its gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from engines.calibration import activation_ranges, hold_out, read_images
from engines.errors import CalibrationError, PrecisionError
from engines.onnx_model import read_onnx
from engines.precision import quantizable_layers, to_half
from engines.quality import GATES_DB, Comparison, compare
from engines.sensitivity import Quantized, measure_layers, quantize_within_gate, translate_all
from rt.card import describe_model, write_card
from rt.frame import Rgb
from rt.log import LOG
from rt.replacing import replacing
from rt.styles import Style

SENSITIVITY_IMAGES = 8
"""Images that each layer alone is measured on."""


@dataclass(frozen=True)
class Frames:
    """The clips a network is calibrated and compared with."""

    calibrate: tuple[str, ...]
    """Clips, images or folders of them."""
    held_out: tuple[str, ...] = ()
    """The same, to compare with; none: the last third of each clip above."""
    per_clip: int = 16
    """Frames taken of each clip, evenly spread."""

    def read(self, style: Style) -> tuple[list[Rgb], list[Rgb]]:
        """Return the frames to calibrate with and the ones held out.

        Raises:
            CalibrationError, SourceError: there are none, or they cannot be read.
        """
        clips = read_images(self.calibrate, style.card, self.per_clip)
        if not self.held_out:
            return hold_out(clips)
        self._check_apart()
        held = read_images(self.held_out, style.card, self.per_clip)
        return flat(clips), flat(held)

    def _check_apart(self) -> None:
        """Raise CalibrationError where something to compare with is among what is calibrated with."""
        used, held = ([Path(name).resolve() for name in names] for names in (self.calibrate, self.held_out))
        for one in used:
            for other in held:
                if one == other or one in other.parents or other in one.parents:
                    raise CalibrationError(
                        f"{other.name} is among --frames and --held-out: a network is compared on what it "
                        "was not calibrated with; give others, or leave --held-out out"
                    )

    def names(self) -> dict[str, Any]:
        """Return what a card says of them: names without their folders."""
        if not self.held_out:
            return {"calibrated_on": _names(self.calibrate), "held_out": "the last third of each clip"}
        return {"calibrated_on": _names(self.calibrate), "held_out": _names(self.held_out)}


def flat(clips: Sequence[Sequence[Rgb]]) -> list[Rgb]:
    """Return the frames of all clips in one list."""
    return [rgb for clip in clips for rgb in clip]


def make_int8(style: Style, frames: Frames, percentile: float, gate_db: float | None) -> Quantized:
    """Quantise a style's convolutions to INT8 and put the result on its card.

    Raises:
        PrecisionError: nothing can be quantised, or what can is below the gate: nothing is written.
        CalibrationError, SourceError, StyleError: the frames or the style cannot be read.
    """
    gate = GATES_DB["int8"] if gate_db is None else gate_db
    model = read_onnx(style.model("fp32"))
    layers = quantizable_layers(model)
    if not layers:
        raise PrecisionError(
            f"style {style.name} has no convolution that can be quantised: between the first and the last "
            "there must be one that is neither grouped nor transposed"
        )
    used, held = frames.read(style)
    LOG.info("calibrating %d layers on %d frames, comparing on %d others", len(layers), len(used), len(held))
    ranges = activation_ranges(model, [layer.tensor_in for layer in layers], used, percentile)
    few = used[:: -(-len(used) // SENSITIVITY_IMAGES)]
    found = quantize_within_gate(model, measure_layers(model, layers, ranges, few), ranges, held, gate)
    _check_gate(style, "int8", found.comparison, gate)
    facts = {
        "int8_convolutions": sum(entry.int8 for entry in found.layers),
        "int8_macs_share": round(sum(entry.macs_share for entry in found.layers if entry.int8), 3),
        "left_in_float": [entry.layer.name for entry in found.layers if not entry.int8],
        "percentile": percentile,
        "calibration_frames": len(used),
        **frames.names(),
    }
    _put_on_card(style, "int8", found.model, found.comparison, facts)
    return found


def make_fp16(style: Style, frames: Frames, gate_db: float | None) -> Comparison:
    """Cast a style's network to FP16 and put the result on its card.

    Raises:
        PrecisionError: the cast is below the gate: nothing is written.
        CalibrationError, SourceError, StyleError: the frames or the style cannot be read.
    """
    gate = GATES_DB["fp16"] if gate_db is None else gate_db
    model = read_onnx(style.model("fp32"))
    images = flat(read_images(frames.held_out or frames.calibrate, style.card, frames.per_clip))
    half = to_half(model)
    comparison = compare(translate_all(model, images), translate_all(half, images))
    _check_gate(style, "fp16", comparison, gate)
    _put_on_card(style, "fp16", half, comparison, {"held_out": _names(frames.held_out or frames.calibrate)})
    return comparison


def _check_gate(style: Style, precision: str, comparison: Comparison, gate_db: float) -> None:
    if comparison.psnr_db < gate_db:
        raise PrecisionError(
            f"style {style.name} reaches {comparison} in {precision}, below the gate of {gate_db:g} dB: "
            f"no {precision} model is written and the card stays as it was"
        )


def _put_on_card(
    style: Style, precision: str, model: Any, comparison: Comparison, facts: dict[str, Any]
) -> None:
    path = style.folder / f"model.{precision}.onnx"
    try:
        with replacing(path) as part:
            onnx.save(model, part)
        measured = {
            "psnr_db": comparison.psnr_db,
            "worst_frame_db": comparison.worst_db,
            "largest_difference": comparison.largest,
            "frames": comparison.frames,
            **facts,
        }
        card = replace(
            style.card,
            models={**style.card.models, precision: describe_model(path)},
            metrics={**style.card.metrics, precision: measured},
        )
        write_card(card, style.folder)
    except OSError as error:
        raise PrecisionError(f"{style.folder} cannot be written: {error.strerror}") from None


def _names(addresses: Sequence[str]) -> list[str]:
    return [Path(address).name for address in addresses]
