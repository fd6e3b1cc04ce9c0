#!/usr/bin/env bash
# Makes a style of a filter, which a small network learns to do in one pass, and steadily:
# bash tools/gallery/filter.sh NAME STUDENT SIZE VIEW PHOTOS PACKAGES OUT CALIBRATE HELD_OUT
# The filter is tools/gallery/filters' of that NAME; VIEW is image, or gray where no colour is needed; PHOTOS is a folder of
# some hundred photos of all kinds; PACKAGES, OUT, CALIBRATE and HELD_OUT are as for paint.sh. Training lasts MINUTES, 60
# unless the environment says otherwise.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
. "$here/steps.sh"
name="$1" student="$2" size="$3" view="$4"
shift 4
need "photos packages out calibrate held_out" "$@"
photos="$1" packages="$2" out="$3" calibrate="$4" held_out="$5"
refuse_existing "$out"
export PYTHONPATH="$here/../.."
prepare "${name}_pairs" python -m tools.gallery.filters --size "$size" --view "$view" "$name" "$photos"
prepare painted-clip python -m tools.gallery.pan_clip "$packages/usr/share/backgrounds/life_by_Aitzol_Berasategi.jpg"
train distill "runs/$name" --teacher-images "${name}_pairs" --student "$student" --norm none --load-size "$size" \
    --crop-size 128 --batch 6 --amp --learning-rate 6e-4 --flow-px 2 --noise 0.012 --threads 1 --minutes "${MINUTES-60}"
part="$out.part"
rm -rf "$part"
videobrush-train export "runs/$name" --name "$name" --out "$part" --facts "$here/$name/facts.json" \
    --title "$(cat "$here/$name/title.txt")" --view "$view"
videobrush-engines quantize "$part" --gate 35 --frames "$calibrate" --held-out "$held_out"
shown="$here/../../train/data/photos"
python -m tools.gallery.previews "$part" --clip painted-clip/pan.mp4 --images \
    "$shown"/{mountains,astronaut,brook,dogs,coffee,room,cat,sunset}.jpg
shopt -s nullglob
clips=("$held_out"/*.mp4)
python -m tools.gallery.describe "$part" --make "$here/$name/make.sh" ${clips[@]:+--clips "${clips[@]}"}
mv "$part" "$out"
