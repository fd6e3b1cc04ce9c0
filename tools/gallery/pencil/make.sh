#!/usr/bin/env bash
# Makes the style `pencil`: bash tools/gallery/pencil/make.sh PHOTOS PACKAGES OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../filter.sh" pencil flat48 384 gray "$@"
