#!/usr/bin/env bash
# Makes the style `winter`: bash tools/gallery/winter/make.sh PHOTOS PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../filter.sh" winter hg48 256 image "$@"
