"""What the GPU is doing: clock, power, temperature, and what slows it down, in one line.

On a desktop or a server from NVML, by the package nvidia-ml-py; on Jetson, which has none, from tegrastats.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from rt.cuda.driver import load_driver

_SLOWED = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x20: "heat",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
"""Bits of NVML's reasons for a lower clock, of those that are no choice of the user's."""
_GPU_CLOCK = re.compile(r"GR3D_FREQ (?P<load>\d+)%(?:@\[?(?P<mhz>\d+))?")
_GPU_HEAT = re.compile(r"\b(?:gpu|GPU)@(?P<celsius>[\d.]+)C")
_POWER = re.compile(r"\b(?P<rail>VDD_IN|VIN_SYS_5V0|POM_5V_IN|VDD_GPU_SOC|GPU) (?P<mw>\d+)(?:mW)?/")
_RAILS = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0", "VDD_GPU_SOC", "GPU")
"""Where a Jetson board measures: all of it first, else the largest part."""


@dataclass(frozen=True)
class Reading:
    """The GPU at one moment; None where it is not told."""

    clock_mhz: int | None = None
    largest_clock_mhz: int | None = None
    load_percent: int | None = None
    power_w: float | None = None
    power_of: str = ""
    """What the power is of: empty for the GPU, `board` on Jetson."""
    celsius: float | None = None
    slowed_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return `1695 of 2520 MHz, 97 %, 212 W, 71 °C, SLOWED: power limit`."""
        parts = []
        if self.clock_mhz is not None:
            largest = f" of {self.largest_clock_mhz}" if self.largest_clock_mhz else ""
            parts.append(f"{self.clock_mhz}{largest} MHz")
        if self.load_percent is not None:
            parts.append(f"{self.load_percent} %")
        if self.power_w is not None:
            parts.append(f"{self.power_of} {self.power_w:.0f} W".strip())
        if self.celsius is not None:
            parts.append(f"{self.celsius:.0f} °C")
        if self.slowed_by:
            parts.append(f"SLOWED: {', '.join(self.slowed_by)}")
        return ", ".join(parts)


class Gauge(Protocol):
    """What reads the GPU."""

    def read(self) -> Reading | None:
        """Return what the GPU does now; None where that is not told."""
        ...

    def close(self) -> None:
        """Let go of it; works twice."""
        ...


def open_gauge(bus_id: str | None) -> Gauge | None:
    """Return what reads the GPU with this PCI bus id, None for a Jetson's; None where nothing does.

    Nothing is said where it is missing: it is an extra (`pip install nvidia-ml-py`).
    """
    if shutil.which("tegrastats") is not None:
        return _Tegrastats()
    if bus_id is None:
        return None
    with suppress(ImportError):
        import pynvml

        with suppress(pynvml.NVMLError):
            return _Nvml(pynvml, bus_id)
    return None


def gauge_in_use() -> Gauge | None:
    """Return what reads the GPU that this process computes on; None where nothing does."""
    try:
        bus_id = str(load_driver().Device(0).pci_bus_id())
    except Exception:  # a PyCUDA or a driver that does not tell: it is read for information alone
        bus_id = None
    return open_gauge(bus_id)


class _Nvml:
    def __init__(self, nvml: Any, bus_id: str) -> None:
        self._nvml: Any = nvml
        nvml.nvmlInit()
        try:
            self._handle = nvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        except nvml.NVMLError:
            nvml.nvmlShutdown()
            raise

    def read(self) -> Reading | None:
        """Return what NVML says; what one GPU does not tell is left out."""
        nvml = self._nvml
        if nvml is None:
            return None
        # Called so since driver 535; the older name is gone from later packages.
        reasons = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None) or getattr(
            nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", None
        )
        power = self._ask(nvml.nvmlDeviceGetPowerUsage)
        load = self._ask(nvml.nvmlDeviceGetUtilizationRates)
        bits = self._ask(reasons) if reasons is not None else None
        return Reading(
            clock_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            largest_clock_mhz=self._ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
            load_percent=None if load is None else int(load.gpu),
            power_w=None if power is None else power / 1000,
            celsius=self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            slowed_by=tuple(words for bit, words in _SLOWED.items() if (bits or 0) & bit),
        )

    def close(self) -> None:
        """Let go of NVML; works twice."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            nvml.nvmlShutdown()

    def _ask(self, call: Callable[..., Any], *given: Any) -> Any:
        try:
            return call(self._handle, *given)
        except self._nvml.NVMLError:
            return None


class _Tegrastats:
    """Keeps the newest line that tegrastats prints, once a second."""

    def __init__(self) -> None:
        self._newest = ""
        self._process = subprocess.Popen(
            ["tegrastats", "--interval", "1000"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, name="tegrastats", daemon=True)
        self._thread.start()

    def read(self) -> Reading | None:
        """Return what its newest line says; None before the first."""
        return parse_tegrastats(self._newest) if self._newest else None

    def close(self) -> None:
        """End tegrastats; works twice."""
        self._process.kill()
        self._process.wait()
        self._thread.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._newest = line


def parse_tegrastats(line: str) -> Reading:
    """Return what a line of tegrastats says of the GPU, of any JetPack from 4 to 7."""
    clock, heat = _GPU_CLOCK.search(line), _GPU_HEAT.search(line)
    rails = {found["rail"]: int(found["mw"]) / 1000 for found in _POWER.finditer(line)}
    rail = next((name for name in _RAILS if name in rails), None)
    return Reading(
        clock_mhz=int(clock["mhz"]) if clock and clock["mhz"] else None,
        load_percent=int(clock["load"]) if clock else None,
        power_w=None if rail is None else rails[rail],
        power_of="" if rail in (None, "GPU", "VDD_GPU_SOC") else "board",
        celsius=float(heat["celsius"]) if heat else None,
    )
