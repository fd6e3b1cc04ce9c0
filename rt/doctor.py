"""What works on this machine, found by trying it."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rt.backends import backend_status
from rt.backends.tensorrt_runtime import cuda_major, load_runtime, start
from rt.cuda.driver import how_to_install
from rt.cuda.nvrtc import compiler_version
from rt.engine_file import RUNTIMES, engines_folder, find_plans, read_stored
from rt.errors import BackendError, EngineError
from rt.install import install_hint
from rt.sinks.display import display_fault

NEEDED = {
    "av": "av",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "opencv-python": "cv2",
    "openvino": f"{__package__}.backends.openvino",
    "pillow": "PIL",
    "rich": "rich",
    "tyro": "tyro",
}
"""Packages of the base install and the module each is imported as."""
_COMPUTE_CAPABILITY = (75, 76)
"""Numbers of the driver's attributes for its major and minor part."""
EXTRAS = {
    "train": ("torch", "onnx", "onnxscript", "safetensors", "tensorboard"),
    "engines": ("onnx",),
    "studio": ("starlette", "uvicorn", "websockets"),
    "screen": ("mss",),
    "microphone": ("sounddevice",),
    "virtual": ("pyvirtualcam",),
}
"""What is installed for one use alone, and the packages it needs."""
_SOFTWARE = ("libx264", "libx265", "libsvtav1")
_BACKEND_FAULT = re.compile(r"^backend \w+ cannot be used: ")


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    group: str
    name: str
    works: bool | None
    """None for a plain fact."""
    detail: str


def examine() -> list[Finding]:
    """Try everything the program can use and say what was found."""
    return [
        *_system(),
        *_packages(),
        *_backends(),
        *_encoders(),
        *_cameras(),
        *_microphones(),
        _display(),
        *_nvidia(),
    ]


def essential(findings: list[Finding]) -> list[Finding]:
    """Return what concerns this machine: without an NVIDIA driver one line says so, as for hardware encoders.

    Nothing that works is left out.
    """
    has_driver = any(finding.name == "CUDA driver" and finding.works for finding in findings)
    kept = [finding for finding in findings if finding.works or not _is_of_hardware(finding, has_driver)]
    broken = [finding for finding in findings if finding.group == "encoder" and finding not in kept]
    if broken:
        last = max(index for index, finding in enumerate(kept) if finding.group == "encoder") + 1
        none = Finding(
            "encoder", "hardware", None, f"{len(broken)} do not work here; why: videobrush doctor -v"
        )
        kept.insert(last, none)
    return kept


def _is_of_hardware(finding: Finding, has_driver: bool) -> bool:
    """Return whether a finding that does not work is of hardware that is not there."""
    if finding.group == "encoder":
        return finding.name not in _SOFTWARE
    of_nvidia = finding.group == "nvidia" and finding.name not in ("CUDA driver", "Jetson", "engines")
    return not has_driver and (of_nvidia or (finding.group, finding.name) == ("backend", "tensorrt"))


def can_run(findings: list[Finding]) -> bool:
    """Return whether any style can be translated: images can be resized and a network computed."""
    working = {(finding.group, finding.name.split()[0]) for finding in findings if finding.works}
    backends = {name for group, name in working if group == "backend"} - {"identity"}
    return bool(backends) and ("package", "opencv-python") in working


