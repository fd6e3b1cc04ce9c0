#!/usr/bin/env bash
# Makes the style `sketch`: bash tools/gallery/sketch/make.sh EDGES2PHOTO PREVIEWS CLIP OUT CALIBRATE HELD_BACK
# EDGES2PHOTO has train and test, drawing and photo side by side; the rest is as for finish.sh.
# What was really run, with its times and its machine, is on the style's card.
set -eu
gallery="$(cd "$(dirname "$0")/.." && pwd)"
data="$1" previews="$2" clip="$3" out="$4" calibrate="$5" held_back="$6"
export PYTHONPATH="$gallery/../.."

[ -d sketch_data ] || python "$gallery/edge_pairs.py" "$data" sketch_data
[ -d runs/sketch_teacher ] || frameshift-train pix2pix --data sketch_data --run runs/sketch_teacher \
    --generator draw48 --norm none --discriminator-norm spectral --discriminator-width 32 --loss lsgan \
    --load-size 176 --crop-size 160 --batch 4 --amp --learning-rate 2e-4 --l1-weight 30 --feature-weight 10 \
    --grid-weight 500 --threads 1 --minutes 18 --sample-minutes 4
# The teacher as it was last: the state with the highest PSNR is an early, blurred one.
rm -f runs/sketch_teacher/best.safetensors
frameshift-train distill --data sketch_data --teacher runs/sketch_teacher --run runs/sketch_student \
    --student draw48 --norm none --copy-teacher --load-size 176 --crop-size 160 --batch 8 --amp --learning-rate 2e-4 \
    --threads 1 --steps 400
bash "$gallery/finish.sh" sketch runs/sketch_student runs/sketch_teacher AtoB "$previews" "$clip" "$out" \
    "$calibrate" "$held_back" --view edges --size 176 --title "Lines turn to leather and cloth: shoes and bags from sketches"
