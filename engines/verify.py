"""A style's FP16 or INT8 network against its FP32 one, on real frames."""

from __future__ import annotations

from engines.calibration import read_pictures
from engines.errors import PrecisionError
from engines.precision import read_onnx, to_half
from engines.quality import GATES_DB, Comparison, compare
from engines.quantize import flat
from engines.sensitivity import translate_all
from rt.styles import Style


def verify_onnx(
    style: Style, precision: str, addresses: tuple[str, ...], per_clip: int, gate_db: float | None
) -> tuple[Comparison, float]:
    """Compare a style's typed ONNX with its FP32 ONNX, both on ONNX Runtime; return that and the gate.

    An FP16 network that is not on the card is cast from FP32, as a build does.

    Raises:
        StyleError: the card has no such model.
        PrecisionError: a network cannot be read or run.
        CalibrationError, SourceError: the frames cannot be read.
    """
    model = read_onnx(style.model("fp32"))
    if precision == "fp16" and "fp16" not in style.card.models:
        typed = to_half(model)
    else:
        typed = read_onnx(style.model(precision))
    pictures = flat(read_pictures(addresses, style.card, per_clip))
    if not pictures:
        raise PrecisionError("there is no frame to compare: give --frames a clip")
    comparison = compare(translate_all(model, pictures), translate_all(typed, pictures))
    return comparison, GATES_DB[precision] if gate_db is None else gate_db
