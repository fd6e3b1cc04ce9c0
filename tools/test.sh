#!/usr/bin/env bash
# Every check on a fresh Debian or Ubuntu: bash tools/test.sh [OPTIONS OF tools/check.py]
# Installs what is missing, makes .venv, compiles PyCUDA against a stand-in for NVIDIA's driver, runs the checks.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

TORCH="$(sed -n 's/^ *"\(torch==[0-9.]*\)",$/\1/p' pyproject.toml)"

# PyTorch without the gigabytes of CUDA that PyPI's brings along on Linux.
install_torch() {
    pip_install --retries 0 --timeout 20 --index-url https://download.pytorch.org/whl/cpu "$TORCH" 2>/dev/null \
        || say "No CPU build of $TORCH for $(python3 --version) here: taking the default index's, with 3 GB of CUDA on Linux"
}

install_packages python3-venv python3-dev g++ libgl1 libglib2.0-0 libxtst6 xvfb ffmpeg chromium
make_venv
install_project '.[test]' "about 750 MB" install_torch
.venv/bin/python tests/support/cuda/install_pycuda.py

.venv/bin/python tools/check.py "$@"
