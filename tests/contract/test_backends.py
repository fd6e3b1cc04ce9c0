"""The promises of every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper

from rt.backends import Backend, open_backend
from rt.errors import BackendError
from rt.styles import Style, find_style
from tests.support.backends import NETWORKED, OPENABLE, installed, opened
from tests.support.onnx_styles import drawn_image, make_style, save_generator, save_graph, save_negative

SIZE = (32, 48)
node = helper.make_node


@pytest.fixture(params=OPENABLE)
def name(request: pytest.FixtureRequest) -> str:
    return installed(request.param)


@pytest.fixture(params=NETWORKED)
def networked(request: pytest.FixtureRequest) -> str:
    return installed(request.param)


@pytest.fixture
def style(tmp_path: Path) -> Style:
    return find_style(make_style(tmp_path))


@pytest.fixture(params=["latency", "throughput"])
def backend(request: pytest.FixtureRequest, name: str, style: Style) -> Backend:
    return opened(name, style, SIZE, request.param)


def images(count: int = 1, size: tuple[int, int] = SIZE) -> npt.NDArray[np.uint8]:
    return np.stack([drawn_image(*size, seed=seed) for seed in range(count)])


def around(tmp_path: Path, model: Path) -> Style:
    return find_style(make_style(tmp_path, model=model))


def test_a_backend_says_its_name_its_device_and_its_precision(backend: Backend, name: str) -> None:
    assert backend.info.name == name
    if name == "identity":
        assert (backend.info.device, backend.info.precision) == ("none (images are copied)", "exact")
    elif name == "tensorrt":
        assert backend.info.device.startswith("GPU (Stand-in GPU, TensorRT 10.13.3.9, ")
        assert backend.info.precision == "fp32"
    else:
        assert backend.info.device.startswith("CPU (")
        assert backend.info.device.endswith((" thread)", " threads)"))
        assert backend.info.precision == "fp32"


def test_the_input_is_not_changed_and_the_result_does_not_follow_it(backend: Backend) -> None:
    rgb = images()
    before = rgb.copy()
    result = backend.translate(rgb)
    assert np.array_equal(rgb, before)
    kept = result.copy()
    rgb[:] = 7
    assert np.array_equal(result, kept)
    assert not np.shares_memory(result, rgb)


def test_as_many_images_as_it_says_are_in_flight_and_come_back_in_order(backend: Backend) -> None:
    given = images(3 * backend.info.slots)
    expected = [backend.translate(image[None]) for image in given]
    assert len({image.tobytes() for image in expected}) == len(given)
    for first in range(0, len(given), backend.info.slots):
        flying = [backend.start(image[None]) for image in given[first : first + backend.info.slots]]
        found = [pending.result() for pending in flying]
        assert np.array_equal(found, expected[first : first + backend.info.slots])


def test_openvino_holds_several_images_for_throughput_and_one_for_latency(style: Style) -> None:
    installed("openvino")
    slots = {
        mode: open_backend("openvino", style, SIZE, mode=mode).backend.info.slots
        for mode in ("latency", "throughput")
    }
    assert slots["latency"] == 1
    assert slots["throughput"] >= 2


def test_a_result_is_the_callers_and_no_later_call_writes_to_it(backend: Backend) -> None:
    first = backend.translate(images(3)[:1])
    kept = first.copy()
    second = backend.translate(images(3)[2:])
    assert not np.array_equal(second, kept)
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(backend.translate(images(3)[2:]), second)


def test_the_same_image_gives_the_same_result_every_time(backend: Backend) -> None:
    results = [backend.translate(images()) for _ in range(3)]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("layout", ["mirrored", "cropped", "planar", "read-only"])
def test_memory_of_any_layout_is_taken(backend: Backend, layout: str) -> None:
    plain = images()
    expected = backend.translate(plain)
    if layout == "mirrored":
        given = np.ascontiguousarray(plain[:, :, ::-1])[:, :, ::-1]
    elif layout == "cropped":
        given = np.pad(plain, ((0, 0), (3, 2), (1, 5), (0, 1)))[:, 3:-2, 1:-5, :3]
    elif layout == "planar":
        given = np.ascontiguousarray(plain.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    else:
        given = plain.copy()
        given.flags.writeable = False
    assert np.array_equal(given, plain)
    assert np.array_equal(backend.translate(given), expected)


def test_several_images_at_once_equal_each_alone(backend: Backend) -> None:
    many = images(3)
    together = backend.translate(many)
    alone = np.concatenate([backend.translate(many[i : i + 1]) for i in range(3)])
    assert together.shape == (3, *SIZE, 3)
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_no_images_give_no_images(backend: Backend) -> None:
    assert backend.translate(images()[:0]).shape == (0, *SIZE, 3)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((1, 48, 32, 3), np.uint8), "uint8[1, 48, 32, 3]"),
        (np.zeros((32, 48, 3), np.uint8), "uint8[32, 48, 3]"),
        (np.zeros((1, 32, 48, 4), np.uint8), "uint8[1, 32, 48, 4]"),
        (np.zeros((1, 32, 48, 3), np.float32), "float32[1, 32, 48, 3]"),
    ],
)
def test_a_image_of_another_kind_is_refused(
    backend: Backend, name: str, wrong: npt.NDArray[np.uint8], found: str
) -> None:
    with pytest.raises(BackendError) as error:
        backend.translate(wrong)
    assert str(error.value) == (
        f"backend {name} was opened for uint8[N, 32, 48, 3] and cannot translate {found}"
    )
    assert backend.translate(images()).shape == (1, *SIZE, 3)


def test_close_works_twice_and_a_closed_backend_refuses_images(backend: Backend, name: str) -> None:
    result = backend.translate(images())
    kept = result.copy()
    backend.close()
    backend.close()
    assert np.array_equal(result, kept)
    with pytest.raises(BackendError, match=f"^backend {name} is closed and cannot translate$"):
        backend.translate(images())


def test_two_backends_work_in_two_threads_at_once(name: str, style: Style) -> None:
    both = [opened(name, style, SIZE) for _ in range(2)]
    inputs = [images(2)[:1], images(2)[1:]]
    expected = [one.translate(rgb) for one, rgb in zip(both, inputs, strict=True)]
    wrong: list[int] = []
    together = threading.Barrier(2)

    def work(which: int) -> None:
        for _ in range(20):
            together.wait(30)
            if not np.array_equal(both[which].translate(inputs[which]), expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_a_known_network_gives_the_known_image(networked: str, tmp_path: Path) -> None:
    style = around(tmp_path, save_negative(tmp_path / "negative.onnx"))
    found = open_backend(networked, style, SIZE).backend.translate(images())
    assert np.array_equal(found, 255 - images())


def test_tensor_names_are_read_from_the_network(networked: str, tmp_path: Path) -> None:
    style = around(tmp_path, save_generator(tmp_path / "named.onnx", frame="input.1", translated="742"))
    plain = around(tmp_path / "plain", save_generator(tmp_path / "plain.onnx"))
    found = open_backend(networked, style, SIZE).backend.translate(images())
    assert np.array_equal(found, open_backend(networked, plain, SIZE).backend.translate(images()))


def test_a_network_that_hands_its_input_through_still_gives_a_new_image(
    networked: str, tmp_path: Path
) -> None:
    style = around(tmp_path, save_graph(tmp_path / "through.onnx", [node("Identity", ["frame"], ["same"])]))
    rgb = images()
    found = open_backend(networked, style, SIZE).backend.translate(rgb)
    assert np.array_equal(found, rgb)
    assert not np.shares_memory(found, rgb)


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (64, 36)])
def test_openvino_and_onnxruntime_give_the_same_image_within_one_level(
    style: Style, size: tuple[int, int]
) -> None:
    results = [
        open_backend(installed(name), style, size).backend.translate(images(2, size)).astype(int)
        for name in NETWORKED
    ]
    assert np.abs(results[0] - results[1]).max() <= 1
    # A network that changes little, or saturates everywhere, would prove little.
    assert np.abs(results[0] - images(2, size)).mean() > 20
    assert 0.3 < np.mean((results[0] > 0) & (results[0] < 255)) < 0.99


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "text": lambda whole: b"this is not a network\n" * 20,
    "truncated": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: bytes(len(whole)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_network_is_one_line_and_nothing_else_is_printed(
    networked: str, tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = save_generator(tmp_path / "whole.onnx")
    model.write_bytes(DAMAGE[damage](model.read_bytes()))
    style = around(tmp_path, model)
    with pytest.raises(BackendError, match=r"model\.onnx") as error:
        open_backend(networked, style, SIZE)
    assert str(error.value).endswith("; export the style again")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_network_with_an_unknown_node_is_one_line(networked: str, tmp_path: Path) -> None:
    style = around(tmp_path, save_graph(tmp_path / "odd.onnx", [node("Nonsense", ["frame"], ["out"])]))
    with pytest.raises(BackendError, match="Nonsense") as error:
        open_backend(networked, style, SIZE)
    assert "\n" not in str(error.value)


def test_a_network_of_floats_is_refused_with_what_was_found(networked: str, tmp_path: Path) -> None:
    nodes = [node("Cast", ["frame"], ["out"], to=TensorProto.FLOAT)]
    model = save_graph(tmp_path / "floats.onnx", nodes, type_out=TensorProto.FLOAT)
    with pytest.raises(BackendError, match=r"output float32\[.*, 3\] found, one uint8\[N, H, W, 3\] needed"):
        open_backend(networked, around(tmp_path, model), SIZE)


def test_a_network_of_planes_is_refused_with_what_was_found(networked: str, tmp_path: Path) -> None:
    planes = ("N", 3, 64, 64)
    model = save_graph(
        tmp_path / "planes.onnx", [node("Identity", ["frame"], ["out"])], shape_in=planes, shape_out=planes
    )
    with pytest.raises(BackendError, match=r"input uint8\[.*, 3, 64, 64\] found, one uint8\[N, H, W, 3\]"):
        open_backend(networked, around(tmp_path, model), SIZE)


def test_a_network_for_another_fixed_size_is_refused_with_its_size(networked: str, tmp_path: Path) -> None:
    fixed = ("N", 64, 64, 3)
    model = save_graph(
        tmp_path / "fixed.onnx", [node("Identity", ["frame"], ["out"])], shape_in=fixed, shape_out=fixed
    )
    with pytest.raises(BackendError, match=r"takes 64x64 only, 32x48 asked") as error:
        open_backend(networked, around(tmp_path, model), SIZE)
    assert str(error.value).startswith(str(tmp_path))


def test_a_network_that_gives_another_shape_is_refused(networked: str, tmp_path: Path) -> None:
    nodes = [node("Transpose", ["frame"], ["out"], perm=[0, 2, 1, 3])]
    model = save_graph(tmp_path / "turned.onnx", nodes, shape_out=("a", "b", "c", "d"))
    with pytest.raises(BackendError, match=r"uint8\[1, 48, 32, 3\].*uint8\[1, 32, 48, 3\]"):
        open_backend(networked, around(tmp_path, model), SIZE).backend.translate(images())


def test_a_network_that_fails_while_it_runs_is_one_line_and_nothing_else_is_printed(
    networked: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mask = helper.make_tensor("mask", TensorProto.FLOAT, (1, 40, 1, 1), np.ones(40, np.float32))
    nodes = [
        node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
        node("Mul", ["x", "mask"], ["y"]),
        node("Cast", ["y"], ["out"], to=TensorProto.UINT8),
    ]
    style = around(tmp_path, save_graph(tmp_path / "mask.onnx", nodes, [mask]))
    with pytest.raises(BackendError, match=f"^backend {networked} ") as error:
        open_backend(networked, style, SIZE).backend.translate(images())
    assert "\n" not in str(error.value)
    assert "40" in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_network_that_computes_no_numbers_still_gives_images(networked: str, tmp_path: Path) -> None:
    low, high = (
        helper.make_tensor(name, TensorProto.FLOAT, (), [at]) for name, at in (("low", 0), ("high", 255))
    )
    nodes = [
        node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
        node("Sub", ["x", "x"], ["nought"]),
        node("Div", ["nought", "nought"], ["nan"]),
        node("Clip", ["nan", "low", "high"], ["clipped"]),
        node("Round", ["clipped"], ["rounded"]),
        node("Cast", ["rounded"], ["out"], to=TensorProto.UINT8),
    ]
    style = around(tmp_path, save_graph(tmp_path / "nan.onnx", nodes, [low, high]))
    found = open_backend(networked, style, SIZE).backend.translate(images(2))
    assert found.dtype == np.uint8
    assert found.shape == (2, *SIZE, 3)
    assert len(np.unique(found)) == 1


def test_openvino_goes_on_after_a_image_that_failed(style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    from rt.backends import openvino

    backend = open_backend(installed("openvino"), style, SIZE, mode="latency").backend
    image = np.zeros((1, *SIZE, 3), np.uint8)
    before = backend.translate(image)
    with monkeypatch.context() as patched:

        def check(*_: object) -> None:
            raise BackendError("it has holes")

        patched.setattr(openvino, "check_result", check)
        with pytest.raises(BackendError, match="it has holes"):
            backend.translate(image)
    assert np.array_equal(backend.translate(image), before)
    backend.close()


@pytest.mark.parametrize(
    ("tiles", "asked", "hint", "said"),
    [
        (False, "auto", "f32", "fp32"),
        (False, "fp32", "f32", "fp32"),
        (True, "fp32", "f32", "fp32"),
        (True, "auto", "bf16", "bf16"),
    ],
)
def test_openvino_computes_in_bf16_where_the_cpu_has_tiles_for_it_and_nothing_is_asked(
    tiles: bool,
    asked: str,
    hint: str,
    said: str,
    style: Style,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from openvino import Core

    from rt.backends.openvino import OpenVinoBackend

    if hint == "bf16" and "BF16" not in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no instructions for bf16")
    exact = open_backend(installed("openvino"), style, SIZE, "fp32").backend.translate(images(2))
    monkeypatch.setenv("VIDEOBRUSH_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr("rt.backends.forms.computes_bf16_in_tiles", lambda: tiles)
    monkeypatch.setattr("rt.backends.forms.has_bf16", lambda: tiles)
    choice = open_backend("openvino", style, SIZE, asked)
    backend = choice.backend
    assert isinstance(backend, OpenVinoBackend)
    compiled = backend._free[0].get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == hint
    assert (backend.info.precision, "AMX" in choice.reason) == (said, hint == "bf16")
    found = backend.translate(images(2))
    worst = np.abs(found.astype(int) - exact).max()
    assert worst == 0 if hint == "f32" else worst <= 4
