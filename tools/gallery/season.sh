#!/usr/bin/env bash
# Makes a style of a season: bash tools/gallery/season.sh winter|summer SUMMER2WINTER PREVIEWS CLIP OUT CALIBRATE HELD_OUT
# SUMMER2WINTER has trainA, trainB, testA and testB; the rest is as for finish.sh.
# One teacher translates both ways: run in one folder, the two scripts share runs/season_teacher.
# What was really run, with its times and its machine, is on the style's card.
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
. "$here/steps.sh"
need "winter|summer SUMMER2WINTER PREVIEWS CLIP OUT CALIBRATE HELD_OUT" "$@"
name="$1" data="$2" previews="$3" clip="$4" out="$5" calibrate="$6" held_out="$7"
refuse_existing "$out"
case "$name" in
    winter) direction=AtoB title="Summer turns to winter: snow-white ground, cold pale colours" ;;
    summer) direction=BtoA title="Winter turns to summer: warm light, green and golden ground" ;;
esac

prepare summer2winter_snow python "$here/select_snow.py" "$data"
# The shipped styles' was planned for 7000 steps, which its step size follows, and stopped after 5353.
train cyclegan runs/season_teacher --data summer2winter_snow \
    --generator hg48 --norm none --discriminator-norm spectral --discriminator-width 32 \
    --load-size 160 --crop-size 128 --batch 2 --amp --learning-rate 3e-4 --cycle-weight 2 --cycle-weight-end 1 \
    --identity-weight 0.1 --l1-beta 0.2 --grid-weight 500 --threads 1 --steps 5353
train distill "runs/${name}_student" --data summer2winter_snow --teacher runs/season_teacher --direction "$direction" \
    --student hg48 --norm none --copy-teacher --load-size 160 --crop-size 128 \
    --batch 8 --amp --learning-rate 2e-4 --threads 1 --steps 500
bash "$here/finish.sh" "$name" "runs/${name}_student" runs/season_teacher "$direction" "$previews" "$clip" \
    "$out" "$calibrate" "$held_out" --title "$title" --size 160
