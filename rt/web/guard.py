"""Who may talk to the studio.

A page anywhere on the web can make its visitor's browser send requests to 127.0.0.1, and with a name that is
made to point there (DNS rebinding) even as the same origin. Therefore: the Host must be one of ours, exactly;
whoever comes with the cookie must come from a page of ours, exactly; the cookie is given only to who has the
token, which is printed at start; and the page may load nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from rt.errors import VideobrushError
from rt.folders import user_folder
from rt.replacing import replacing

LOCAL = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")
TOKEN_FILE = "studio-token"
_COOKIE_DAYS = 365


class Guard:
    """Decides about one request after its headers. `headers` have lower-case names."""

    def __init__(self, token: str, host: str, port: int, also: Iterable[str] = ()) -> None:
        """`host` is the address the server is bound to; `also` are further exact values of Host."""
        self._token, self._port = token, port
        self._everywhere = host in EVERYWHERE
        self.cookie = f"videobrush_{port}"
        names = LOCAL if host in LOCAL or self._everywhere else (_bracketed(host),)
        if self._everywhere:
            names = (*names, socket.gethostname().lower())
        self._hosts = {f"{name}:{port}" for name in names} | {entry.lower() for entry in also}
        if port == 80:
            self._hosts |= set(names)
        self._pass = hmac.new(token.encode(), b"videobrush studio cookie", hashlib.sha256).hexdigest()

    def host_fault(self, headers: Mapping[str, str]) -> str | None:
        """Return what is wrong with the Host; None where it is one of ours."""
        host = headers.get("host", "").lower()
        if host in self._hosts or (self._everywhere and self._is_address(host)):
            return None
        return f"this server does not answer to the name {host[:80]!r}; --allow-host adds one"

    def origin_fault(self, headers: Mapping[str, str]) -> str | None:
        """Return what is wrong with the Origin of who comes with the cookie; None where it is our page."""
        host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
        if origin in (f"http://{host}", f"https://{host}"):
            return None
        return f"a page of {origin[:80]!r} may not use this server" if origin else "no Origin was sent"

    def is_token(self, offered: str) -> bool:
        """Return whether this is the token."""
        return hmac.compare_digest(offered.encode(), self._token.encode())

    def has_cookie(self, headers: Mapping[str, str]) -> bool:
        """Return whether the request has the cookie of who once had the token."""
        # By hand: other servers of this host, whose cookies come along, write values at which http.cookies
        # gives up the whole header.
        ours = f"{self.cookie}=".encode() + self._pass.encode()
        pairs = headers.get("cookie", "").split(";")
        return any(hmac.compare_digest(pair.strip().encode(), ours) for pair in pairs)

    def has_bearer(self, headers: Mapping[str, str]) -> bool:
        """Return whether a program sent the token: `Authorization: Bearer TOKEN`."""
        kind, _, offered = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.is_token(offered.strip())

    def cookie_header(self) -> str:
        """Return the Set-Cookie value that signs a browser in."""
        return (
            f"{self.cookie}={self._pass}; Path=/; HttpOnly; SameSite=Strict; Max-Age={_COOKIE_DAYS * 86400}"
        )

    def _is_address(self, host: str) -> bool:
        """Return whether a Host is a bare IP address with our port, no name that could be pointed here."""
        name, _, port = host.rpartition(":")
        if port != str(self._port):
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def page_headers(host: str) -> dict[str, str]:
    """Return the headers of every answer to a request with this Host."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        f"connect-src 'self' ws://{host} wss://{host}; media-src 'self' blob: mediastream:; "
        "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), fullscreen=(self), microphone=(), geolocation=()",
        "Cache-Control": "no-store",
    }


def state_folder() -> Path:
    """Return the folder for what the program remembers."""
    return user_folder("XDG_STATE_HOME", ".local/state")


def keep_token(folder: Path, new: bool = False) -> str:
    """Return the token kept in `folder`, readable by its owner alone; a new one where there is none.

    It is kept so that an open page finds a server that was started again.

    Raises:
        VideobrushError: the file cannot be read or written.
    """
    path = folder / TOKEN_FILE
    try:
        if not new and path.is_file():
            path.chmod(0o600)
            token = path.read_text(encoding="ascii").strip()
            if len(token) >= 32:
                return token
        folder.mkdir(parents=True, exist_ok=True)
        token = secrets.token_urlsafe(32)
        with replacing(path) as part, os.fdopen(_open_private(part), "w") as stream:
            stream.write(token + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise VideobrushError(
            f"the studio's token cannot be kept in {path}: {error}; set XDG_STATE_HOME to another folder"
        ) from None
    return token


def _open_private(path: Path) -> int:
    """Create a file that its owner alone can read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()
