"""What a training run is told: one frozen dataclass per recipe. Attribute docstrings are the help."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from train.errors import RunError


@dataclass(frozen=True)
class CycleGan:
    """Train two generators and two discriminators on unpaired pictures (CycleGAN, Zhu et al. 2017)."""

    data: Path
    """Folder with trainA and trainB; testA and testB, where present, feed sample sheets and metrics."""
    run: Path = Path("runs/cyclegan")
    """Folder of this run: settings, checkpoint, sample sheets, TensorBoard events."""
    generator: Literal["hg48", "resnet6", "resnet9"] = "resnet9"
    """Generator of both directions: hg48 is the small, quick one."""
    norm: Literal["instance", "none"] = "instance"
    """Normalisation in the generators."""
    discriminator_width: int = 64
    """Channels of the first convolution of the 70×70 PatchGAN."""
    discriminator_norm: Literal["instance", "spectral", "none"] = "instance"
    """Normalisation in the discriminators; without instance norm they see brightness and colour."""
    load_size: int = 286
    """Short side in pixels that pictures are scaled to before cropping."""
    crop_size: int = 256
    """Side in pixels of the random training crops."""
    batch: int = 1
    """Pictures of each domain per step."""
    steps: int | None = None
    """Length of the run in steps; the schedule follows. Give this or --minutes."""
    minutes: float | None = None
    """Length of the run in minutes of training time; the schedule follows."""
    learning_rate: float = 2e-4
    """Adam's step size, constant for the first half of the run, then linear to 0."""
    cycle_weight: float = 10.0
    """Weight of the cycle loss."""
    cycle_weight_end: float | None = None
    """Weight of the cycle loss at the end, reached linearly over the second half; default: no change."""
    identity_weight: float = 5.0
    """Weight of the identity loss."""
    l1_beta: float = 0.0
    """Difference, on the scale of [-1, 1], below which cycle and identity loss are quadratic; 0: plain L1."""
    grid_weight: float = 0.0
    """Weight of the loss on patterns of period 4 px in what the generators change; needed by hg48."""
    pool: int = 50
    """Past fakes kept for the discriminators."""
    ema: float = 0.999
    """Decay of the averaged generator weights; these are exported."""
    start_from: Path | None = None
    """Folder of a run with the same networks whose weights this run starts from."""
    amp: bool = False
    """Compute in bfloat16 where it is safe (faster on CPUs with AMX)."""
    seed: int = 0
    """Seed of weights, crops and pool."""
    threads: int = 0
    """CPU threads; 0: all cores."""
    sample_minutes: float = 5.0
    """Minutes between sample sheets."""
    checkpoint_minutes: float = 3.0
    """Minutes between checkpoints."""
    resume: bool = False
    """Continue the run in --run from its checkpoint: repeat the command; only the budget may be another."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise RunError("how long to train is not clear: give either --steps or --minutes")
        if self.crop_size % 8 or self.crop_size < 32:
            raise RunError(f"--crop-size is {self.crop_size}: needed is a multiple of 8, at least 32")
        if self.crop_size > self.load_size:
            raise RunError(f"--crop-size {self.crop_size} is larger than --load-size {self.load_size}")
        for name in ("batch", "discriminator_width"):
            if getattr(self, name) < 1:
                raise RunError(f"--{name.replace('_', '-')} is {getattr(self, name)}: needed is 1 or more")


@dataclass(frozen=True)
class Export:
    """Write a trained generator as a style: card, ONNX with uint8 RGB in and out, previews."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a training run."""
    name: str
    """Name of the style: lower-case letters, digits, '-' and '_'."""
    out: Path | None = None
    """Folder to write; default RUN/NAME."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which of the two generators."""
    title: str = ""
    """One line for people: what the style does."""
    size: int = 256
    """Short side of the network's picture in live use: the default of --size."""
    facts: Path | None = None
    """JSON object with `data` (name, origin, terms) and `faults` (sentences) for the card."""
    previews: Path | None = None
    """Folder of redistributable pictures for the style's previews; default: none are written."""
    overwrite: bool = False
    """Replace an existing style folder."""


RESUMABLE_CHANGES = (
    *("resume", "threads", "sample_minutes", "checkpoint_minutes", "run", "data"),
    *("steps", "minutes"),
)
"""Settings that may differ between a run and its continuation.

The first do not change what is computed. The budget may grow: step size and cycle weight follow the new one.
"""


def settings_json(config: CycleGan) -> dict[str, Any]:
    """Return the settings as a JSON object."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()}


def check_same_settings(config: CycleGan, recorded: dict[str, Any]) -> None:
    """Compare the settings with those of the run being resumed.

    Raises:
        RunError: a setting that changes what is computed differs.
    """
    wanted = settings_json(config)
    for entry in fields(config):
        if entry.name not in RESUMABLE_CHANGES and wanted[entry.name] != recorded.get(entry.name):
            raise RunError(
                f"cannot resume {config.run}: --{entry.name.replace('_', '-')} is "
                f"{json.dumps(wanted[entry.name])}, the run was started with "
                f"{json.dumps(recorded.get(entry.name))}"
            )
