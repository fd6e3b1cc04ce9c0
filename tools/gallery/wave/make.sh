#!/usr/bin/env bash
# Makes the style `wave`: bash tools/gallery/wave/make.sh PAINTING PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../paint.sh" wave "$@"