def version_of(package: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _system() -> Iterator[Finding]:
    yield Finding(
        "system", "videobrush", None, version_of("videobrush") or "not installed, run from its folder"
    )
    yield Finding("system", "python", None, f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", "platform", None, platform.platform())


def _packages() -> Iterator[Finding]:
    for package, module in NEEDED.items():
        works, detail = _load(package, module)
        yield Finding("package", package, works, detail if works else f"{detail}; type: {_repair(package)}")
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if version_of(package) is None]
        if missing:
            yield Finding("extra", extra, None, f"{', '.join(missing)} missing; type: {install_hint(extra)}")
        else:
            found = ", ".join(f"{package} {version_of(package)}" for package in packages)
            yield Finding("extra", extra, True, found)


def _repair(package: str) -> str:
    """Return what brings a package of the base install, or brings it again where it does not load."""
    return f"pip install --force-reinstall {package}" if version_of(package) else f"pip install {package}"


def _load(package: str, module: str) -> tuple[bool, str]:
    """Import a package; return whether that worked, and its version or what went wrong."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        return False, "not installed"
    except (ImportError, OSError) as error:
        return False, f"installed, but cannot be loaded: {' '.join(str(error).split())}"
    return True, version_of(package) or "loaded"


def _backends() -> Iterator[Finding]:
    for status in backend_status():
        version = f" {status.version}" if status.version else ""
        yield Finding(
            "backend", f"{status.name}{version}", status.works, _BACKEND_FAULT.sub("", status.detail)
        )


def _encoders() -> Iterator[Finding]:
    if not _load("av", "av")[0]:
        yield Finding(
            "encoder", "all", False, "PyAV does not work here; type: pip install --force-reinstall av"
        )
        return
    from rt.sinks.encoder import encoder_names, probe_encoder

    for name in encoder_names():
        fault = probe_encoder(name)
        yield Finding("encoder", name, fault is None, fault or "one frame encoded")


def _cameras(devices: Path = Path("/dev")) -> Iterator[Finding]:
    """Name the cameras without opening one: it may be in use."""
    if not _load("opencv-python", "cv2")[0]:
        yield Finding("camera", "cameras", False, "OpenCV does not work here; see above")
        return
    from rt.sources.camera import lasting_name
    from rt.sources.csi import has_gstreamer

    found = sorted(devices.glob("video*"))
    for device in found:
        label = Path("/sys/class/video4linux") / device.name / "name"
        words = label.read_text().strip() if label.is_file() else "no name"
        lasting = lasting_name(device, devices)
        words += f", for good {lasting}" if lasting != device else ""
        allowed = os.access(device, os.R_OK | os.W_OK)
        words += "" if allowed else "; you may not open it, type: sudo usermod -aG video $USER"
        yield Finding("camera", str(device), None if allowed else False, words)
    if not found:
        on_linux = sys.platform.startswith("linux")
        none = f"none: there is no {devices}/video*" if on_linux else "can be listed on Linux only"
        yield Finding("camera", "cameras", None, none)
    gstreamer = "OpenCV has GStreamer" if has_gstreamer() else "only with JetPack's OpenCV: no GStreamer"
    yield Finding("camera", "csi://", None, gstreamer)


def _microphones() -> Iterator[Finding]:
    """Name what `--microphone` takes."""
    if version_of("sounddevice") is None or not _load("av", "av")[0]:
        return
    from rt.sources.microphone import MicrophoneError, microphone_names

    try:
        names = microphone_names()
    except MicrophoneError as error:
        yield Finding("audio", "microphones", False, str(error))
        return
    for name in dict.fromkeys(names):
        yield Finding("audio", name, None, "a microphone, for --microphone")
    if not names:
        yield Finding("audio", "microphones", None, "none is connected")


def _display() -> Finding:
    fault = display_fault()
    return Finding("display", "window", fault is None, fault or "a window was opened")


def _nvidia() -> Iterator[Finding]:
    if board := _jetson():
        yield Finding("nvidia", "Jetson", None, board)
    driver, detail = cuda_driver()
    yield Finding("nvidia", "CUDA driver", driver, detail)
    works, detail = _load("pycuda", "pycuda.driver")
    if detail == "not installed":
        detail = f"not installed; engines run by it, a CUDA toolkit compiles it: {how_to_install()}"
    yield Finding("nvidia", "pycuda", works, detail)
    try:
        yield Finding("nvidia", "nvrtc", True, f"{compiler_version()}, for --fit gpu")
    except BackendError as error:
        yield Finding("nvidia", "nvrtc", None, f"only --fit gpu needs it: {error}")
    for runtime in RUNTIMES:
        try:
            trt = load_runtime(runtime)
            start(trt, "Runtime")
            made_for = f", for CUDA {major}" if (major := cuda_major(trt)) else ""
            yield Finding("nvidia", runtime, True, f"{trt.__version__}{made_for}")
        except BackendError as error:
            yield Finding(
                "nvidia", runtime, False, str(error).removeprefix("backend tensorrt cannot be used: ")
            )
    yield _engines()


def _jetson(system: Path = Path("/")) -> str | None:
    """Return the Jetson board this is and its L4T release, which names JetPack's; None on another machine."""
    try:
        release = (system / "etc/nv_tegra_release").read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"R(\d+).*?REVISION: ([\d.]+)", release)
    model = system / "proc/device-tree/model"
    name = model.read_text(errors="replace").strip("\0\n ") if model.is_file() else "a Jetson board"
    return f"{name}, L4T {f'{found[1]}.{found[2]}' if found else 'of an unknown release'}"


def _engines() -> Finding:
    """Return how many engines there are and how many of them are damaged."""
    folder = engines_folder()
    try:
        plans = find_plans()
    except EngineError as error:
        return Finding("nvidia", "engines", False, str(error))
    if not plans:
        return Finding("nvidia", "engines", None, f"none in {folder}; type: videobrush-engines build STYLE")
    faults = []
    for plan in plans:
        try:
            read_stored(plan)
        except EngineError as error:
            faults.append(str(error))
    if faults:
        return Finding("nvidia", "engines", False, f"{len(faults)} of {len(plans)} damaged: {faults[0]}")
    return Finding("nvidia", "engines", True, f"{len(plans)} in {folder}; see videobrush-engines list")


def cuda_driver() -> tuple[bool, str]:
    """Return whether the CUDA driver finds a GPU, and its version and GPUs, or what is missing."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False, "no NVIDIA driver found (libcuda cannot be loaded)"
    if status := cuda.cuInit(0):
        return False, f"the NVIDIA driver does not start (cuInit returns {status})"
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    cuda.cuDeviceGetCount(ctypes.byref(count))
    names = [_gpu_name(cuda, number) for number in range(count.value)]
    cuda_version = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    return bool(names), f"{cuda_version}, {', '.join(names) or 'no GPU'}"


def _gpu_name(cuda: ctypes.CDLL, number: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), number)
    cuda.cuDeviceGetName(name, len(name), device)
    capability = ""
    for attribute in _COMPUTE_CAPABILITY:
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability += str(value.value)
    return f"{name.value.decode(errors='replace')} (sm{capability})"
