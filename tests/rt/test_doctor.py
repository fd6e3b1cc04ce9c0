from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

import rt.doctor
from engines.store import write_engine
from rt.backends import BACKENDS
from rt.cli import main
from rt.cuda import nvrtc
from rt.cuda.driver import how_to_install
from rt.doctor import NEEDED, Finding, can_run, cuda_driver, examine
from rt.engine_file import EngineKey
from rt.install import install_hint
from rt.sinks.encoder import probe_encoder
from tests.support.captures import make_devices
from tests.support.cli import ROOT
from tests.support.microphones import plug_in as connect_microphone
from tests.support.tensorrt import load

KEY = EngineKey("winter", "ab" * 32, "fp16", 32, 48, "tensorrt", "10.3.0", "sm87", "Orin")

WORKS = [
    Finding("package", "opencv-python", True, "4.12"),
    Finding("backend", "openvino 2026.4", True, "CPU"),
    Finding("backend", "onnxruntime 1.30", False, "not installed"),
    Finding("backend", "identity", True, "none"),
]


def without(name: str) -> list[Finding]:
    return [finding for finding in WORKS if not finding.name.startswith(name)]


def test_it_tries_everything_and_says_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    found = {(finding.group, finding.name.split()[0]): finding for finding in examine()}

    assert found["system", "python"].detail.startswith(platform.python_version())
    for package in NEEDED:
        finding = found["package", package]
        assert (finding.works, finding.detail) == (True, importlib.metadata.version(package))
    assert {name for group, name in found if group == "backend"} == set(BACKENDS) - {"auto"}
    for name in ("openvino", "onnxruntime"):
        assert found["backend", name].works
        assert found["backend", name].name == f"{name} {importlib.metadata.version(name)}"
        assert found["backend", name].detail.startswith("CPU (")
    assert found["backend", "tensorrt"].works is False
    assert found["encoder", "libx264"] == Finding("encoder", "libx264", True, "one frame encoded")
    nvidia = {"CUDA", "pycuda", "nvrtc", "tensorrt", "tensorrt-rtx", "engines"}
    assert {name for group, name in found if group == "nvidia"} == nvidia
    assert any(group == "camera" for group, _ in found)
    assert can_run(list(found.values()))


def test_cameras_are_named_without_opening_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", None)
    devices = make_devices(tmp_path)
    link = devices / "v4l" / "by-id" / "usb-Camera-index0"
    camera = next(iter(rt.doctor._cameras(devices)))
    assert camera == Finding("camera", str(devices / "video0"), None, f"no name, for good {link}")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    camera = next(iter(rt.doctor._cameras(devices)))
    assert camera.works is False
    assert camera.detail.endswith("; you may not open it, type: sudo usermod -aG video $USER")
    (devices / "video0").unlink()
    none = next(iter(rt.doctor._cameras(devices)))
    assert (none.name, none.detail) == ("cameras", f"none: there is no {devices}/video*")


def test_an_encoder_that_cannot_encode_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rt.sinks.encoder.encoder_names", lambda: ("libx264", "h264_imagined"))
    encoders = {finding.name: finding for finding in examine() if finding.group == "encoder"}
    assert encoders["libx264"].works is True
    assert encoders["h264_imagined"].works is False
    assert encoders["h264_imagined"].detail != ""


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (WORKS, True),
        (without("openvino"), False),  # identity copies images: nothing is translated
        (without("opencv"), False),
        (without("identity"), True),
        ([], False),
    ],
    ids=["all", "no backend", "no OpenCV", "no identity", "nothing"],
)
def test_something_can_run_where_images_can_be_resized_and_computed(
    findings: list[Finding], expected: bool
) -> None:
    assert can_run(findings) is expected


