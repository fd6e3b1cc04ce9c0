#!/usr/bin/env bash
# Makes the style `comic`: bash tools/gallery/comic/make.sh PHOTOS PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../filter.sh" comic flat48 384 image "$@"
