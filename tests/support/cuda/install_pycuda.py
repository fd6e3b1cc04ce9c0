"""Install PyCUDA without an NVIDIA driver, and build the stand-in driver.

    python tests/support/cuda/install_pycuda.py

Needs g++ and PyPI. Installs the real PyCUDA into the Python that runs this, compiled against NVIDIA's headers
(from their wheels) and a library that only has the driver's name; then builds the stand-in driver of the
tests. Takes about two minutes. On a machine with a GPU type `pip install '.[tensorrt]'` instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.cuda.build import BUILD, build_driver, compile_library, missing

PYCUDA = "2026.1"
HEADERS = ("nvidia-cuda-runtime==13.0.96", "nvidia-cuda-profiler-api==13.0.85")
"""The wheels that hold cuda.h and cudaProfiler.h."""


def main() -> int:
    """Install what is missing; one line for each step."""
    if installed_version() == PYCUDA and missing() is None:
        print(f"PyCUDA {PYCUDA} and the stand-in for the CUDA driver are there")
        return 0
    fetch_headers(BUILD / "toolkit")
    if installed_version() != PYCUDA:
        print(f"compiling PyCUDA {PYCUDA} (about a minute and a half)", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            install_pycuda(Path(folder), next((BUILD / "toolkit").rglob("cuda.h")).parent)
    print(f"PyCUDA {installed_version()} is installed")
    print(f"built {build_driver()}")
    return 0


def installed_version() -> str | None:
    """Return the version of the PyCUDA of this Python, None where there is none."""
    try:
        return importlib.metadata.version("pycuda")
    except importlib.metadata.PackageNotFoundError:
        return None


def fetch_headers(folder: Path) -> None:
    """Put NVIDIA's CUDA headers into `folder`."""
    if next(folder.rglob("cuda.h"), None) and next(folder.rglob("cudaProfiler.h"), None):
        return
    pip("install", "--no-deps", "--target", str(folder), *HEADERS)


def install_pycuda(folder: Path, headers: Path) -> None:
    """Compile PyCUDA's source in `folder` and install it."""
    pip("download", "--no-deps", "--no-binary", "pycuda", "--dest", str(folder), f"pycuda=={PYCUDA}")
    with tarfile.open(folder / f"pycuda-{PYCUDA}.tar.gz") as archive:
        # Python 3.11.2 of Debian 12 does not know the filter.
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)
    # The linker leaves out a library that defines nothing that is used.
    compile_library(folder / "libcuda.so", {"cuInit": 100})
    source = folder / f"pycuda-{PYCUDA}"
    settings = {
        "CUDA_INC_DIR": [str(headers)],
        "CUDADRV_LIB_DIR": [str(folder)],
        "CUDA_ENABLE_CURAND": False,
    }
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (source / "siteconf.py").write_text("".join(lines), encoding="utf-8")
    # Unoptimised: nothing here is fast or slow by PyCUDA, and the compiler needs half the time.
    pip("install", str(source), CFLAGS="-O0 -g0 -w")


def pip(*arguments: str, **environment: str) -> None:
    """Run pip quietly; what it says is shown where it fails."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    result = subprocess.run(
        command, env={**os.environ, **environment}, check=False, capture_output=True, text=True
    )
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}\nfailed: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