def test_the_command_prints_a_line_for_each_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = [Finding("system", "python", None, "3.12"), *WORKS]
    monkeypatch.setattr(rt.doctor, "examine", lambda: facts)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "system       python            3.12",
        "package  ok  opencv-python     4.12",
        "backend  ok  openvino 2026.4   CPU",
        "backend  no  onnxruntime 1.30  not installed",
        "backend  ok  identity          none",
    ]


def test_hardware_that_is_not_there_takes_one_line_and_all_of_them_with_v(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = [
        *WORKS,
        Finding("backend", "tensorrt", False, "PyCUDA does not load"),
        Finding("encoder", "libx264", True, "one frame encoded"),
        Finding("encoder", "libx265", False, "it is broken"),
        Finding("encoder", "h264_nvenc", False, "its driver cannot be loaded"),
        Finding("encoder", "h264_qsv", False, "invalid argument"),
        Finding("nvidia", "CUDA driver", False, "no NVIDIA driver found"),
        Finding("nvidia", "pycuda", False, "installed, but cannot be loaded"),
        Finding("nvidia", "tensorrt-rtx", True, "1.7.1"),
        Finding("nvidia", "engines", None, "none"),
    ]
    monkeypatch.setattr(rt.doctor, "examine", lambda: facts)
    assert main(["doctor", "-v"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(facts)
    assert main(["doctor"]) == 0
    names = [line.split()[2 if line[9:11].strip() else 1] for line in capsys.readouterr().out.splitlines()]
    assert names == [
        *("opencv-python", "openvino", "onnxruntime", "identity"),
        *("libx264", "libx265", "hardware", "CUDA", "tensorrt-rtx", "engines"),
    ]
    driver = [replace(finding, works=True) if finding.name == "CUDA driver" else finding for finding in facts]
    monkeypatch.setattr(rt.doctor, "examine", lambda: driver)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "pycuda" in said
    assert "backend  no  tensorrt" in said


def test_every_package_of_the_base_install_is_tried() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("\ndependencies = [") :]
    assert set(NEEDED) == set(re.findall(r'"([a-z-]+)[<>=]', block[: block.index("\n]")]))


def test_what_is_missing_for_one_use_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rt.doctor, "version_of", lambda name: None if name in ("torch", "mss") else "1.0")
    found = {finding.name: finding for finding in rt.doctor._packages() if finding.group == "extra"}
    assert found["train"] == Finding("extra", "train", None, f"torch missing; type: {install_hint('train')}")
    assert found["screen"].detail == f"mss missing; type: {install_hint('screen')}"
    assert found["engines"] == Finding("extra", "engines", True, "onnx 1.0")
    monkeypatch.setitem(sys.modules, "av", None)
    broken = {finding.name: finding for finding in rt.doctor._packages()}["av"]
    assert (broken.works, broken.detail.endswith("; type: pip install --force-reinstall av")) == (False, True)


def test_microphones_are_listed_where_they_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rt.doctor, "version_of", lambda name: None)
    assert list(rt.doctor._microphones()) == []  # the extra is a line of its own
    library = connect_microphone(monkeypatch)
    monkeypatch.setattr(rt.doctor, "version_of", lambda name: "1.0")
    assert [(found.group, found.name, found.works) for found in rt.doctor._microphones()] == [
        ("audio", "USB Microphone", None),
        ("audio", "Webcam Microphone", None),
    ]
    library.devices.clear()
    assert [found.detail for found in rt.doctor._microphones()] == ["none is connected"]


def test_the_command_fails_where_nothing_can_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rt.doctor, "examine", lambda: without("openvino"))
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == (
        "error: nothing can be translated here: neither openvino nor onnxruntime works together with "
        f"opencv-python; see the lines above; type: {install_hint(again=True)}\n"
    )


class Driver:
    """Stands in for libcuda with one GPU."""

    status = 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.status

    def cuDriverGetVersion(self, version: Any) -> None:  # noqa: N802
        version._obj.value = 12090

    def cuDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = 1

    def cuDeviceGet(self, device: Any, number: int) -> None:  # noqa: N802
        device._obj.value = number

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> None:  # noqa: N802
        name.value = b"NVIDIA H200"

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> None:  # noqa: N802
        value._obj.value = {75: 9, 76: 0}[attribute]


