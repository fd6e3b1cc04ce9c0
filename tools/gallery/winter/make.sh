#!/usr/bin/env bash
# Makes the style `winter`: bash tools/gallery/winter/make.sh SUMMER2WINTER PREVIEWS CLIP OUT CALIBRATE HELD_BACK
# SUMMER2WINTER has trainA, trainB, testA and testB; PREVIEWS has eight pictures that may be passed on, and CLIP is
# such a clip; CALIBRATE and HELD_BACK are folders of clips and pictures for the INT8 model.
# What was really run, with its times and its machine, is on the style's card.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
data="$1" previews="$2" clip="$3" out="$4" calibrate="$5" held_back="$6"

python "$here/../select_snow.py" "$data" summer2winter_snow
common="--data summer2winter_snow --generator hg48 --norm none --discriminator-norm spectral
    --load-size 160 --crop-size 128 --batch 2 --amp --learning-rate 3e-4
    --cycle-weight 2 --cycle-weight-end 1 --identity-weight 0.1 --l1-beta 0.2 --threads 1"
# The first run was stopped by Ctrl-C after 2490 steps, before its step size began to fall, and its folder,
# runs/winter_spectral then, was renamed.
frameshift-train cyclegan $common --run runs/winter_first --minutes 50
frameshift-train cyclegan $common --run runs/winter --start-from runs/winter_first --grid-weight 500 --minutes 36
frameshift-train export runs/winter --name winter --title "Summer turns to winter: snow-white ground, cold pale colours" \
    --size 160 --facts "$here/facts.json" --out "$out"
frameshift-engines quantize "$out" --frames "$calibrate" --held-back "$held_back"
export PYTHONPATH="$here/../../.."
python -m tools.gallery.previews "$out" --pictures "$previews" --clip "$clip"
python -m tools.gallery.describe "$out" --make "$here/make.sh"
