#!/usr/bin/env bash
# Makes the style `facade`: bash tools/gallery/facade/make.sh FACADES OUT
# FACADES has train and test, photo and labels side by side. Plans for the previews and for INT8 are drawn.
# What was really run, with its times and its machine, is on the style's card.
set -eu
gallery="$(cd "$(dirname "$0")/.." && pwd)"
. "$gallery/steps.sh"
need "FACADES OUT" "$@"
data="$1" out="$2"
refuse_existing "$out"
draw() {
    python "$gallery/draw_facades.py" "$1/previews"
    python "$gallery/draw_facades.py" "$1/calibrate" --count 24 --seed 1
    python "$gallery/draw_facades.py" "$1/held_out" --seed 2
    python "$gallery/draw_facades.py" "$1/clip" --growing 90 --seed 7
}
export PYTHONPATH="$gallery/../.."

[ -e facades ] || ln -s "$(cd "$data" && pwd)" facades
prepare facade_plans draw
# The shipped style's was run with --minutes 25 first, stopped after 22 of them and continued with --minutes 45.
train pix2pix runs/facade_teacher --data facades --direction BtoA \
    --generator draw48 --norm none --discriminator-norm instance --discriminator-width 48 --loss lsgan \
    --load-size 216 --crop-size 192 --batch 2 --amp --learning-rate 3e-4 --l1-weight 50 --feature-weight 10 \
    --grid-weight 500 --threads 1 --minutes 45 --sample-minutes 4
# The teacher as it was last: the state with the highest PSNR is an early, blurred one.
rm -f runs/facade_teacher/best.safetensors
train distill runs/facade_student --data facades --teacher runs/facade_teacher --direction BtoA \
    --student draw48 --norm none --copy-teacher --load-size 216 --crop-size 192 --batch 4 --amp --learning-rate 2e-4 \
    --threads 1 --steps 500
bash "$gallery/finish.sh" facade runs/facade_student runs/facade_teacher BtoA facade_plans/previews facade_plans/clip "$out" \
    facade_plans/calibrate facade_plans/held_out --size 216 --title "Plans of coloured rectangles turn to house fronts"
