#!/usr/bin/env bash
# Makes the style `autumn`: bash tools/gallery/autumn/make.sh PHOTOS PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../filter.sh" autumn hg48 256 image "$@"
