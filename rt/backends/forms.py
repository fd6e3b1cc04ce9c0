"""Which form of a style's network the CPU computes quickest.

A form is a file of the style and what is done with the floats around its INT8: left as they are, or computed
in bfloat16. Where the CPU's instructions settle which is quickest nothing is measured; else the forms take
turns for at most a second, once, and the result is kept for this CPU and version of OpenVINO.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rt.backends.base import Backend
from rt.backends.cpu import computes_bf16_in_tiles, cpu_name, cpu_threads, has_bf16
from rt.card import Card
from rt.folders import user_folder
from rt.replacing import replacing

if TYPE_CHECKING:  # help reads the table of kinds: nothing heavy is loaded for it
    import numpy as np
    import numpy.typing as npt

_log = logging.getLogger(__name__)

BUDGET_S = 1.0
"""So long the forms may take turns, loading all but the first included: that is loaded in any case."""
GATE_DB = 35.0
"""PSNR against the FP32 file that a form computed in bfloat16 must keep."""
_LOADING_S = 0.7
"""After so much of it nothing more is loaded."""
_TURNS = 24
_WARM_UP = 2
_WORTH = 1.05
"""A form in bfloat16 is taken where it is quicker by this factor; else what the file says is computed."""


@dataclass(frozen=True)
class Form:
    """One way to compute a style on a CPU."""

    precision: str
    """The style's file: `int8`, `fp32`."""
    bf16: bool = False
    """Whether OpenVINO computes what the file has in float32 in bfloat16."""

    @property
    def name(self) -> str:
        """What is typed after `--precision`."""
        if not self.bf16:
            return self.precision
        return "bf16" if self.precision == "fp32" else f"{self.precision}+bf16"


INT8, INT8_BF16, BF16, FP32 = Form("int8"), Form("int8", True), Form("fp32", True), Form("fp32")
FORMS = {form.name: form for form in (INT8, INT8_BF16, BF16, FP32)}
"""Every form of OpenVINO, by what is typed."""

Open = Callable[[Form], Backend]
"""Loads a form of the style for images of one size."""


def quickest_form(
    card: Card,
    size: tuple[int, int],
    load: Open,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Form, str]:
    """Return the quickest form of a style that holds the gate, and why it is taken.

    `load` opens a form for images of `size` = (height, width); it is called where something is measured. The
    style has an `int8` or an `fp32` file.
    """
    record = _Record()
    plain = INT8 if "int8" in card.models else FP32
    candidates = [form for form in (plain, INT8_BF16, BF16) if form is plain or form.precision in card.models]
    order, why = _order(record, candidates, size, load, clock)
    for form in order:
        if form.bf16 and (kept_db := _kept_db(record, card, form, size, load)) < GATE_DB:
            _log.info("%s keeps %.0f dB of %s, %.0f are needed", form.name, kept_db, card.name, GATE_DB)
            continue
        return form, why if form is order[0] else ""
    return plain, ""


def measure(
    forms: Sequence[Form], size: tuple[int, int], load: Open, clock: Callable[[], float]
) -> dict[str, float]:
    """Return the milliseconds an image takes in each form, from turns of at most `BUDGET_S`.

    They are the median of the first form times the medians of the ratios within a turn, on which a busy
    machine falls alike. The first form is always measured; one that there is no time to load is left out.
    """
    image = drawn(size)
    began_s = clock()
    opened: dict[str, Backend] = {}
    spans_s: dict[str, list[float]] = {}
    try:
        for form in forms:
            if opened and clock() - began_s > _LOADING_S:
                break
            opened[form.name] = load(form)
            for _ in range(_WARM_UP):
                opened[form.name].translate(image)
            spans_s[form.name] = []
            began_s = began_s if len(opened) > 1 else clock()  # the first load imports OpenVINO too
        for turn in range(_TURNS):
            if turn and clock() - began_s > BUDGET_S:
                break
            for name, backend in opened.items():
                started_s = clock()
                backend.translate(image)
                spans_s[name].append(clock() - started_s)
    finally:
        for backend in opened.values():
            backend.close()
    plain_s = spans_s[forms[0].name]
    plain_ms = 1000 * statistics.median(plain_s)
    return {
        name: plain_ms * statistics.median(one / other for one, other in zip(spans, plain_s, strict=True))
        for name, spans in spans_s.items()
    }


