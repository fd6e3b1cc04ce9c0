"""Engines on the stand-in GPU: every version, mode and schedule gives ONNX Runtime's bytes."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rt.backends import Mode
from rt.backends.tensorrt import TensorRtBackend, try_gpu
from rt.cuda.device import find_gpu
from rt.errors import BackendError
from tests.stand_in.conftest import SIZE, Network
from tests.support import tensorrt
from tests.support.cuda import SCHEDULES, StandIn
from tests.support.tensorrt.behaviour import make_plan

MODES: tuple[Mode, ...] = ("latency", "throughput")
Opened = Callable[..., TensorRtBackend]
ILLEGAL_ADDRESS = 700


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


def noise(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_images_equal_those_of_onnxruntime_to_the_bit(
    gpu: StandIn, trt: Any, mode: Mode, schedule: str, integrated: bool, opened: Opened, network: Network
) -> None:
    with gpu.having(integrated=integrated):
        backend = opened(trt, mode)
        gpu.schedule(schedule)
        rgb = noise(7)
        expected = network.expected(rgb)
        assert np.array_equal(backend.translate(rgb), expected)
        assert np.abs(expected.astype(int) - rgb).mean() > 20
        backend.close()
        backend.close()


def test_as_many_images_fly_as_there_are_slots(
    one: Any, mode: Mode, opened: Opened, network: Network
) -> None:
    backend = opened(one, mode)
    assert backend.info.slots == {"latency": 1, "throughput": 3}[mode]
    rgb = noise(11)
    flying: list[Any] = []
    found = []
    for image in rgb:
        if len(flying) == backend.info.slots:
            found.append(flying.pop(0).result())
        given = image[None].copy()
        flying.append(backend.start(given))
        given[:] = 0  # an image that was taken is the caller's again
    found += [pending.result() for pending in flying]
    assert np.array_equal(np.concatenate(found), network.expected(rgb))


def test_an_earlier_result_is_not_overwritten(one: Any, mode: Mode, opened: Opened) -> None:
    backend = opened(one, mode)
    first = backend.translate(noise(1))
    kept = first.copy()
    backend.translate(noise(5, seed=1))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("integrated", [False, True])
def test_what_is_held_while_open_and_nothing_afterwards(
    gpu: StandIn, one: Any, mode: Mode, integrated: bool, opened: Opened
) -> None:
    with gpu.having(integrated=integrated):
        backend = opened(one, mode)
        slots = {"latency": 1, "throughput": 3}[mode]
        # Where the host's memory is shared, only the network's scratch memory is the GPU's own.
        assert gpu.held() == {
            "streams": 1 if mode == "latency" else 3,
            "events": 3 * slots,
            "pinned memory": 2 * slots,
            "device memory": slots if integrated else 3 * slots,
            "graphs": slots,
            "contexts": 1,
        }
        backend.close()
        assert gpu.held() == {}


def test_the_device_is_said_in_words(trt: Any, opened: Opened) -> None:
    product = "TensorRT for RTX" if hasattr(trt, "ComputeCapability") else "TensorRT"
    said = f"GPU (Stand-in GPU, {product} {trt.__version__}"
    assert opened(trt, "latency").info.device == f"{said}, 1 image in flight, CUDA graph)"
    assert opened(trt, "throughput").info.device == f"{said}, 3 images in flight, CUDA graph)"


def test_a_network_that_cannot_be_recorded_is_launched_and_that_is_said(
    one: Any, mode: Mode, opened: Opened, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = one.IExecutionContext.execute_async_v3

    def allocates(context: Any, stream: int) -> bool:
        import pycuda.driver as driver

        memory = driver.mem_alloc(16)
        memory.free()
        return bool(execute(context, stream))

    monkeypatch.setattr(one.IExecutionContext, "execute_async_v3", allocates)
    backend = opened(one, mode)
    assert "no CUDA graph: the GPU failed to record a graph: cuMemAlloc failed" in backend.info.device
    assert np.array_equal(backend.translate(noise(5)), network.expected(noise(5)))


@pytest.mark.parametrize("trt", [tensorrt.VERSIONS[-1]], indirect=True)
def test_an_engine_that_rtx_cannot_record_is_launched_and_that_is_said(
    trt: Any, mode: Mode, network: Network
) -> None:
    plan = make_plan(trt.__version__, network.model, (1, *SIZE, 3), user_allocation=False)
    backend = TensorRtBackend(trt, plan, SIZE, "fp32", mode)
    assert backend.info.device.endswith("no CUDA graph: TensorRT for RTX cannot record this engine)")
    assert np.array_equal(backend.translate(noise(5)), network.expected(noise(5)))
    backend.close()


def test_open_use_and_close_may_be_in_three_threads(
    one: Any, mode: Mode, network: Network, gpu: StandIn
) -> None:
    backends: list[TensorRtBackend] = []
    found: list[npt.NDArray[np.uint8]] = []
    steps: list[Callable[[], object]] = [
        lambda: backends.append(TensorRtBackend(one, network.plan(one), SIZE, "fp32", mode)),
        lambda: found.append(backends[0].translate(noise(5))),
        lambda: backends[0].close(),
    ]
    for step in steps:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert np.array_equal(found[0], network.expected(noise(5)))
    assert gpu.held() == {}


def test_two_backends_work_at_once_in_two_threads(
    one: Any, mode: Mode, opened: Opened, network: Network
) -> None:
    backends = [opened(one, mode) for _ in range(2)]
    rgb = [noise(6, seed) for seed in range(2)]
    expected = [network.expected(each) for each in rgb]
    together = threading.Barrier(2)
    right: list[bool] = []

    def work(which: int) -> None:
        for _ in range(10):
            together.wait(60)
            right.append(np.array_equal(backends[which].translate(rgb[which]), expected[which]))

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert right == [True] * 20


def test_closing_gives_up_what_is_in_flight(one: Any, mode: Mode, opened: Opened, gpu: StandIn) -> None:
    backend = opened(one, mode)
    flying = [backend.start(noise(1)) for _ in range(backend.info.slots)]
    backend.close()
    assert gpu.held() == {}
    with pytest.raises(BackendError, match="^backend tensorrt is closed: the image in flight was given up$"):
        flying[0].result()
    with pytest.raises(BackendError, match="^backend tensorrt is closed and cannot translate$"):
        backend.start(noise(1))


def test_a_gpu_that_fails_is_one_line_and_everything_is_released(
    gpu: StandIn, one: Any, mode: Mode, opened: Opened
) -> None:
    backend = opened(one, mode)
    pending = backend.start(noise(1))
    with gpu.having(fault=ILLEGAL_ADDRESS):
        with pytest.raises(BackendError) as error:
            pending.result()
        assert str(error.value) == (
            "the GPU failed to translate: cuEventSynchronize failed: an illegal memory access was encountered"
        )
        backend.close()
    assert gpu.held() == {}


@pytest.mark.parametrize("call", ["memcpy_htod_async", "memcpy_dtoh_async"])
def test_a_gpu_that_fails_while_an_engine_is_loaded_is_one_line_and_everything_is_released(
    gpu: StandIn, one: Any, mode: Mode, opened: Opened, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = importlib.import_module("pycuda.driver")

    def fails(*given: object) -> None:
        raise driver.LogicError("copy failed: invalid argument")

    monkeypatch.setattr(driver, call, fails)
    with pytest.raises(BackendError) as error:
        opened(one, mode)
    assert str(error.value) == "the GPU failed to run the network: copy failed: invalid argument"
    assert gpu.held() == {}


@pytest.mark.parametrize(
    ("memory_bytes", "message"),
    [
        (
            0,
            "the GPU failed to take memory for images of 48x32: it is out of memory (cuMemAlloc failed: ",
        ),
        (
            12_000,
            "backend tensorrt cannot use the engine: TensorRT gives no reason; it needs 1 MiB on the "
            "GPU for each of 1 images in flight, 0 MiB are free; type a smaller --size",
        ),
    ],
)
def test_a_gpu_without_enough_memory_says_so_and_everything_is_released(
    gpu: StandIn, one: Any, opened: Opened, memory_bytes: int, message: str
) -> None:
    with gpu.having(memory_bytes=memory_bytes), pytest.raises(BackendError) as error:
        opened(one)
    assert str(error.value).startswith(message)
    assert gpu.held() == {}


@pytest.mark.parametrize(
    ("version", "compute_capability", "why"),
    [
        ("10.99", 86, "the engine is of version 10.99, not 10.13.3.9"),
        ("10.13.3.9", 89, "the engine is for sm89, the device is sm86"),
    ],
)
def test_an_engine_for_something_else_is_refused_with_the_command_that_builds_it(
    gpu: StandIn, one: Any, network: Network, version: str, compute_capability: int, why: str
) -> None:
    plan = make_plan(version, network.model, (1, *SIZE, 3), compute_capability)
    with pytest.raises(BackendError) as error:
        TensorRtBackend(one, plan, SIZE, "fp32", "latency", "BUILD AGAIN")
    assert str(error.value) == (
        f"backend tensorrt cannot load the engine with TensorRT 10.13.3.9 on Stand-in GPU (sm86): {why}; "
        "type: BUILD AGAIN"
    )
    assert gpu.held() == {}


def test_tensorrt_for_rtx_says_in_a_word_what_is_wrong_with_an_engine(gpu: StandIn, network: Network) -> None:
    rtx = tensorrt.load(tensorrt.VERSIONS[-1])
    plan = make_plan(rtx.__version__, network.model, (1, *SIZE, 3), compute_capability=120)
    with pytest.raises(
        BackendError, match=r"the engine is for sm120, the device is sm86 \(UNSUPPORTED_CC\); "
    ):
        TensorRtBackend(rtx, plan, SIZE, "fp32")
    assert rtx.faults == []


def test_a_file_that_is_no_engine_is_refused(gpu: StandIn, one: Any) -> None:
    with pytest.raises(
        BackendError, match=r"Error Code 1: Serialization \(magicTagRead == kMAGIC_TAG\); type: "
    ):
        TensorRtBackend(one, b"nothing", SIZE, "fp32")
    assert gpu.held() == {}


def test_an_engine_of_another_size_is_refused(gpu: StandIn, one: Any, network: Network) -> None:
    with pytest.raises(BackendError) as error:
        TensorRtBackend(one, network.plan(one, (64, 64)), SIZE, "fp32", "latency", "BUILD AGAIN")
    assert str(error.value) == (
        "backend tensorrt cannot use the engine: input uint8[1, 64, 64, 3] found, one uint8[1, 32, 48, 3] "
        "needed; type: BUILD AGAIN"
    )
    assert gpu.held() == {}


def test_a_machine_without_a_gpu_is_one_line(gpu: StandIn, one: Any, opened: Opened) -> None:
    with gpu.having(devices=0), pytest.raises(BackendError) as error:
        opened(one)
    assert str(error.value) == (
        "the GPU cannot be used: the NVIDIA driver does not start (cuInit failed: no CUDA-capable device is "
        "detected); nvidia-smi says more"
    )


def test_a_gpu_is_tried_by_sending_a_image_there_and_back(gpu: StandIn, trt: Any) -> None:
    product = "TensorRT for RTX" if hasattr(trt, "ComputeCapability") else "TensorRT"
    assert try_gpu() == (f"GPU (Stand-in GPU, sm86) with {product} {trt.__version__}", trt.__version__)
    assert gpu.held() == {}


def test_the_facts_of_a_gpu(gpu: StandIn) -> None:
    with gpu.having(integrated=True, memory_bytes=1 << 30):
        facts = find_gpu()
    assert (facts.name, facts.compute_capability) == ("Stand-in GPU", "sm86")
    assert (facts.memory_bytes, facts.integrated) == (1 << 30, True)
    assert facts.model == "Stand-in GPU, 26 SMs, 1 GiB"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda trt: trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS, "OBEY_PRECISION_CONSTRAINTS"),
        (lambda trt: trt.IExecutionContext().execute_v2([1]), "execute_v2"),
        (lambda trt: trt.IExecutionContext().execute_async_v3("stream"), "incompatible function arguments"),
        (lambda trt: trt.IExecutionContext().execute_async_v3(), "incompatible function arguments"),
        (lambda trt: trt.IExecutionContext().set_tensor_address("frame", 1.5), "incompatible"),
        (lambda trt: trt.IExecutionContext().set_tensor_address(name="frame", address=1), "incompatible"),
        (lambda trt: trt.Runtime("no logger"), "incompatible function arguments"),
    ],
)
def test_the_stand_in_for_tensorrt_takes_only_what_tensorrt_takes(
    one: Any, call: Callable[[Any], object], message: str
) -> None:
    with pytest.raises((AttributeError, TypeError), match=message):
        call(one)
    one.faults.clear()


def test_versions_differ_where_they_do(trt: Any) -> None:
    major = int(trt.__version__.split(".")[0])
    typed = {10: 1, 11: 0, 1: 0}[major]
    assert int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == typed
    assert hasattr(trt.BuilderFlag, "FP16") == (major == 10)
    assert hasattr(trt.Runtime, "get_engine_validity") == (major == 1)


def test_only_for_throughput_a_thread_sleeps_while_it_waits(
    one: Any, mode: Mode, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = importlib.import_module("pycuda.driver")
    event, flags = driver.Event, driver.event_flags
    made: list[int] = []

    def note(given: int) -> Any:
        made.append(given)
        return event(given)

    monkeypatch.setattr(driver, "Event", note)
    backend = opened(one, mode)
    blocking = flags.DISABLE_TIMING | flags.BLOCKING_SYNC
    done = {"latency": flags.DISABLE_TIMING, "throughput": blocking}[mode]
    assert made == [flags.DISABLE_TIMING, flags.DISABLE_TIMING, done] * backend.info.slots
