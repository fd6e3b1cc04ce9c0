#!/usr/bin/env bash
# Makes the style `starry`: bash tools/gallery/starry/make.sh PAINTING PACKAGES OUT CALIBRATE HELD_BACK
exec bash "$(dirname "$0")/../paint.sh" starry "$@"
