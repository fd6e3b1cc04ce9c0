"""Access policy of the studio: Host, Origin, token, cookie, headers.

Any web page can make the browser send requests to 127.0.0.1, and with DNS rebinding even as the same origin.
Therefore the Host must be one of ours, exactly; requests with the cookie must have the Origin of our own
page, exactly; the cookie is given only in exchange for the token, which is printed at start; and the page
may load nothing from elsewhere.
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

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
ANY_ADDRESS = ("0.0.0.0", "::")
TOKEN_FILE = "studio-token"
_COOKIE_DAYS = 365


class AccessPolicy:
    """Accepts or rejects a request by its headers, whose names are in lower case."""

    def __init__(self, token: str, host: str, port: int, extra_hosts: Iterable[str] = ()) -> None:
        """`host` is the address the server is bound to; `extra_hosts` are further exact values of Host."""
        self._token, self._port = token, port
        self._everywhere = host in ANY_ADDRESS
        self.cookie = f"videobrush_{port}"
        names = LOCAL_HOSTS if host in LOCAL_HOSTS or self._everywhere else (_bracketed(host),)
        if self._everywhere:
            names = (*names, socket.gethostname().lower())
        self._hosts = {f"{name}:{port}" for name in names} | {entry.lower() for entry in extra_hosts}
        if port == 80:
            self._hosts |= set(names)
        self._cookie_value = hmac.new(token.encode(), b"videobrush studio cookie", hashlib.sha256).hexdigest()

    def host_error(self, headers: Mapping[str, str]) -> str | None:
        """Return why the Host is rejected; None where it is one of ours."""
        host = headers.get("host", "").lower()
        if host in self._hosts or (self._everywhere and self._is_address(host)):
            return None
        return f"this server does not answer to the name {host[:80]!r}; --allow-host adds one"

    def origin_error(self, headers: Mapping[str, str]) -> str | None:
        """Return why the Origin of a request with the cookie is rejected; None where it is our page."""
        host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
        if origin in (f"http://{host}", f"https://{host}"):
            return None
        return f"a page of {origin[:80]!r} may not use this server" if origin else "no Origin was sent"

    def is_token(self, offered: str) -> bool:
        """Return whether this is the token, compared in constant time."""
        return hmac.compare_digest(offered.encode(), self._token.encode())

    def has_cookie(self, headers: Mapping[str, str]) -> bool:
        """Return whether the request has our cookie."""
        # Parsed by hand: cookies of other servers on this host come along, and http.cookies rejects the whole
        # header for a value that it cannot parse.
        ours = f"{self.cookie}=".encode() + self._cookie_value.encode()
        pairs = headers.get("cookie", "").split(";")
        return any(hmac.compare_digest(pair.strip().encode(), ours) for pair in pairs)

    def has_bearer(self, headers: Mapping[str, str]) -> bool:
        """Return whether the request has the token: `Authorization: Bearer TOKEN`."""
        kind, _, offered = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.is_token(offered.strip())

    def cookie_header(self) -> str:
        """Return the Set-Cookie value that signs a browser in."""
        return (
            f"{self.cookie}={self._cookie_value}; Path=/; HttpOnly; SameSite=Strict; "
            f"Max-Age={_COOKIE_DAYS * 86400}"
        )

    def _is_address(self, host: str) -> bool:
        """Return whether a Host is an IP address with our port: no name, which DNS could point here."""
        name, _, port = host.rpartition(":")
        if port != str(self._port):
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def page_headers(host: str) -> dict[str, str]:
    """Return the headers of every response to a request with this Host."""
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
        "Permissions-Policy": "camera=(self), fullscreen=(self), midi=(self), microphone=(), geolocation=()",
        "Cache-Control": "no-store",
    }


def state_folder() -> Path:
    """Return the user's folder for program state."""
    return user_folder("XDG_STATE_HOME", ".local/state")


def load_token(folder: Path, new: bool = False) -> str:
    """Return the token stored in `folder`, mode 0600; create it where there is none, or where `new`.

    It is stored so that an open page finds a restarted server again.

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
            f"the studio's token cannot be stored in {path}: {error}; set XDG_STATE_HOME to another folder"
        ) from None
    return token


def _open_private(path: Path) -> int:
    """Create a file that its owner alone can read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()
