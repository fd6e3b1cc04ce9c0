#!/usr/bin/env bash
# Makes the style `night`: bash tools/gallery/night/make.sh PHOTOS PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../filter.sh" night hg48 256 image "$@"
