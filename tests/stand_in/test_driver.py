"""The stand-in driver keeps a GPU's promises and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rt.cuda.device import Device
from rt.cuda.graph import Graph
from rt.errors import BackendError
from tests.support.cuda import StandIn


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    with device.current():
        yield device
    device.close()


class Memory:
    """Sixteen bytes on each side, full of different numbers."""

    def __init__(self, device: Device) -> None:
        driver = device.driver
        self.put: npt.NDArray[np.uint8] = driver.pagelocked_empty((16,), np.uint8)
        self.got: npt.NDArray[np.uint8] = driver.pagelocked_empty((16,), np.uint8)
        self.put[:], self.got[:] = 7, 1
        self.there = driver.mem_alloc(16)

    def free(self) -> None:
        arrays: list[Any] = [self.put.base, self.got.base]
        for held in (self.there, *arrays):
            held.free()


@pytest.fixture
def memory(device: Device) -> Iterator[Memory]:
    memory = Memory(device)
    yield memory
    memory.free()


def test_a_copy_has_not_happened_before_it_is_waited_for(device: Device, memory: Memory) -> None:
    stream = device.stream()
    device.driver.memcpy_htod_async(memory.there, memory.put, stream)
    device.driver.memcpy_dtoh_async(memory.got, memory.there, stream)
    assert set(memory.got) == {1}
    stream.synchronize()
    assert set(memory.got) == {7}


def test_a_host_buffer_written_to_too_early_is_copied_wrong(device: Device, memory: Memory) -> None:
    stream = device.stream()
    device.driver.memcpy_htod_async(memory.there, memory.put, stream)
    memory.put[:] = 9
    device.driver.memcpy_dtoh_async(memory.got, memory.there, stream)
    stream.synchronize()
    assert set(memory.got) == {9}


@pytest.mark.parametrize("waits", [True, False])
def test_streams_are_in_order_only_where_an_event_orders_them(
    device: Device, memory: Memory, waits: bool
) -> None:
    first, second, event = device.stream(), device.stream(), device.event()
    device.driver.memcpy_htod_async(memory.there, memory.put, first)
    event.record(first)
    if waits:
        second.wait_for_event(event)
    device.driver.memcpy_dtoh_async(memory.got, memory.there, second)
    second.synchronize()
    assert (set(memory.got) == {7}) == waits
    first.synchronize()


def test_an_event_recorded_again_is_waited_for_as_it_was_when_the_wait_was_queued(
    device: Device, memory: Memory
) -> None:
    first, second, event = device.stream(), device.stream(), device.event()
    event.record(first)
    second.wait_for_event(event)
    device.driver.memcpy_htod_async(memory.there, memory.put, first)
    event.record(first)
    second.synchronize()
    assert not first.is_done()
    event.synchronize()
    assert first.is_done()


@pytest.mark.parametrize(("schedule", "arrived"), [("late", 1), ("kernels early", 1), ("copies early", 7)])
def test_a_schedule_runs_copies_before_anybody_waits(
    gpu: StandIn, device: Device, memory: Memory, schedule: str, arrived: int
) -> None:
    gpu.schedule(schedule)
    stream = device.stream()
    device.driver.memcpy_htod_async(memory.there, memory.put, stream)
    device.driver.memcpy_dtoh_async(memory.got, memory.there, stream)
    assert set(memory.got) == {arrived}
    stream.synchronize()


def test_a_graph_does_nothing_until_it_is_sent_off_and_then_all_of_it(device: Device, memory: Memory) -> None:
    stream = device.stream()

    def steps() -> None:
        device.driver.memcpy_htod_async(memory.there, memory.put, stream)
        device.driver.memcpy_dtoh_async(memory.got, memory.there, stream)

    graph = Graph(stream, steps)
    stream.synchronize()
    assert set(memory.got) == {1}
    for value in (3, 4):
        memory.put[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert set(memory.got) == {value}
    graph.close()
    graph.close()


@pytest.mark.parametrize("call", ["synchronize", "allocate", "wait for an event"])
def test_what_cannot_be_recorded_spoils_the_recording(device: Device, call: str) -> None:
    stream, event = device.stream(), device.event()
    forbidden = {
        "synchronize": stream.synchronize,
        "allocate": lambda: device.driver.mem_alloc(16),
        "wait for an event": event.synchronize,
    }[call]

    def steps() -> None:
        with pytest.raises(device.driver.Error, match="not permitted when stream is capturing"):
            forbidden()

    with pytest.raises(
        BackendError, match="^the GPU failed to record a graph: cuStreamEndCapture returns 901$"
    ):
        Graph(stream, steps)
    Graph(stream, lambda: None).close()


def test_another_thread_may_wait_while_one_records(device: Device) -> None:
    stream = device.stream()
    statuses: list[str] = []

    def wait() -> None:
        with device.current():
            device.stream().synchronize()
            statuses.append("waited")

    def steps() -> None:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(60)

    Graph(stream, steps).close()
    assert statuses == ["waited"]


def test_memory_that_is_not_pinned_or_not_there_is_refused(device: Device, memory: Memory) -> None:
    stream = device.stream()
    for there, here in (
        (memory.there, np.zeros(16, np.uint8)),
        (int(memory.there) + 1, memory.put),
        (64, memory.put),
    ):
        with pytest.raises(device.driver.LogicError, match="cuMemcpyHtoDAsync failed: invalid argument"):
            device.driver.memcpy_htod_async(there, here, stream)


def test_memory_freed_before_its_copy_ran_is_a_fault_that_stays(
    gpu: StandIn, device: Device, memory: Memory
) -> None:
    stream, other = device.stream(), device.driver.mem_alloc(16)
    with gpu.having():
        device.driver.memcpy_htod_async(other, memory.put, stream)
        other.free()
        for _ in range(2):
            with pytest.raises(device.driver.LogicError, match="illegal memory access"):
                stream.synchronize()


def test_the_default_stream_and_streams_that_wait_for_it_are_refused(device: Device, memory: Memory) -> None:
    with pytest.raises(device.driver.LogicError, match="invalid resource handle"):
        device.driver.memcpy_htod_async(memory.there, memory.put)
    with pytest.raises(device.driver.LogicError, match="cuStreamCreate failed"):
        device.driver.Stream()


def test_a_thread_without_the_context_can_do_nothing(device: Device) -> None:
    failures: list[str] = []

    def work() -> None:
        try:
            device.stream()
        except device.driver.Error as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(failures) == 1
    assert "context" in failures[0]


def test_what_was_current_before_is_current_again() -> None:
    first, second = Device(), Device()
    stand_in = StandIn()
    with first.current():
        with second.current():
            assert stand_in.held() == {"contexts": 2, "contexts of this thread": 1}
        kept: Any = first.stream()
        kept.synchronize()
        del kept
    first.close()
    first.close()
    assert stand_in.held() == {"contexts": 1}
    second.close()
