"""The server's own source: read in a thread of its own, at its own pace, shown to every visitor."""

from __future__ import annotations

import threading
from typing import Any

from rt.errors import SourceError
from rt.frame import Frame
from rt.log import LOG
from rt.pacing import Pace
from rt.sources import Source
from rt.web.studio import Studio


class Camera:
    """Shows the frames of a source to the visitors of a studio; owns the source.

    Recorded sources are shown at their own frame rate. One that fails is said to every visitor; the last
    picture stays.
    """

    def __init__(self, source: Source, studio: Studio) -> None:
        self.fault: str | None = None
        """Why no more pictures come; None while they do."""
        self.stale = False
        """Whether what is shown is the last picture of a live source that gives no new ones."""
        self._source, self._studio = source, studio
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="videobrush-camera", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and close the source; works twice."""
        self._ending.set()
        self._source.close()
        self._thread.join()

    def _run(self) -> None:
        pace = Pace(late_s=float("inf"))  # the times of a recording may begin anywhere
        fault = "the source has ended"
        try:
            for frame in self._source:
                if not self._source.live and self._ending.wait(pace.wait_s(frame.time_s)):
                    break
                self._say_whether_stale(frame)
                self._studio.show(frame)
                if self._ending.is_set():
                    break
        except SourceError as error:
            fault = str(error)
        if not self._ending.is_set():
            LOG.warning("%s: %s", self._source.info.name, fault)
            self.fault = fault
            self._tell(f"no more pictures: {fault}")

    def _say_whether_stale(self, frame: Frame) -> None:
        """Tell the visitors, once, that a live source gives no new pictures, and that it does again."""
        if frame.stale != self.stale:
            self.stale = frame.stale
            self._tell(
                "no new picture comes: this is the last one" if self.stale else "new pictures come again"
            )

    def _tell(self, text: str) -> None:
        message: dict[str, Any] = {"type": "error", "message": text}
        self._studio.tell(message)
