#!/usr/bin/env bash
# Makes the style `starry`: bash tools/gallery/starry/make.sh PAINTING PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../paint.sh" starry "$@"
