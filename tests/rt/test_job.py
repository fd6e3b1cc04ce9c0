from __future__ import annotations

import pytest

from rt.commands import Run
from rt.errors import SinkError
from rt.job import run_job
from rt.pipeline import Stop
from tests.support.servers import HttpPeer


def refusal(address: str) -> str:
    with pytest.raises(SinkError) as caught:
        run_job(Run(address, "winter"), Stop())
    return str(caught.value)


def test_without_a_display_it_is_said_what_to_type_but_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rt.job.display_fault", lambda: "there is no display")
    begin = "no window can be opened: there is no display; to write a file type: videobrush run"
    with HttpPeer() as peer:
        assert refusal(peer.address) == f"{begin} {peer.address} OUTPUT.mp4 --style winter"
        for secret in ("admin:secret@127.0.0.1:{}/live", "127.0.0.1:{}/live?pwd=secret"):
            address = f"http://{secret.format(peer.port)}"
            assert refusal(address) == f"{begin} INPUT OUTPUT.mp4 --style winter"
