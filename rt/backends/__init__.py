"""Backends: the table of kinds, the choice of one, and what works here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rt.backends.base import (
    Backend,
    BackendInfo,
    BackendName,
    FrameBackend,
    LoadableStyle,
    Mode,
    Pending,
    PrecisionName,
)
from rt.backends.forms import FORMS, Form, quickest_form
from rt.card import Card, Detail, View
from rt.engine_file import find_plans
from rt.errors import BackendError, nearest

if TYPE_CHECKING:
    from rt.cuda.layout import FrameFormat

__all__ = [
    "BACKENDS",
    "BACKEND_HELP",
    "CPU_ORDER",
    "CPU_PRECISIONS",
    "KINDS",
    "PRECISIONS",
    "Backend",
    "BackendInfo",
    "BackendName",
    "BackendStatus",
    "Choice",
    "FrameBackend",
    "Kind",
    "LoadableStyle",
    "Mode",
    "Pending",
    "PrecisionName",
    "backend_status",
    "open_backend",
    "pinned_precision",
]

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
"""Importing OpenVINO would report its use over the network; where this package is missing it does not."""


@dataclass(frozen=True)
class Kind:
    """One kind of backend, as it is known in help, messages and documents."""

    name: str
    summary: str
    """What it computes on, for the help."""
    precisions: tuple[str, ...]
    """What `--precision auto` takes: the first that the style has, the quickest on this backend first."""
    automatic: bool = True
    """Whether `auto` may take it."""


KINDS = (
    Kind("openvino", "CPU", ("int8", "fp32")),
    Kind("onnxruntime", "CPU", ("fp32", "int8")),
    Kind("tensorrt", "NVIDIA GPU, with an engine built here", ("fp16", "int8", "fp32")),
    Kind("identity", "nothing is computed", ("fp32", "int8"), automatic=False),
)
"""Every backend; the CPU's in the order in which `auto` tries them: the quicker one of measurements first."""
BACKENDS: tuple[str, ...] = ("auto", *(kind.name for kind in KINDS))
"""What `--backend` takes."""
PRECISIONS: tuple[str, ...] = get_args(PrecisionName)
"""What `--precision` takes."""
CPU_ORDER = tuple(kind.name for kind in KINDS if kind.summary == "CPU")
"""What `auto` tries on a CPU, in this order."""
CPU_PRECISIONS = {kind.name: kind.precisions for kind in KINDS if kind.name != "tensorrt"}
"""What `--precision auto` takes on a CPU."""
BACKEND_HELP = (
    f"What computes the images: {', '.join(f'{kind.name} ({kind.summary})' for kind in KINDS)}; "
    f"auto: an engine built here, else {', else '.join(CPU_ORDER)}."
)
"""The help of `--backend`."""


