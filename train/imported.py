"""A generator of the CycleGAN and pix2pix authors' repository as a run that can be exported."""

from __future__ import annotations

from train.checkpoint import CHECKPOINT, write_checkpoint
from train.environment import describe_environment
from train.errors import RunError
from train.facts import RunFacts
from train.reference import Import, load_reference


def import_generator(config: Import) -> str:
    """Write a run folder around a foreign generator; return what was found, in words.

    Raises:
        RunError: the file is no such generator, or the folder holds a run or cannot be written.
    """
    net, settings = load_reference(config.file, config.arch, config.key)
    if (config.out / CHECKPOINT).exists():
        raise RunError(f"{config.out} already holds a run: give another --out")
    environment = {**describe_environment(), "imported": config.file.name}
    facts = RunFacts("import", settings, environment=environment)
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"run folder {config.out} cannot be written: {error.strerror}") from None
    write_checkpoint(
        config.out / CHECKPOINT, {f"G/{name}": weight for name, weight in net.state_dict().items()}, facts
    )
    return f"{settings['generator']}, norm {settings['norm']}, {settings['width']} channels"
