#!/usr/bin/env bash
# Makes the style `summer`: bash tools/gallery/summer/make.sh SUMMER2WINTER PREVIEWS CLIP OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../season.sh" summer "$@"
