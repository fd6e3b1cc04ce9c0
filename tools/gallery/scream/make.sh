#!/usr/bin/env bash
# Makes the style `scream`: bash tools/gallery/scream/make.sh PAINTING PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../paint.sh" scream "$@"