@dataclass(frozen=True)
class Choice:
    """An open backend and why it was taken."""

    backend: Backend
    reason: str
    """In words, for the line printed at start: `auto: first choice on a CPU`."""


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend works on this machine, found by translating a tiny image with it.

    For TensorRT the image only goes to the GPU and back: an engine takes minutes to build.
    """

    name: str
    works: bool
    detail: str
    """The device in words, or why it does not work and what to type."""
    version: str | None = None
    """Version of the package behind it, where one is installed."""


def open_backend(
    name: str,
    style: LoadableStyle,
    size: tuple[int, int],
    precision: str = "auto",
    mode: Mode = "latency",
    view: View | None = None,
    frame_size: tuple[int, int] | None = None,
    frame_format: FrameFormat = "rgb24",
    or_on_cpu: bool = False,
) -> Choice:
    """Load a style for images of `size` = (height, width) on the backend asked for.

    What the network sees of each image is `view`, None for the style's own. The identity gets the image
    itself: it changes nothing. Where `frame_size` = (height, width) is given, the backend is a
    `FrameBackend` that takes frames of that size in `frame_format`; with `or_on_cpu`, where that can be, and
    where it cannot the reason says why.

    `auto` takes TensorRT where engines of the style were built and one is for this machine and size, else the
    first of `CPU_ORDER` that works here, and the first of its `CPU_PRECISIONS` that the style has; with
    OpenVINO the form that this CPU computes quickest, see `rt.backends.forms`. It says in the reason why
    others were passed over; on a CPU, a style that the one taken cannot load is an error, and no reason to
    try the next.

    Raises:
        BackendError: a name is unknown, the backend does not work here, or it cannot load the style, or it
            cannot fit frames.
        StyleError: the style has no such precision, or its ONNX file is missing or differs from its card.
    """
    view = view or style.card.view
    if or_on_cpu and (view, style.card.detail) != ("image", "keep"):
        frame_size = None
    if frame_size is not None and (view, style.card.detail) != ("image", "keep"):
        raise BackendError(
            f"style {style.card.name} cannot have its frames fitted on the GPU: its network looks at the "
            f"{view} and its detail is {style.card.detail}, image and keep are needed; type --fit cpu"
        )
    frames = None if frame_size is None else _Frames(frame_size, frame_format, or_on_cpu)
    choice = _open(name, style, size, precision, mode, frames)
    if frame_size is not None and not or_on_cpu and not isinstance(choice.backend, FrameBackend):
        choice.backend.close()
        raise BackendError(
            f"backend {choice.backend.info.name} computes on the CPU and cannot fit frames on a GPU ("
            f"{choice.reason}); type --fit cpu, or --backend tensorrt"
        )
    if choice.backend.info.name == "identity" or (view, style.card.detail) == (
        "image",
        choice.backend.info.detail,
    ):
        return choice
    from rt.backends.input_transform import InputTransform

    # Edges share no detail with the frame, whatever a style trained on images keeps of it.
    detail: Detail = "network" if view == "edges" != style.card.view else style.card.detail
    return Choice(InputTransform(choice.backend, view, detail), choice.reason)


@dataclass(frozen=True)
class _Frames:
    """The frames that a backend is to fit itself."""

    size: tuple[int, int]
    format: FrameFormat
    or_on_cpu: bool
    """Whether the CPU may do it where the backend cannot."""


def _open(
    name: str,
    style: LoadableStyle,
    size: tuple[int, int],
    precision: str,
    mode: Mode,
    frames: _Frames | None,
) -> Choice:
    if name not in BACKENDS:
        raise BackendError(f"no backend {name!r}{nearest(name, BACKENDS)}; known: {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise BackendError(f"no precision {precision!r}{nearest(precision, PRECISIONS)}; known: {known}")
    form = FORMS.get(precision, Form(precision))
    _check_form(name, form)
    _check_size(style.card, size)
    passed_over: list[str] = []
    if name == "tensorrt":
        return _open_engine(style.card, size, precision, mode, frames, "asked for")
    if name == "auto" and not form.bf16:  # an engine's precision is that of its file
        try:
            if _has_engines(style.card):
                return _open_engine(style.card, size, precision, mode, frames, "auto")
        except BackendError as error:
            passed_over.append(str(error))
    # What is wrong with the style is found before a package is loaded: as if the first choice were taken.
    found, why = _choose_precision(style.card, precision, CPU_ORDER[0] if name == "auto" else name)
    style.model(found.precision)
    reason = "asked for"
    if name == "auto":
        name, reason = _choose(passed_over)
        _check_form(name, form)
        found, why = _choose_precision(style.card, precision, name)
    if name != "identity" and precision == "auto":
        if name == "openvino":
            plain = found
            found, measured = quickest_form(style.card, size, lambda form: _load_form(style, size, form))
            if measured or found != plain:
                why = f"{found.name}: {measured or 'the quickest that keeps the image'}"
        reason = f"{reason}; {why}"
    model = style.model(found.precision)
    return Choice(_load(name, model, size, found.precision, mode, found.bf16), reason)


def pinned_precision(name: str, style: LoadableStyle, precision: str) -> str:
    """Return what to ask for so that every machine computes the style in the form chosen on this one.

    It is `precision` itself where another is asked for than `auto`, or where an engine may be taken.

    Raises:
        BackendError, StyleError: OpenVINO does not work here, or the style has no model for a CPU.
    """
    if (
        precision != "auto"
        or name not in ("auto", "openvino")
        or (name == "auto" and _has_engines(style.card))
    ):
        return precision
    _choose_precision(style.card, precision, "openvino")
    side = style.card.size_px
    size = style.card.fixed_size or (side, side)
    return quickest_form(style.card, size, lambda form: _load_form(style, size, form))[0].name


def _load_form(style: LoadableStyle, size: tuple[int, int], form: Form) -> Backend:
    return _load("openvino", style.model(form.precision), size, form.precision, bf16=form.bf16)


def backend_status() -> list[BackendStatus]:
    """Try every backend by translating a tiny image with it; the order is that of `BACKENDS`."""
    return [_try(name) for name in BACKENDS if name != "auto"]


def _check_size(card: Card, size: tuple[int, int]) -> None:
    height, width = size
    if min(size) < card.minimum_px or height % card.multiple or width % card.multiple:
        raise BackendError(
            f"style {card.name} cannot be opened at {height}x{width}: height and width must be multiples of "
            f"{card.multiple} and at least {card.minimum_px}"
        )


def _check_form(name: str, form: Form) -> None:
    if form.bf16 and name in ("onnxruntime", "tensorrt"):
        raise BackendError(
            f"backend {name} has no {form.name}: type --backend openvino, or --precision {form.precision}"
        )


def _choose_precision(card: Card, asked: str, backend: str) -> tuple[Form, str]:
    """Return the form to open, and why it is the one that `auto` takes."""
    if asked != "auto":
        return FORMS.get(asked, Form(asked)), ""
    order = CPU_PRECISIONS[backend]
    for precision in order:
        if precision in card.models:
            why = "the quickest" if precision == order[0] else f"there is no {order[0]}"
            return Form(precision), f"{precision}: {why}"
    raise BackendError(
        f"style {card.name} has no model for a CPU: {' or '.join(order)} needed, "
        f"{', '.join(card.models)} found"
    )


def _has_engines(card: Card) -> bool:
    """Return whether an engine of a style was ever built here, for whatever machine, size or precision."""
    return any(path.name.startswith(f"{card.name}-") for path in find_plans())


def _open_engine(
    card: Card,
    size: tuple[int, int],
    precision: str,
    mode: Mode,
    frames: _Frames | None,
    why: str,
) -> Choice:
    from rt.backends.tensorrt_engine import find_engine, fit_fault, load_engine

    engine = find_engine(card, size, precision)
    facts = engine.facts
    reason = f"{why}: the {facts.key.precision} engine built {facts.built}"
    if frames is not None and frames.or_on_cpu and (fault := fit_fault(engine, frames.size)):
        reason, frames = f"{reason}; frames are fitted on the CPU: {fault}", None
    if frames is None:
        return Choice(load_engine(engine, mode), reason)
    return Choice(load_engine(engine, mode, frames.size, frames.format), reason)


def _choose(passed_over: list[str]) -> tuple[str, str]:
    """Return the backend `auto` takes on a CPU, and the reason, beginning with what was passed over."""
    for name in CPU_ORDER:
        status = _try(name)
        if status.works:
            reason = "; ".join(passed_over) or "first choice on a CPU"
            return name, f"auto: {reason}"
        passed_over.append(status.detail)
    raise BackendError(f"no backend works here: {'; '.join(passed_over)}")


def _try(name: str) -> BackendStatus:
    """Open a backend on a tiny network and translate a tiny image with it."""
    try:
        if name == "tensorrt":
            from rt.backends.tensorrt import try_gpu

            return BackendStatus(name, True, *try_gpu())
        from rt.backends.probe import try_backend

        return BackendStatus(name, True, *try_backend(name, _load))
    except BackendError as error:
        return BackendStatus(name, works=False, detail=str(error))


def _load(
    name: str,
    model: Path,
    size: tuple[int, int],
    precision: str = "fp32",
    mode: Mode = "latency",
    bf16: bool = False,
) -> Backend:
    """Import the package behind a backend and load an ONNX file with it."""
    if name == "identity":
        from rt.backends.identity import IdentityBackend

        return IdentityBackend(size)
    try:
        if name == "openvino":
            from rt.backends.openvino import OpenVinoBackend

            return OpenVinoBackend(model, size, precision, mode, bf16)
        from rt.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(model, size, precision)
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend {name} cannot be used: package {error.name} is not installed; type: pip install {name}"
        ) from None
    except ImportError as error:
        raise BackendError(
            f"backend {name} cannot be used: its package does not load ({error}); "
            f"type: pip install --force-reinstall {name}"
        ) from None