def drawn(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return uint8[1, H, W, 3] RGB, the same each time: ramps, edges and grain."""
    import numpy as np

    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    ramps = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (height + width)], axis=-1)
    ramps[(x // 16 + y // 16) % 5 == 0] = 220
    grain = np.random.default_rng(0).normal(0, 8, ramps.shape)
    return np.clip(ramps + grain, 0, 255).astype(np.uint8)[None]


def _order(
    record: _Record, candidates: Sequence[Form], size: tuple[int, int], load: Open, clock: Callable[[], float]
) -> tuple[list[Form], str]:
    """Return the forms, the quickest first, and why the first one is."""
    key = " ".join(form.name for form in candidates)
    measured = record.milliseconds(key)
    if measured is None:
        if computes_bf16_in_tiles():
            first, *others = [form for form in candidates if form.bf16]
            why = f"what is not INT8 in bf16: the CPU has AMX, --precision {first.precision} leaves it out"
            return [first, *others, candidates[0]], why
        if not has_bf16():
            return [candidates[0]], ""
        measured = measure(candidates, size, load, clock)
        if len(measured) == len(candidates):  # else the machine was busy: another run tries again
            record.keep_milliseconds(key, measured)
    forms = [FORMS[name] for name in measured]
    forms.sort(key=lambda form: measured[form.name] * (_WORTH if form.bf16 else 1))
    if len(forms) == 1:
        return forms, ""
    first, *others = forms
    said = ", ".join(f"{form.name} {measured[form.name]:.1f}" for form in others)
    why = f"measured here once: {measured[first.name]:.1f} ms an image, {said}"
    return forms, f"{why}; --precision {first.precision} leaves bf16 out" if first.bf16 else why


def _kept_db(record: _Record, card: Card, form: Form, size: tuple[int, int], load: Open) -> float:
    """Return the PSNR of a form against the style's FP32 file, measured with one image and then kept."""
    key = f"{card.models[form.precision].sha256} {form.name}"
    kept_db = record.decibels(key)
    if kept_db is None:
        import numpy as np

        image = drawn(size)
        exact = FP32 if "fp32" in card.models else Form(form.precision)
        images = []
        for each in (form, exact):
            backend = load(each)
            try:
                images.append(backend.translate(image).astype(np.float64))
            finally:
                backend.close()
        error = float(((images[0] - images[1]) ** 2).mean())
        kept_db = round(10 * float(np.log10(255**2 / error)), 1) if error else 99.0
        record.keep_decibels(key, kept_db)
    return kept_db


def forms_file() -> Path:
    """Return where the measurements of this CPU are kept; it need not exist.

    Below `$VIDEOBRUSH_CACHE` where set, else the platform's place for a program's cache.
    """
    given = os.environ.get("VIDEOBRUSH_CACHE")
    base = Path(given) if given else user_folder("XDG_CACHE_HOME", ".cache", mac="Caches")
    named = json.dumps(_machine(), sort_keys=True)
    return base / "forms" / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}.json"


def _machine() -> dict[str, Any]:
    """Return what another measurement is needed for."""
    try:
        version = importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return {"cpu": cpu_name(), "threads": cpu_threads(), "openvino": version}


class _Record:
    """The measurements kept for this CPU; what cannot be read or written is measured again."""

    def __init__(self) -> None:
        self._path = forms_file()
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        self._kept: dict[str, Any] = found if isinstance(found, dict) else {}

    def milliseconds(self, key: str) -> dict[str, float] | None:
        """Return the milliseconds by form; None where they are not known."""
        found = self._kept.get("ms", {})
        found = found.get(key) if isinstance(found, dict) else None
        return found if _is_measured(found, set(key.split())) else None

    def keep_milliseconds(self, key: str, measured: Mapping[str, float]) -> None:
        """Keep the milliseconds by form."""
        self._keep("ms", key, {name: round(ms, 3) for name, ms in measured.items()})

    def decibels(self, key: str) -> float | None:
        """Return the PSNR of a form; None where it is not known."""
        found = self._kept.get("db", {})
        found = found.get(key) if isinstance(found, dict) else None
        return float(found) if isinstance(found, int | float) else None

    def keep_decibels(self, key: str, kept_db: float) -> None:
        """Keep the PSNR of a form."""
        self._keep("db", key, kept_db)

    def _keep(self, table: str, key: str, value: object) -> None:
        entries = self._kept.get(table)
        self._kept = {
            **_machine(),
            **self._kept,
            table: {**(entries if isinstance(entries, dict) else {}), key: value},
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as part:
                part.write_text(json.dumps(self._kept, indent=2) + "\n", encoding="utf-8")
        except OSError as error:  # a cache that cannot be written, or another run that writes it now
            _log.debug("%s is not written: %s", self._path, error)


def _is_measured(found: object, names: set[str]) -> bool:
    if not isinstance(found, dict) or not found or not found.keys() <= names:
        return False
    return all(isinstance(ms, int | float) and ms > 0 for ms in found.values())
