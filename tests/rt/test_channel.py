from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from rt.channel import Channel, Empty, Ended

LIMIT_S = 20  # only reached where something hangs


def started(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(LIMIT_S)
    return not thread.is_alive()


def test_items_arrive_in_order_and_iteration_ends_at_the_end() -> None:
    channel: Channel[int] = Channel(2)

    def produce() -> None:
        for number in range(1000):
            assert channel.put(number)
        channel.close()

    producer = started(produce)
    assert list(channel) == list(range(1000))
    assert ended(producer)
    assert list(channel) == []


def test_put_waits_while_the_channel_is_full() -> None:
    channel: Channel[int] = Channel(3)
    accepted: list[int] = []
    third_accepted = threading.Event()

    def produce() -> None:
        for number in range(5):
            channel.put(number)
            accepted.append(number)
            if len(accepted) == 3:
                third_accepted.set()
        channel.close()

    producer = started(produce)
    assert third_accepted.wait(LIMIT_S)
    producer.join(0.05)
    assert accepted == [0, 1, 2]
    assert next(channel) == 0
    assert list(channel) == [1, 2, 3, 4]
    assert ended(producer)


def test_close_with_an_error_delivers_what_was_queued_and_then_raises_it() -> None:
    channel: Channel[str] = Channel(4)
    channel.put("a")
    channel.put("b")
    fault = RuntimeError("reader broke")
    channel.close(fault)
    assert [next(channel), next(channel)] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(RuntimeError) as caught:
            next(channel)
        assert caught.value is fault


def test_the_first_close_counts() -> None:
    channel: Channel[int] = Channel(1)
    channel.close()
    channel.close(RuntimeError("too late"))
    assert list(channel) == []


def test_put_after_close_returns_false_and_keeps_nothing() -> None:
    channel: Channel[int] = Channel(2)
    channel.close()
    assert channel.put(1) is False
    assert list(channel) == []


def test_abort_drops_the_queue_and_put_returns_false() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.abort()
    assert channel.put(2) is False
    assert list(channel) == []


def test_abort_wakes_a_producer_that_waits_for_room() -> None:
    channel: Channel[int] = Channel(1)
    results: list[bool] = []
    first = threading.Event()

    def produce() -> None:
        for number in range(2):
            results.append(channel.put(number))
            first.set()

    producer = started(produce)
    assert first.wait(LIMIT_S)
    channel.abort()
    assert ended(producer)
    assert results == [True, False]


@pytest.mark.parametrize("end", [Channel.close, Channel.abort])
def test_either_end_wakes_a_consumer_that_waits_for_items(end: Callable[[Channel[int]], None]) -> None:
    channel: Channel[int] = Channel(1)
    received: list[int] = []
    consumer = started(lambda: received.extend(channel))
    end(channel)
    assert ended(consumer)
    assert received == []


def test_abort_with_an_error_raises_it_before_anything_queued() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.abort(ValueError("translator broke"))
    with pytest.raises(ValueError, match="translator broke"):
        next(channel)


def test_abort_after_close_keeps_the_error_of_the_close() -> None:
    channel: Channel[int] = Channel(2)
    channel.put(1)
    channel.close(ValueError("first"))
    channel.abort()
    with pytest.raises(ValueError, match="first"):
        next(channel)


def test_a_channel_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0, not at least 1"):
        Channel(0)


def test_newest_wins_drops_the_oldest_and_counts_it_without_waiting() -> None:
    channel: Channel[int] = Channel(2, newest_wins=True)
    assert all(channel.put(number) for number in range(5))
    channel.close()
    assert (list(channel), channel.dropped) == ([3, 4], 3)


def test_get_says_that_nothing_came_and_that_all_is_over() -> None:
    channel: Channel[int] = Channel(1)
    with pytest.raises(Empty):
        channel.get(timeout_s=0)
    channel.put(7)
    channel.close()
    assert channel.get(timeout_s=0) == 7
    with pytest.raises(Ended):
        channel.get()