def test_the_cuda_driver_is_asked_for_its_version_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert cuda_driver() == (True, "CUDA 12.9, NVIDIA H200 (sm90)")
    monkeypatch.setattr(Driver, "status", 100)
    assert cuda_driver() == (False, "the NVIDIA driver does not start (cuInit returns 100)")


def test_a_missing_cuda_driver_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert cuda_driver() == (False, "no NVIDIA driver found (libcuda cannot be loaded)")


def test_encoders_are_tried_without_a_word_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("libx264", "libx265", "libsvtav1"):
        assert probe_encoder(name) is None, name
    assert capfd.readouterr() == ("", "")


def test_what_a_gpu_needs_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    found = {finding.name: finding for finding in rt.doctor._nvidia()}
    assert found["tensorrt"].detail == f"package tensorrt is not installed; type: {install_hint('tensorrt')}"
    assert found["tensorrt-rtx"].detail.endswith(
        f"; type: {install_hint('rtx')}, or to build engines alone: {install_hint('rtx-build')}"
    )
    version = load("10.16.1.11")
    monkeypatch.setitem(sys.modules, "tensorrt", version)
    assert {finding.name: finding for finding in rt.doctor._nvidia()}["tensorrt"] == Finding(
        "nvidia", "tensorrt", True, "10.16.1.11"
    )


def test_pycuda_and_nvrtc_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    monkeypatch.setattr(nvrtc, "_places", lambda: iter(()))
    found = {finding.name: finding for finding in rt.doctor._nvidia()}
    assert (found["pycuda"].works, found["nvrtc"].works) == (False, None)
    assert found["pycuda"].detail.endswith(
        f"; engines run by it, a CUDA toolkit compiles it: {how_to_install()}"
    )
    assert found["nvrtc"].detail == (
        "only --fit gpu needs it: the GPU's kernels cannot be compiled: NVIDIA's compiler NVRTC is not "
        "found; type: pip install nvidia-cuda-nvrtc"
    )


def test_a_jetson_board_and_its_release_are_named(tmp_path: Path) -> None:
    assert rt.doctor._jetson(tmp_path) is None
    (tmp_path / "etc").mkdir()
    release = tmp_path / "etc" / "nv_tegra_release"
    release.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    assert rt.doctor._jetson(tmp_path) == "a Jetson board, L4T 36.4.3"
    model = tmp_path / "proc" / "device-tree" / "model"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"NVIDIA Jetson AGX Orin Developer Kit\0")
    assert rt.doctor._jetson(tmp_path) == "NVIDIA Jetson AGX Orin Developer Kit, L4T 36.4.3"
    release.write_text("nothing known")
    assert rt.doctor._jetson(tmp_path) == "NVIDIA Jetson AGX Orin Developer Kit, L4T of an unknown release"


def test_engines_are_counted_and_a_damaged_one_is_named(own_engines: Path) -> None:
    assert rt.doctor._engines() == Finding(
        "nvidia", "engines", None, f"none in {own_engines}; type: videobrush-engines build STYLE"
    )
    paths = [write_engine(replace(KEY, width=width), b"plan", "model.onnx", 1.0, {}) for width in (48, 64)]
    assert rt.doctor._engines() == Finding(
        "nvidia", "engines", True, f"2 in {own_engines}; see videobrush-engines list"
    )
    paths[0].write_bytes(b"")
    finding = rt.doctor._engines()
    assert finding.works is False
    assert finding.detail == (
        f"1 of 2 damaged: engine {paths[0]} is damaged: 0 bytes found, its facts say 4; type: "
        "videobrush-engines build winter --precision fp16 --network 48x32 --runtime tensorrt"
    )
