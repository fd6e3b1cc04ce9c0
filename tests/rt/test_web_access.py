"""Who may talk to the studio."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rt.errors import VideobrushError
from rt.web.access import AccessPolicy, load_token, page_headers

TOKEN = "t" * 43


def policy(host: str = "127.0.0.1", *extra_hosts: str) -> AccessPolicy:
    return AccessPolicy(TOKEN, host, 8765, extra_hosts)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_our_own_names_are_taken(host: str) -> None:
    assert policy().host_error({"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        *("", "127.0.0.1", "localhost", "127.0.0.1:80", "evil.example:8765", "127.0.0.1:8765.evil.example"),
        *("localhost:8765@evil.example", "127.0.0.1.nip.io:8765", "192.168.1.5:8765", "localhost:87650"),
    ],
)
def test_every_other_name_is_refused(host: str) -> None:
    assert policy().host_error({"host": host}) == (
        f"this server does not answer to the name {host!r}; --allow-host adds one"
    )


def test_for_everybody_bare_addresses_are_taken_and_names_are_not() -> None:
    open_to_all = policy("0.0.0.0", "Studio.Example:443")
    for host in ("192.168.1.5:8765", "[fe80::1]:8765", "localhost:8765", "studio.example:443"):
        assert open_to_all.host_error({"host": host}) is None
    for host in ("evil.example:8765", "192.168.1.5:80", "192.168.1.5.nip.io:8765", "studio.example"):
        assert open_to_all.host_error({"host": host})


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "http://evil.example", "http://localhost:8765.evil.example", "http://localhost:87650"),
        *("http://localhost", "file://", "http://127.0.0.1:8765", "ws://localhost:8765"),
    ],
)
def test_only_the_very_origin_of_the_host_is_taken(origin: str) -> None:
    headers = {"host": "localhost:8765", "origin": origin}
    assert policy().origin_error(headers) == f"a page of {origin!r} may not use this server"
    assert policy().origin_error({**headers, "origin": "http://localhost:8765"}) is None
    assert policy().origin_error({**headers, "origin": "https://localhost:8765"}) is None
    assert policy().origin_error({"host": "localhost:8765"}) == "no Origin was sent"


def test_the_cookie_is_made_of_the_token_and_does_not_give_it_away() -> None:
    header = policy().cookie_header()
    assert TOKEN not in header
    assert header.startswith("videobrush_8765=")
    assert "HttpOnly; SameSite=Strict" in header
    cookie = header.split(";")[0]
    assert policy().has_cookie({"cookie": f"other=1; {cookie}"})
    # Cookies of other servers on this host, at whose values http.cookies gives up.
    assert policy().has_cookie({"cookie": f'a={{"x": 1}}; ü[1]=2; videobrush_8765=old; {cookie}'})
    assert not AccessPolicy("u" * 43, "127.0.0.1", 8765).has_cookie({"cookie": cookie})
    assert not policy().has_cookie({"cookie": f"videobrush_8765={TOKEN}"})
    assert not policy().has_cookie({"cookie": "videobrush_8765=ü"})
    assert not policy().has_cookie({})


def test_a_program_sends_the_token() -> None:
    assert policy().has_bearer({"authorization": f"Bearer {TOKEN}"})
    assert not policy().has_bearer({"authorization": f"Bearer {TOKEN}x"})
    assert not policy().has_bearer({"authorization": f"Basic {TOKEN}"})
    assert not policy().has_bearer({})


def test_a_page_may_load_nothing_from_elsewhere_and_stand_in_no_frame() -> None:
    content_policy = page_headers("localhost:8765")["Content-Security-Policy"]
    assert content_policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in content_policy
    assert "unsafe" not in content_policy


def test_the_token_is_kept_for_its_owner_alone_and_made_anew_when_asked(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    token = load_token(folder)
    path = folder / "studio-token"
    assert len(token) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert load_token(folder) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_token(folder, new=True) != token
    assert [entry.name for entry in folder.iterdir()] == ["studio-token"]


def test_a_token_that_was_emptied_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "studio-token").write_text("\n")
    assert len(load_token(tmp_path)) == 43


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VideobrushError, match="token cannot be stored in .*; set XDG_STATE_HOME to another"):
        load_token(tmp_path / "file" / "state")
