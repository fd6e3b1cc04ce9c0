"""A style's FP16 or INT8 network and engines, compared with FP32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.calibration import read_images
from engines.compile import typed_model
from engines.onnx_model import read_onnx
from engines.quality import GATES_DB, Comparison, compare
from engines.quantize import flat
from engines.sensitivity import translate_all
from engines.store import plans_of
from rt.backends.tensorrt import TensorRtBackend
from rt.backends.tensorrt_runtime import load_runtime
from rt.cuda.device import find_gpu
from rt.engine_file import ANY_DEVICE, EngineKey, build_command, read_facts, read_stored, source_model
from rt.errors import BackendError, EngineError
from rt.frame import Rgb
from rt.styles import Style


@dataclass(frozen=True)
class Verdict:
    """What one network's images are worth."""

    what: str
    comparison: Comparison | None
    """None where it could not be run here."""
    gate_db: float
    reason: str = ""
    """Why it could not be run."""
    damaged: bool = False
    """Whether that is a fault of its own, rather than of this machine."""

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        if self.comparison is None:
            return not self.damaged
        return self.comparison.psnr_db >= self.gate_db

    def __str__(self) -> str:
        if self.comparison is None:
            return f"{self.what}: not run: {self.reason}"
        verdict = "ok" if self.holds else f"below the gate of {self.gate_db:g} dB"
        return f"{self.what}: {self.comparison}: {verdict}"


def verify(
    style: Style, precision: str, addresses: tuple[str, ...], per_clip: int, gate_db: float | None
) -> Iterator[Verdict]:
    """Compare a style's network in one precision with its FP32 one on ONNX Runtime.

    First the ONNX file of the card, where it has one; then the network that engines are built of, where that
    is another; then every engine of this style and precision that this machine can run.

    Raises:
        EngineError, StyleError: the style has no such model.
        PrecisionError: a network cannot be read or run.
        CalibrationError, SourceError: the frames cannot be read.
    """
    gate = GATES_DB[precision] if gate_db is None else gate_db
    model = read_onnx(style.model("fp32"))
    typed, _ = typed_model(style, precision)
    images = flat(read_images(addresses, style.card, per_clip))
    wanted = translate_all(model, images)
    if precision in style.card.models:
        found = translate_all(read_onnx(style.model(precision)), images)
        yield Verdict(f"{style.name} {precision} on ONNX Runtime", compare(wanted, found), gate)
    if precision == "int8" or precision not in style.card.models:
        what = f"{style.name} {precision} as engines compute it, on ONNX Runtime"
        yield Verdict(what, compare(wanted, translate_all(typed, images)), gate)
    for plan in plans_of(style.name):
        verdict = _verify_engine(plan, style, precision, addresses, per_clip, gate)
        if verdict is not None:
            yield verdict


def _verify_engine(
    path: Path, style: Style, precision: str, addresses: tuple[str, ...], per_clip: int, gate_db: float
) -> Verdict | None:
    """Run one engine; None where it is not of this style's model in this precision."""
    try:
        facts = read_facts(path)
        key = facts.key
        if key.precision != precision or key.onnx_sha256 != source_model(style.card, precision).sha256:
            return None
        plan = read_stored(path).plan
    except EngineError as error:
        return Verdict(path.name, None, gate_db, str(error), damaged=True)
    try:
        backend = _open(key, plan)
    except BackendError as error:
        return Verdict(path.name, None, gate_db, str(error))
    size = (key.height, key.width)
    images = flat(read_images(addresses, style.card, per_clip, size))
    try:
        found: list[Rgb] = [backend.translate(rgb[None])[0] for rgb in images]
    finally:
        backend.close()
    wanted = translate_all(read_onnx(style.model("fp32")), images)
    return Verdict(f"{path.name} on {backend.info.device}", compare(wanted, found), gate_db)


def _open(key: EngineKey, plan: bytes) -> TensorRtBackend:
    """Load an engine where it is for this machine.

    Raises:
        BackendError: it is for another GPU or runtime version, or something is missing here.
    """
    gpu = find_gpu()
    trt = load_runtime(key.runtime)
    device = ANY_DEVICE if key.device == ANY_DEVICE else gpu.model
    here = (gpu.compute_capability, device, str(trt.__version__))
    wanted = (key.compute_capability, key.device, key.runtime_version)
    if here != wanted:
        raise BackendError(f"it is for {' '.join(wanted)}, here is {' '.join(here)}")
    return TensorRtBackend(trt, plan, (key.height, key.width), key.precision, rebuild=build_command(key))
