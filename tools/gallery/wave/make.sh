#!/usr/bin/env bash
# Makes the style `wave`: bash tools/gallery/wave/make.sh PAINTING PACKAGES OUT CALIBRATE HELD_BACK
exec bash "$(dirname "$0")/../paint.sh" wave "$@"
