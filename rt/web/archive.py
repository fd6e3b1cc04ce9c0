"""A zip file of results, written while it is sent."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def zip_stream(members: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    """Yield a zip file of these names and files, stored as they are: images and videos shrink no further."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, path in members:
            try:
                file = path.open("rb")
            except FileNotFoundError:  # deleted since the list was made
                continue
            with file:
                entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
                with archive.open(entry, "w") as member:
                    while block := file.read(_BLOCK_BYTES):
                        member.write(block)
                        yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """Collects what `zipfile` writes; it cannot seek, as a socket cannot."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        found = b"".join(self._parts)
        self._parts.clear()
        return found
