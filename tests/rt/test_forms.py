"""The form in which a CPU computes a style."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rt.backends import BackendInfo, open_backend, pinned_precision
from rt.backends.base import Computed
from rt.backends.forms import BF16, BUDGET_S, FORMS, FP32, INT8, INT8_BF16, Form, forms_file, quickest_form
from rt.card import Card, Model
from rt.errors import BackendError
from rt.styles import Style, find_style
from tests.support.backends import installed
from tests.support.forms import keep_forms
from tests.support.onnx_styles import make_style

SIZE = (16, 24)


class Clock:
    """Time that passes only when something is computed or loaded."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Timed:
    """A form that takes a known time an image and is off by so many levels."""

    def __init__(self, machine: Machine, form: Form) -> None:
        self.machine, self.form = machine, form
        self.info = BackendInfo("timed", "none", form.name, SIZE)

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        self.machine.clock.now_s += self.machine.ms[self.form.name] / 1000
        off = self.machine.off.get(self.form.name, 0)
        result: npt.NDArray[np.uint8] = np.minimum(rgb, 255 - off) + np.uint8(off) if off else rgb.copy()
        return result

    def start(self, rgb: npt.NDArray[np.uint8]) -> Computed:
        return Computed(self.translate(rgb))

    def close(self) -> None:
        self.machine.open.remove(self.form.name)


