"""What the GPU says of itself: NVML's numbers and recorded lines of tegrastats."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rt.cuda import nvtx
from rt.cuda.gauge import Reading, open_gauge, parse_tegrastats

LINES = {
    "AGX Orin, JetPack 6": (
        "11-29-2026 20:00:01 RAM 3034/62841MB (lfb 14x4MB) SWAP 0/31420MB (cached 0MB) "
        "CPU [2%@729,0%@729,0%@729,1%@729,off,off,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 45%@[905,905] "
        "NVENC off NVDEC off NVJPG off VIC off OFA off APE 174 cpu@45.7C soc2@42.1C gpu@41.5C tj@46.4C "
        "VDD_GPU_SOC 2407mW/2407mW VDD_CPU_CV 401mW/401mW VIN_SYS_5V0 3620mW/3620mW",
        Reading(905, None, 45, 3.62, "board", 41.5),
        "905 MHz, 45 %, board 4 W, 42 °C",
    ),
    "Orin Nano, JetPack 6": (
        "11-29-2026 20:00:01 RAM 1903/7620MB (lfb 4x1MB) SWAP 0/3810MB (cached 0MB) CPU [12%@1510,9%@1510] "
        "GR3D_FREQ 99%@[624] cpu@56.5C soc2@55.1C gpu@57C tj@58.1C VDD_IN 9583mW/7583mW "
        "VDD_CPU_GPU_CV 3774mW/2774mW VDD_SOC 1390mW/1390mW",
        Reading(624, None, 99, 9.583, "board", 57.0),
        "624 MHz, 99 %, board 10 W, 57 °C",
    ),
    "Xavier NX, JetPack 5": (
        "RAM 2103/6850MB (lfb 900x4MB) SWAP 0/3425MB CPU [5%@1190,3%@1190] EMC_FREQ 1%@1600 "
        "GR3D_FREQ 30%@510 VIC_FREQ 0%@115 AO@38C GPU@39C PMIC@50C AUX@38.5C CPU@40C "
        "VDD_IN 4012/3950 VDD_CPU_GPU_CV 812/790 VDD_SOC 1218/1200",
        Reading(510, None, 30, 4.012, "board", 39.0),
        "510 MHz, 30 %, board 4 W, 39 °C",
    ),
    "no clock, no rails": ("RAM 1/2MB GR3D_FREQ 0% CPU [off]", Reading(load_percent=0), "0 %"),
    "something else": ("Unable to open: run as root", Reading(), ""),
}


@pytest.mark.parametrize("board", LINES)
def test_a_line_of_tegrastats_is_read(board: str) -> None:
    line, wanted, words = LINES[board]
    found = parse_tegrastats(line)
    assert found == wanted
    assert str(found) == words


# ruff: noqa: N802  the names are NVML's


class Nvml:
    """The package's module, of a GPU that tells all but its largest clock."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.open = 0
        self.bits = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByPciBusId(self, bus_id: str) -> str:
        if bus_id != "00000000:65:00.0":
            raise self.NVMLError
        return bus_id

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        return 1695

    def nvmlDeviceGetMaxClockInfo(self, handle: str, kind: int) -> int:
        raise self.NVMLError

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 211_700

    def nvmlDeviceGetTemperature(self, handle: str, kind: int) -> int:
        return 71

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return SimpleNamespace(gpu=97, memory=20)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return self.bits


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    made = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.setattr("shutil.which", lambda name: None)
    return made


@pytest.mark.parametrize(
    ("bits", "slowed"),
    [(0, ""), (0x1, ""), (0x4, ", SLOWED: power limit"), (0x24, ", SLOWED: power limit, heat")],
)
def test_nvml_is_read_and_what_it_does_not_tell_is_left_out(nvml: Nvml, bits: int, slowed: str) -> None:
    nvml.bits = bits
    gauge = open_gauge("00000000:65:00.0")
    assert gauge is not None
    assert str(gauge.read()) == f"1695 MHz, 97 %, 212 W, 71 °C{slowed}"
    gauge.close()
    gauge.close()
    assert gauge.read() is None
    assert nvml.open == 0


def test_a_gpu_that_nvml_does_not_know_and_a_missing_package_have_no_gauge(
    nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_gauge("00000000:01:00.0") is None
    assert nvml.open == 0
    assert open_gauge(None) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gauge("00000000:65:00.0") is None


def test_tegrastats_is_read_while_it_runs_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = LINES["Orin Nano, JetPack 6"][0]
    program = tmp_path / "tegrastats"
    program.write_text(f"#!/bin/sh\nwhile true; do echo '{line}'; sleep 0.05; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    gauge = open_gauge(None)
    assert gauge is not None
    found = None
    while found is None:  # the test's own limit ends what never comes
        found = gauge.read()
    assert found.clock_mhz == 624
    gauge.close()
    gauge.close()


def test_without_its_package_a_span_is_one_thing_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvtx", None)
    span = nvtx._make()
    assert span("a") is span("b")
    with span("a"), span("b"):
        pass


def test_with_its_package_a_span_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def annotate(name: str, domain: str) -> Any:
        given.append((name, domain))
        return nvtx._NOTHING

    monkeypatch.setitem(sys.modules, "nvtx", SimpleNamespace(annotate=annotate))
    with nvtx._make()("copy in"):
        pass
    assert given == [("copy in", "videobrush")]
