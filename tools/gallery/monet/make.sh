#!/usr/bin/env bash
# Makes the style `monet`: bash tools/gallery/monet/make.sh MONET2PHOTO LANDSCAPES_CC0 PREVIEWS CLIP OUT CALIBRATE HELD_OUT
# MONET2PHOTO has the paintings in trainA and testA (its photos are only measured on), LANDSCAPES_CC0 photos; the rest
# is as for finish.sh.
# What was really run, with its times and its machine, is on the style's card.
set -eu
gallery="$(cd "$(dirname "$0")/.." && pwd)"
. "$gallery/steps.sh"
need "MONET2PHOTO LANDSCAPES_CC0 PREVIEWS CLIP OUT CALIBRATE HELD_OUT" "$@"
data="$1" photos="$2" previews="$3" clip="$4" out="$5" calibrate="$6" held_out="$7"
refuse_existing "$out"
export PYTHONPATH="$gallery/../.."
common="--norm none --discriminator-norm instance --loss lsgan --load-size 256 --crop-size 160 --batch 4 --amp \
    --feature-weight 10 --grid-weight 500 --sample-minutes 8"

cut_all() {
    python "$gallery/cut_photos.py" "$photos" "$1" --count 40 \
        --held-out canyon-wren oakland-zoo-otters roman-colosseum sunset_by_the_pier \
        --leave-out abstract-spiral high-trestle-trail mr_lee photo_by_spacex piazza-gae-aulenti saturnian-profile \
        valley-midnight waves-midnight
    cp -r "$data/trainA" "$1/trainB"
    cp -r "$data/testA" "$1/testB"
}
prepare monet_data cut_all
# The set's own photos, of which nothing was learnt, are measured on.
mkdir -p monet_measured
for split in train test; do
    ln -sfn "$(realpath "$data/${split}B")" "monet_measured/${split}A"
    ln -sfn "$(realpath "$data/${split}A")" "monet_measured/${split}B"
done
# A painter learns to give flattened paintings their brushwork and palette back ...
prepare monet_flat python -m tools.gallery.paint_pairs paintings "$data"
train pix2pix runs/monet_painter --data monet_flat --generator hg48 \
    --discriminator-width 48 $common --learning-rate 3e-4 --l1-weight 10 --steps 2641
# ... and paints flattened photos, so that a teacher can learn to go from the photo itself to the painting.
paint() { python -m tools.gallery.paint_pairs photos monet_data "$1" --run runs/monet_painter --variants 3; }
prepare monet_painted paint
train pix2pix runs/monet_teacher --data monet_painted --generator paint48 \
    --discriminator-width 32 $common --learning-rate 4e-4 --l1-weight 100 --steps 3592
# The teacher as it was last: the state with the highest PSNR is an early, blurred one.
rm -f runs/monet_teacher/best.safetensors
train distill runs/monet_student --data monet_data --teacher runs/monet_teacher \
    --student paint48 --norm none --copy-teacher --load-size 256 --crop-size 160 --batch 8 --amp --learning-rate 2e-4 \
    --steps 400
bash "$gallery/finish.sh" monet runs/monet_student runs/monet_teacher AtoB "$previews" "$clip" "$out" \
    "$calibrate" "$held_out" --data monet_measured --size 256 --title "In Monet's hand: his palette, in crisp dabs"
