#!/usr/bin/env bash
# Turns a trained student into a style:
# bash tools/gallery/finish.sh NAME STUDENT TEACHER DIRECTION PREVIEWS CLIP OUT CALIBRATE HELD_OUT [EXPORT_OPTION ...]
# DIRECTION is the teacher's, AtoB or BtoA; PREVIEWS has eight images that may be passed on, and CLIP is such a clip;
# CALIBRATE and HELD_OUT are folders of clips and images for the INT8 model.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
name="$1" student="$2" teacher="$3" direction="$4" previews="$5" clip="$6" out="$7" calibrate="$8" held_out="$9"
shift 9
part="$out.part"
rm -rf "$part"
videobrush-train export "$student" --name "$name" --facts "$here/$name/facts.json" --out "$part" "$@"
videobrush-engines quantize "$part" --gate 45 --frames "$calibrate" --held-out "$held_out"
export PYTHONPATH="$here/../.."
python -m tools.gallery.previews "$part" --images "$previews" --clip "$clip"
shopt -s nullglob
clips=("$held_out"/*.mp4)
python -m tools.gallery.describe "$part" --make "$here/$name/make.sh" \
    ${clips[@]:+--clips "${clips[@]}" --teacher "$teacher" --direction "$direction"}
mv "$part" "$out"
