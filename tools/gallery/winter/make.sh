#!/usr/bin/env bash
# Makes the style `winter`: bash tools/gallery/winter/make.sh SUMMER2WINTER PREVIEWS CLIP OUT CALIBRATE HELD_OUT
exec bash "$(dirname "$0")/../season.sh" winter "$@"
