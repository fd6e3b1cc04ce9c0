#!/usr/bin/env bash
# The demo on a fresh Debian or Ubuntu: bash tools/demo.sh
# Installs what is missing, makes .venv and translates the bundled clip. The second run takes seconds.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

install_packages python3-venv libgl1 libglib2.0-0
make_venv
install_project . "about 220 MB"

.venv/bin/videobrush demo --overwrite
cat <<END

The video is $PWD/demo.mp4, the images before and after are $PWD/demo.png.
Next, type:
    . .venv/bin/activate
    videobrush styles                                   # every style
    videobrush run in.mp4 out.mp4 --style winter        # your own video
    videobrush run 0 --style winter                     # your camera, in a window
END
