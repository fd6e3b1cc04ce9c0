#!/usr/bin/env bash
# Makes a style of one painting:
# bash tools/gallery/paint.sh NAME PAINTING PACKAGES OUT CALIBRATE HELD_OUT
# PAINTING is a reproduction of the work that NAME/facts.json tells of; PACKAGES has the two packages of free photos
# unpacked, as tools/gallery/package_photos.py says; CALIBRATE and HELD_OUT are folders of clips and images for the
# INT8 model and the figures. Training lasts MINUTES, 150 unless the environment says otherwise.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
. "$here/steps.sh"
name="$1"
shift
need "painting packages out calibrate held_out" "$@"
painting="$1" packages="$2" out="$3" calibrate="$4" held_out="$5"
refuse_existing "$out"
export PYTHONPATH="$here/../.."
prepare painted-photos python -m tools.gallery.package_photos --count 12 "$packages"
prepare painted-clip python -m tools.gallery.pan_clip "$packages/usr/share/backgrounds/life_by_Aitzol_Berasategi.jpg"
part="$out.part"
rm -rf "$part"
videobrush-train paint "$painting" --name "$name" --run "runs/$name" --out "$part" --facts "$here/$name/facts.json" \
    --title "$(cat "$here/$name/title.txt")" --photos painted-photos --size 384 --minutes "${MINUTES-150}" \
    --equivariance-weight 15 --painting-weight 1 --learning-rate 5e-4
videobrush-engines quantize "$part" --gate 35 --frames "$calibrate" --held-out "$held_out"
photos="$here/../../train/data/photos"
python -m tools.gallery.previews "$part" --clip painted-clip/pan.mp4 --images \
    "$photos"/{dogs,mountains,astronaut,brook,coffee,room,cat,sunset}.jpg
shopt -s nullglob
clips=("$held_out"/*.mp4)
python -m tools.gallery.describe "$part" --make "$here/$name/make.sh" ${clips[@]:+--clips "${clips[@]}"}
mv "$part" "$out"
