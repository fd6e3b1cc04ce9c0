"""The commands that the READMEs show."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    *(
        "README.md",
        "rt/README.md",
        "rt/batch/README.md",
        "rt/web/README.md",
        "train/README.md",
        "engines/README.md",
    ),
    "tests/README.md",
)
"""Every README that shows commands."""
PROGRAMS = ("videobrush", "videobrush-train", "videobrush-engines", "curl")
_INLINE = re.compile(r"`((?:videobrush|videobrush-train|videobrush-engines) [^`]+)`")
_SYNOPSIS = re.compile(r"\[|\.\.\.|…|\b[A-Z]{3,}\b.*\b[A-Z]{3,}\b|\b(?:INPUT|OUTPUT|NAME|STYLE|FILE)\b")
"""Marks inline code that names a command without being one that can be typed."""
_MENTION = re.compile(r"\S+ \S+|videobrush run -.*")
"""Inline code that only names a subcommand, or an option of `run`."""


@dataclass(frozen=True)
class Command:
    """A command, and where it is shown."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {shlex.join(self.words)}"


def commands(name: str) -> list[Command]:
    """Return the commands of a README: in indented and fenced blocks, and those in `code` that are whole."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found: list[Command] = []
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found += _split(line, f"{name}:{number}")
        else:
            inline = (match.replace("\\|", "|") for match in _INLINE.findall(line))
            for code in inline:
                if not _SYNOPSIS.search(code) and not _MENTION.fullmatch(code):
                    found += _split(code, f"{name}:{number}")
    return found


def _split(line: str, where: str) -> list[Command]:
    """Return the commands of one line that are of our programs, without comments and what joins them."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # prose with an apostrophe in an indented list
        return []
    found: list[Command] = []
    at = 0
    for end in [*(n for n, word in enumerate(words) if word in ("&&", "|", ";")), len(words)]:
        if end > at + 1 and words[at] in PROGRAMS and "--help" not in words[at:end]:
            found.append(Command(where, tuple(words[at:end])))
        at = end + 1
    return found
