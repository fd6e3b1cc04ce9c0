"""What works on this machine, found by trying it."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rt.backends import backend_status
from rt.sinks.display import display_fault

PACKAGES = ("av", "numpy", "onnxruntime", "opencv-python", "openvino", "rich", "tyro", "torch", "onnx")
ENCODERS = ("libx264", "libx265", "libsvtav1", "h264_nvenc", "hevc_nvenc", "h264_qsv", "h264_v4l2m2m")


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
        _display(),
        *_nvidia(),
    ]


def can_run(findings: list[Finding]) -> bool:
    """Return whether any style can be translated: a backend that computes works."""
    return any(
        finding.works for finding in findings if finding.group == "backend" and finding.name != "identity"
    )


def version_of(package: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _system() -> Iterator[Finding]:
    yield Finding(
        "system", "frameshift", None, version_of("frameshift") or "not installed, run from its folder"
    )
    yield Finding("system", "python", None, f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", "platform", None, platform.platform())


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        yield Finding("package", package, None, version_of(package) or "not installed")


def _backends() -> Iterator[Finding]:
    for status in backend_status():
        version = f" {status.version}" if status.version else ""
        yield Finding("backend", f"{status.name}{version}", status.works, status.detail)


def _encoders() -> Iterator[Finding]:
    try:
        from rt.sinks.file import probe_encoder
    except ImportError as error:
        yield Finding("encoder", "all", False, f"PyAV cannot be loaded ({error}); type: pip install av")
        return
    for name in ENCODERS:
        fault = probe_encoder(name)
        yield Finding("encoder", name, fault is None, fault or "one frame encoded")


def _cameras() -> Iterator[Finding]:
    """Name the cameras without opening one: it may be in use."""
    if not sys.platform.startswith("linux"):
        yield Finding("camera", "cameras", None, "can be listed on Linux only")
        return
    devices = sorted(Path("/dev").glob("video*"))
    for device in devices:
        label = Path("/sys/class/video4linux") / device.name / "name"
        yield Finding(
            "camera", str(device), None, label.read_text().strip() if label.is_file() else "no name"
        )
    if not devices:
        yield Finding("camera", "cameras", None, "none: there is no /dev/video*")


def _display() -> Finding:
    fault = display_fault()
    return Finding("display", "window", fault is None, fault or "a window was opened")


def _nvidia() -> Iterator[Finding]:
    driver, detail = cuda_driver()
    yield Finding("nvidia", "CUDA driver", driver, detail)
    for name in ("tensorrt", "pycuda"):
        try:
            importlib.import_module("pycuda.driver" if name == "pycuda" else name)
        except ModuleNotFoundError:
            yield Finding("nvidia", name, False, "not installed")
        except (ImportError, OSError) as error:
            yield Finding(
                "nvidia", name, False, f"installed, but cannot be loaded: {' '.join(str(error).split())}"
            )
        else:
            yield Finding("nvidia", name, True, version_of(name) or "loaded")


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
    return name.value.decode(errors="replace")
