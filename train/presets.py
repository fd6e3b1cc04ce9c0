"""Settings that go together, by network, time and machine.

They are words of the command line, put before the user's own, which win. The papers' settings suit the
papers' networks; a small generator, which adds a change to its input, stays at the identity with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Preset = Literal["draft", "cpu-evening", "gpu-paper"]

LENGTH = ("--steps", "--epochs", "--minutes")

_CYCLE = (
    "--norm none --discriminator-norm spectral --discriminator-width 32 --load-size 160 --crop-size 128 "
    "--batch 2 --learning-rate 3e-4 --cycle-weight 2 --cycle-weight-end 1 --identity-weight 0.1 --l1-beta 0.2"
)
_PAIRED = "--norm none --loss lsgan --learning-rate 3e-4 --feature-weight 10"

NETWORKS: dict[str, dict[str, str]] = {
    "cyclegan": {
        "hg48": f"{_CYCLE} --grid-weight 500",
        "draw48": f"{_CYCLE} --grid-weight 500",
        "paint48": f"{_CYCLE} --grid-weight 500",
        "pu48": _CYCLE,
        "pu32": _CYCLE,
    },
    "pix2pix": {
        "hg48": f"{_PAIRED} --discriminator-norm spectral --discriminator-width 32 --load-size 192 "
        "--crop-size 128 --batch 4 --l1-weight 30",
        "draw48": f"{_PAIRED} --discriminator-norm instance --discriminator-width 48 --load-size 216 "
        "--crop-size 192 --batch 2 --l1-weight 50 --grid-weight 500",
        "paint48": f"{_PAIRED} --discriminator-norm instance --discriminator-width 32 --load-size 256 "
        "--crop-size 160 --batch 4 --l1-weight 100 --grid-weight 500",
        "pu48": f"{_PAIRED} --discriminator-norm spectral --discriminator-width 32 --load-size 192 "
        "--crop-size 128 --batch 4 --l1-weight 30",
        "pu32": f"{_PAIRED} --discriminator-norm spectral --discriminator-width 32 --load-size 192 "
        "--crop-size 128 --batch 4 --l1-weight 30",
    },
}
"""Settings that small generators were trained with in the gallery, by recipe and generator."""

PRESETS: dict[str, dict[Preset, str]] = {
    "cyclegan": {
        "draft": "--generator hg48 --minutes 20 --sample-minutes 4",
        "cpu-evening": "--generator hg48 --minutes 240 --sample-minutes 20",
        "gpu-paper": "--generator resnet9 --epochs 200 --amp --sample-minutes 20",
    },
    "pix2pix": {
        "draft": "--generator hg48 --minutes 15 --sample-minutes 3",
        "cpu-evening": "--generator hg48 --minutes 180 --sample-minutes 15",
        "gpu-paper": "--generator unet256 --epochs 200 --amp --sample-minutes 20",
    },
    "distill": {
        "draft": "--load-size 160 --crop-size 128 --batch 8 --minutes 10 --sample-minutes 3",
        "cpu-evening": "--load-size 160 --crop-size 128 --batch 8 --minutes 120 --sample-minutes 15",
        "gpu-paper": "--amp --steps 50000 --sample-minutes 20",
    },
    "gan": {
        "draft": "--minutes 5 --sample-minutes 1",
        "cpu-evening": "--minutes 120 --sample-minutes 15",
        "gpu-paper": "--epochs 200 --sample-minutes 10",
    },
}
PRESETS["cgan"] = PRESETS["dcgan"] = PRESETS["gan"]
"""Presets by recipe: a first look, an evening on a CPU, what the papers did."""


def with_presets(words: Sequence[str]) -> list[str]:
    """Return the words of a command with those of its preset and of its generator before the user's.

    >>> with_presets(["gan", "--data", "d", "--preset", "draft", "--steps", "5"])
    ['gan', '--sample-minutes', '1', '--data', 'd', '--preset', 'draft', '--steps', '5']
    """
    if not words or words[0] not in PRESETS:
        return list(words)
    recipe, given = words[0], list(words[1:])
    preset = option_value(given, "--preset")
    chosen = PRESETS[recipe].get(preset, "").split() if preset else []  # type: ignore[call-overload]
    if any(option_value(given, option) is not None for option in LENGTH):
        chosen = _without_length(chosen)
    generator = option_value([*chosen, *given], "--generator")
    network = NETWORKS.get(recipe, {}).get(generator or "", "").split()
    return [recipe, *network, *chosen, *given]


def option_value(words: Sequence[str], option: str) -> str | None:
    """Return the last value given for an option."""
    found = None
    for number, word in enumerate(words):
        if word == option and number + 1 < len(words):
            found = words[number + 1]
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def _without_length(words: Sequence[str]) -> list[str]:
    kept, skipped = list[str](), False
    for word in words:
        if word in LENGTH or skipped:
            skipped = word in LENGTH
            continue
        kept.append(word)
    return kept
