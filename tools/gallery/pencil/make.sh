#!/usr/bin/env bash
# Makes the style `pencil`: bash tools/gallery/pencil/make.sh PHOTOS PACKAGES OUT CALIBRATE HELD_BACK
exec bash "$(dirname "$0")/../filter.sh" pencil flat48 384 "$@"
