#!/usr/bin/env bash
# Makes the style `summer`: bash tools/gallery/summer/make.sh SUMMER2WINTER PREVIEWS CLIP OUT CALIBRATE HELD_BACK
exec bash "$(dirname "$0")/../season.sh" summer "$@"
