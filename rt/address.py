"""How an address may be shown."""

from __future__ import annotations

import re


def without_secrets(address: str) -> str:
    """Return an address as it may be printed: without user, password, query and `key=value` in its path.

    Where it cannot be told what a part is, more is hidden than needed; what is no address stays as it is.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    before, at, place = rest.rpartition("@")  # passwords with @ or / in them are typed as they are
    if re.search("[?#]", before) or "=" in before.partition("/")[2]:
        return f"{scheme}://***"  # a password, or an @ behind the user info: what follows may be secret too
    steps = re.split("[?#]", place)[0].split("/")
    if re.search(r":(?!\d*$)[^]]*$", steps[0]):  # no port is written so: the host was forgotten
        steps[0] = "***"
    shown = "/".join("***" if "=" in step else step for step in steps)
    return f"{scheme}://{'***@' if at else ''}{shown}"
