"""One running clock for recordings that were joined."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av.container
import av.packet

from rt.media import packet_time, rational

_JOINABLE = frozenset({"mpegts", "mpeg", "flv"})
"""Containers that can be joined by writing one behind the other."""
_BACK_S = Fraction(1, 10)
"""A stream that goes back further than this starts a new part; less is disorder within one."""


class Continuity:
    """Shifts the packets behind each restart of the clock, so that every part follows the one before.

    The streams cross a join one after the other, because their packets are mixed; a part's shift is set by
    the first stream that reaches it and is the same for all.
    """

    def __init__(self, container: av.container.InputContainer) -> None:
        self.joins = 0
        """Number of restarts so far."""
        self._active = container.format.name in _JOINABLE
        self._shifts_s = [Fraction(0)]  # of each part
        self._part: dict[int, int] = {}  # of each stream
        self._next_s: dict[int, Fraction] = {}  # end of each stream's last packet, shifted

    def shift(self, packet: av.packet.Packet[Any]) -> None:
        """Move a packet's times to the running clock, in place."""
        start_s = packet_time(packet)
        unit = rational(packet.time_base)
        if not self._active or start_s is None or unit is None:
            return
        index = packet.stream_index
        part = self._part.get(index, 0)
        expected_s = self._next_s.get(index)
        if expected_s is not None and start_s + self._shifts_s[part] < expected_s - _BACK_S:
            part += 1
            if part == len(self._shifts_s):
                self._shifts_s.append(expected_s - start_s)
                self.joins += 1
            self._part[index] = part
        shift_s = self._shifts_s[part]
        self._next_s[index] = start_s + shift_s + (packet.duration or 0) * unit
        if shift_s:
            ticks = round(shift_s / unit)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
