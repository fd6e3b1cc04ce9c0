"""Pipelines broken on purpose give wrong bytes on the stand-in GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rt.cuda.slot
from rt.backends import Mode
from rt.backends.tensorrt import TensorRtBackend
from rt.cuda.slot import Slot
from rt.errors import BackendError
from tests.stand_in.conftest import SIZE, Network
from tests.support.cuda import SCHEDULES, StandIn

Break = Callable[[pytest.MonkeyPatch], None]


def no_wait_for_the_result(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Slot, "finish", lambda slot: np.array(slot.buffers.host_out))


def wait_for_the_wrong_step(patch: pytest.MonkeyPatch) -> None:
    def finish(slot: Slot) -> npt.NDArray[np.uint8]:
        slot._computed.synchronize()
        return np.array(slot.buffers.host_out)

    patch.setattr(Slot, "finish", finish)


def result_not_copied(patch: pytest.MonkeyPatch) -> None:
    finish = Slot.finish

    def keep(slot: Slot) -> npt.NDArray[np.uint8]:
        finish(slot)
        return slot.buffers.host_out

    patch.setattr(Slot, "finish", keep)


def no_order_between_streams(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rt.cuda.slot, "_follow", lambda later, earlier, event: None)


def order_without_the_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rt.cuda.slot, "_follow", lambda later, earlier, event: event.record(earlier))


def wait_before_the_record(patch: pytest.MonkeyPatch) -> None:
    def follow(later: Any, earlier: Any, event: Any) -> None:
        if later is not earlier:
            later.wait_for_event(event)
            event.record(earlier)

    patch.setattr(rt.cuda.slot, "_follow", follow)


def slot_used_before_it_is_free(patch: pytest.MonkeyPatch) -> None:
    start = TensorRtBackend.start

    def start_in_the_first(backend: TensorRtBackend, rgb: npt.NDArray[np.uint8]) -> Any:
        backend._free.appendleft(backend._all[0])
        return start(backend, rgb)

    patch.setattr(TensorRtBackend, "start", start_in_the_first)


def one_device_buffer_for_all_slots(patch: pytest.MonkeyPatch) -> None:
    bind = TensorRtBackend._bind

    def bind_to_the_first(backend: TensorRtBackend, slot: Slot, *given: Any) -> Any:
        slot.buffers.device_in = backend._all[0].buffers.device_in
        return bind(backend, slot, *given)

    patch.setattr(TensorRtBackend, "_bind", bind_to_the_first)


def memory_freed_before_the_end(patch: pytest.MonkeyPatch) -> None:
    begin = Slot.begin

    def begin_and_free(slot: Slot, image: npt.NDArray[np.uint8]) -> None:
        begin(slot, image)
        slot.buffers.free()

    patch.setattr(Slot, "begin", begin_and_free)


def network_ended_before_its_run(patch: pytest.MonkeyPatch) -> None:
    begin = Slot.begin

    def begin_and_end(slot: Slot, image: npt.NDArray[np.uint8]) -> None:
        begin(slot, image)
        slot._enqueue = None

    patch.setattr(Slot, "begin", begin_and_end)


BREAKS: list[tuple[Break, tuple[Mode, ...]]] = [
    (no_wait_for_the_result, ("latency", "throughput")),
    (wait_for_the_wrong_step, ("throughput",)),
    (result_not_copied, ("latency", "throughput")),
    (no_order_between_streams, ("throughput",)),
    (order_without_the_wait, ("throughput",)),
    (wait_before_the_record, ("throughput",)),
    (slot_used_before_it_is_free, ("throughput",)),
    (one_device_buffer_for_all_slots, ("throughput",)),
    (memory_freed_before_the_end, ("latency", "throughput")),
    (network_ended_before_its_run, ("latency", "throughput")),
]


def caught(gpu: StandIn, trt: Any, network: Network, mode: Mode, schedule: str) -> bool:
    """Return whether images come out wrong, or the stand-ins complain."""
    rgb = np.random.default_rng(0).integers(0, 256, (7, *SIZE, 3), dtype=np.uint8)
    gpu.schedule(schedule)
    with gpu.having():  # whatever goes wrong, the next try has a working GPU
        backend = TensorRtBackend(trt, network.plan(trt), SIZE, "fp32", mode)
        try:
            found = run(backend, rgb)
            # Compared before the end: a result that was not copied may be gone afterwards.
            wrong = not np.array_equal(np.concatenate(found), network.expected(rgb))
        except BackendError:
            wrong = True
        backend.close()
    wrong = wrong or bool(trt.faults)
    trt.faults.clear()
    return wrong


def run(backend: TensorRtBackend, rgb: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """Translate one image after the other, with as many in flight as there are slots."""
    flying: deque[Any] = deque()
    found: list[npt.NDArray[np.uint8]] = []
    for image in rgb:
        if len(flying) == backend.info.slots:
            found.append(flying.popleft().result())
        flying.append(backend.start(image[None]))
    return [*found, *(pending.result() for pending in flying)]


@pytest.mark.parametrize(("broken", "mode"), [(broken, mode) for broken, modes in BREAKS for mode in modes])
def test_a_broken_pipeline_is_caught(
    gpu: StandIn, one: Any, network: Network, monkeypatch: pytest.MonkeyPatch, broken: Break, mode: Mode
) -> None:
    assert not any(caught(gpu, one, network, mode, schedule) for schedule in SCHEDULES)
    broken(monkeypatch)
    assert any(caught(gpu, one, network, mode, schedule) for schedule in SCHEDULES)