class Machine:
    """A CPU on which each form takes so many milliseconds, and loading so many seconds."""

    def __init__(self, ms: dict[str, float], load_s: float = 0.1, off: dict[str, int] | None = None) -> None:
        self.ms, self.load_s, self.off, self.clock = ms, load_s, off or {}, Clock()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def load(self, form: Form) -> Timed:
        self.clock.now_s += self.load_s
        self.open.append(form.name)
        self.loaded.append(form.name)
        return Timed(self, form)

    def choose(self, card: Card) -> tuple[Form, str]:
        return quickest_form(card, SIZE, self.load, self.clock)


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is known of this CPU."""
    monkeypatch.setenv("VIDEOBRUSH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], None]:
    def has(bf16: bool, tiles: bool) -> None:
        monkeypatch.setattr("rt.backends.forms.has_bf16", lambda: bf16)
        monkeypatch.setattr("rt.backends.forms.computes_bf16_in_tiles", lambda: tiles)

    return has


def card(*precisions: str) -> Card:
    models = {name: Model(f"{name}.onnx", f"{name:0>64}", 1) for name in precisions}
    return Card("drawn", "Drawn", 4, 16, 32, models, "cyclegan")


QUICK = {"int8": 5.0, "int8+bf16": 4.0, "bf16": 6.0, "fp32": 12.0}


@pytest.mark.parametrize(
    ("bf16", "tiles", "precisions", "form"),
    [
        (False, False, ("int8", "fp32"), INT8),
        (False, False, ("fp32",), FP32),
        (True, True, ("int8", "fp32"), INT8_BF16),
        (True, True, ("int8",), INT8_BF16),
        (True, True, ("fp32",), BF16),
    ],
)
def test_where_the_instructions_settle_it_no_time_is_taken(
    bf16: bool, tiles: bool, precisions: tuple[str, ...], form: Form, cpu: Callable[[bool, bool], None]
) -> None:
    cpu(bf16, tiles)
    machine = Machine(dict.fromkeys(FORMS, 1.0))
    found, why = machine.choose(card(*precisions))
    assert (found, "AMX" in why, "measured" in why) == (form, tiles, False)
    assert machine.loaded == ([form.name, "fp32" if "fp32" in precisions else "int8"] if tiles else [])
    assert machine.open == []


@pytest.mark.parametrize(
    ("ms", "form"),
    [
        ({"int8": 5.0, "int8+bf16": 4.0, "bf16": 6.0}, INT8_BF16),
        ({"int8": 5.0, "int8+bf16": 9.5, "bf16": 9.0}, INT8),
        ({"int8": 5.0, "int8+bf16": 4.9, "bf16": 4.0}, BF16),
        ({"int8": 5.0, "int8+bf16": 4.9, "bf16": 5.0}, INT8),  # no quicker than the noise of measuring
    ],
)
def test_else_the_forms_take_turns_once_and_the_quickest_is_kept(
    ms: dict[str, float], form: Form, cpu: Callable[[bool, bool], None]
) -> None:
    cpu(True, False)
    machine = Machine({**ms, "fp32": 12.0})
    found, why = machine.choose(card("int8", "fp32"))
    assert found == form
    assert why.startswith(f"measured here once: {ms[form.name]:.1f} ms an image, ")
    assert ("leaves bf16 out" in why) == form.bf16
    assert machine.loaded[:3] == ["int8", "int8+bf16", "bf16"]
    assert machine.open == []
    again = Machine(QUICK)
    assert again.choose(card("int8", "fp32")) == (found, why)
    assert again.loaded == []


@pytest.mark.parametrize(("load_s", "each_ms"), list(product((0.01, 0.2, 0.6, 3.0), (1.0, 40.0, 400.0))))
def test_measuring_ends_within_a_second_and_the_load_and_images_under_way(
    load_s: float, each_ms: float, cpu: Callable[[bool, bool], None]
) -> None:
    cpu(True, False)
    machine = Machine(dict.fromkeys(FORMS, each_ms), load_s)
    found, _ = machine.choose(card("int8", "fp32"))
    assert found == INT8
    one_s = load_s + 3 * each_ms / 1000  # a load and its turn, which are not interrupted
    assert machine.clock.now_s <= one_s + BUDGET_S + one_s + 2 * each_ms / 1000


def test_what_there_was_no_time_to_measure_is_not_kept(cpu: Callable[[bool, bool], None]) -> None:
    cpu(True, False)
    assert Machine(QUICK, load_s=0.8).choose(card("int8", "fp32"))[0] == INT8_BF16
    assert json.loads(forms_file().read_text()).get("ms") is None
    assert Machine({**QUICK, "bf16": 1.0}).choose(card("int8", "fp32"))[0] == BF16


def test_a_form_that_changes_the_image_too_much_is_passed_over(cpu: Callable[[bool, bool], None]) -> None:
    cpu(True, False)
    # 4 levels off everywhere are 36 dB, 5 are 34.
    assert Machine(QUICK, off={"int8+bf16": 4}).choose(card("int8", "fp32"))[0] == INT8_BF16
    for file in forms_file().parent.iterdir():
        file.unlink()
    machine = Machine(QUICK, off={"int8+bf16": 5})
    assert machine.choose(card("int8", "fp32"))[0] == INT8
    machine.loaded.clear()
    assert machine.choose(card("int8", "fp32"))[0] == INT8
    assert machine.loaded == []  # what it keeps is known


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"ms": 1}', '{"ms": {"int8 int8+bf16 bf16": {"fp8": 1}}, "db": []}']
)
def test_a_record_that_cannot_be_read_is_written_anew(text: str, cpu: Callable[[bool, bool], None]) -> None:
    cpu(True, False)
    forms_file().parent.mkdir(parents=True)
    forms_file().write_text(text)
    assert Machine(QUICK).choose(card("int8", "fp32"))[0] == INT8_BF16
    kept = json.loads(forms_file().read_text())
    assert kept["ms"]["int8 int8+bf16 bf16"] == {"int8": 5.0, "int8+bf16": 4.0, "bf16": 6.0}
    assert list(kept["db"].values()) == [99.0]


def test_a_cache_that_cannot_be_written_costs_the_measurement_alone(
    fresh: Path, cpu: Callable[[bool, bool], None]
) -> None:
    cpu(True, False)
    fresh.write_text("a file where the folder should be")
    assert Machine(QUICK).choose(card("int8", "fp32"))[0] == INT8_BF16


@pytest.mark.parametrize("what", ["cpu_name", "cpu_threads"])
def test_another_cpu_and_another_version_have_another_record(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = forms_file()
    monkeypatch.setattr(f"rt.backends.forms.{what}", lambda: 64)
    other = forms_file()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")
    assert len({before, other, forms_file()}) == 3


@pytest.fixture
def style(tmp_path: Path) -> Style:
    return find_style(make_style(tmp_path / "both", precisions=("fp32", "int8")))


def test_the_start_line_says_what_was_measured_and_a_precision_overrides_it(style: Style) -> None:
    sha = style.card.models["int8"].sha256
    keep_forms(
        {"int8 int8+bf16 bf16": {"int8": 5.0, "int8+bf16": 4.0, "bf16": 6.0}}, {f"{sha} int8+bf16": 50}
    )
    assert pinned_precision("openvino", style, "auto") == "int8+bf16"
    assert pinned_precision("auto", style, "int8") == "int8"
    assert pinned_precision("onnxruntime", style, "auto") == "auto"
    choice = open_backend(installed("openvino"), style, SIZE, "int8")
    assert (choice.backend.info.precision, choice.reason) == ("int8", "asked for")
    keep_forms({"int8 int8+bf16 bf16": {"int8": 4.0, "int8+bf16": 5.0}})
    choice = open_backend("openvino", style, SIZE)
    assert choice.reason == "asked for; int8: measured here once: 4.0 ms an image, int8+bf16 5.0"


@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize(("form", "instead"), [("bf16", "fp32"), ("int8+bf16", "int8")])
def test_a_backend_without_bf16_refuses_it(backend: str, form: str, instead: str, style: Style) -> None:
    message = f"backend {backend} has no {form}: type --backend openvino, or --precision {instead}"
    with pytest.raises(BackendError) as error:
        open_backend(backend, style, SIZE, form)
    assert str(error.value) == message
