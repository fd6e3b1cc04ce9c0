"""Facts of a training run, typed: what a checkpoint says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast

Pair = Literal["none", "gray", "edges"]

_RENAMED = {"pictures": "images"}
"""Names of facts in checkpoints of videobrush 0.1."""
_RENAMED_SETTINGS = {"start": "init"}
"""Names of settings in checkpoints of videobrush 0.1."""


@dataclass(frozen=True)
class Networks:
    """What the settings of a run say of its networks: enough to build them again."""

    generator: str
    """One of `train.nets.GENERATORS`; of a student its own."""
    norm: str = "instance"
    channels_in: int = 3
    """The image's three, and channels of noise."""
    width: int | None = None
    """Channels of the generator's first convolution; None: the network's own."""
    dropout: bool = False
    down: str = "stride"
    up: str = "transposed"
    init: str = "identity"
    z: int = 0
    """Channels of noise beside the image, or length of the noise vector."""
    discriminator_width: int = 64
    discriminator_norm: str = "instance"
    patch: str = "70"
    convolutional: bool = False
    """Of a generator from noise: of convolutions, as DCGAN's."""
    side: int = 0
    """Of a generator from noise: side of its images in pixels."""

    @classmethod
    def of(cls, recipe: str, settings: Mapping[str, Any]) -> Networks:
        """Read them off the settings of a run, also of an imported generator."""
        name = str(settings.get("student") or settings.get("generator") or recipe)
        z = int(settings.get("z", 0))
        dropout = settings.get("dropout", False)
        known = {
            key: settings[key]
            for key in ("norm", "down", "up", "init", "discriminator_width", "discriminator_norm", "patch")
            if settings.get(key) is not None
        }
        width = settings.get("generator_width") or settings.get("width")
        return cls(
            generator=name,
            channels_in=int(settings.get("channels_in", 3 + z)),
            width=None if width is None else int(width),
            dropout=name.startswith("unet") and not z if dropout is None else bool(dropout),
            z=z,
            convolutional=recipe == "dcgan" or settings.get("networks") == "dcgan",
            side=int(settings.get("crop_size", 0)),
            **known,
        )


@dataclass(frozen=True)
class TeacherFacts:
    """The checkpoint a student learned from."""

    checkpoint: str
    """Its file name in the teacher's run folder."""
    sha256: str


@dataclass(frozen=True)
class RunFacts:
    """The facts in a checkpoint's header."""

    recipe: str
    """Its name, or `import` for a foreign generator."""
    settings: Mapping[str, Any]
    """What the run was told, by the names of `train.config`."""
    step: int = 0
    elapsed_s: float = 0.0
    """Training time so far, validations included."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Machine, versions, commit and command; see `train.environment`."""
    images: Mapping[str, int] = field(default_factory=dict)
    """Training images by folder."""
    processes: int = 1
    best: float | None = None
    """The best figure of a validation so far."""
    since_best: int = 0
    """Validations since that one."""
    classes: tuple[str, ...] = ()
    """Classes of a cgan, in the order of their numbers."""
    teacher: TeacherFacts | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
    """What other recipes note of themselves."""

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RunFacts:
        """Read them from a checkpoint's header, also of a version before.

        Raises:
            KeyError, TypeError: something is missing, or of another kind.
        """
        told = {_RENAMED.get(name, name): value for name, value in found.items()}
        settings = {_RENAMED_SETTINGS.get(name, name): value for name, value in told["settings"].items()}
        teacher = told.get("teacher")
        known = {entry.name for entry in fields(cls)} - {"settings", "teacher", "classes", "further"}
        return cls(
            **{name: value for name, value in told.items() if name in known},
            settings=settings,
            classes=tuple(told.get("classes", ())),
            teacher=None if teacher is None else TeacherFacts(**teacher),
            further={
                name: value
                for name, value in told.items()
                if name not in known | {"settings", "teacher", "classes"}
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return them as a JSON object; what a recipe does not have is left out."""
        told = {**asdict(self), "classes": list(self.classes)}
        further = told.pop("further")
        for name in ("classes", "teacher"):
            if not told[name]:
                del told[name]
        return {**told, **further}

    @property
    def networks(self) -> Networks:
        """What networks the run trained."""
        return Networks.of(self.recipe, self.settings)

    @property
    def pair(self) -> Pair:
        """What inputs were made from photos."""
        return cast(Pair, self.settings.get("pair", "none"))

    @property
    def direction(self) -> str | None:
        """Which way the one generator translates; None: of a run with two, or without a direction."""
        return cast("str | None", self.settings.get("direction"))

    @property
    def data(self) -> Path | None:
        """Folder of the training images; None: of an imported generator."""
        return Path(self.settings["data"]) if "data" in self.settings else None

    @property
    def has_teacher(self) -> bool:
        """Whether the run is a student's of another run, and not of another program's images."""
        return self.recipe == "distill" and self.settings.get("teacher") is not None

    @property
    def learned_pairs(self) -> bool:
        """Whether the run learned from images and what they should become."""
        return self.recipe == "pix2pix" or (self.recipe == "distill" and not self.has_teacher)

    @property
    def teacher_run(self) -> Path:
        """Folder of the teacher's run, of a student."""
        return Path(self.settings["teacher"])

    @property
    def minutes(self) -> float:
        """Training time in minutes, to a tenth."""
        return round(self.elapsed_s / 60, 1)

    @property
    def command(self) -> str:
        """The commands that trained the run."""
        return str(self.environment.get("command", ""))

    @property
    def precision(self) -> str | None:
        """What networks were computed in; None: an older run did not note it."""
        return cast("str | None", self.environment.get("precision"))
