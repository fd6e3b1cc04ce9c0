"""Switching styles: the next is loaded while one runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator

from rt.backends import Backend
from rt.controls import Controls
from rt.errors import VideobrushError
from rt.frame import Frame
from rt.translator import Translator

_log = logging.getLogger(__name__)


class Switcher:
    """Keeps a translator at the style that the controls ask for; owns the translator.

    A style that cannot be loaded is said, in the log and to the viewer, and the one that runs goes on.
    """

    def __init__(
        self,
        first: Backend,
        controls: Controls,
        load: Callable[[str], Backend],
        make_translator: Callable[[Backend], Translator],
    ) -> None:
        """Begin with `first`, the style `controls.style`; `load` opens another one by name.

        `load` is called in a thread of its own, and raises VideobrushError where a style cannot be opened.
        """
        self.style = controls.style
        """The style of the latest frame."""
        self.backend = first
        """The backend of the latest frame."""
        self._controls = controls
        self._load = load
        self._translator = make_translator(first)
        self._loading: _Loading | None = None

    def translate_all(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield every frame translated, in order; see `Translator.translate_all`."""
        return self._translator.translate_all(self._watched(frames))

    @property
    def kept_share(self) -> float | None:
        """See `Translator.kept_share`."""
        return self._translator.kept_share

    def close(self) -> None:
        """Close the translator, and what is being loaded as soon as it is; works twice."""
        loading, self._loading = self._loading, None
        try:
            if loading is not None:
                loaded = loading.wait()
                if isinstance(loaded, VideobrushError):
                    _log.warning("style not loaded: %s", loaded)
                else:
                    loaded.close()
        finally:
            self._translator.close()

    def _watched(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self._look()
            yield frame

    def _look(self) -> None:
        """Begin to load the style asked for, or take it where it is loaded."""
        loading = self._loading
        if loading is None:
            if self._controls.style != self.style:
                self._controls.note(f"loading {self._controls.style}")
                self._loading = _Loading(self._controls.style, self._load)
        elif loading.ready:
            self._loading = None
            self._take(loading.style, loading.wait())

    def _take(self, style: str, loaded: Backend | VideobrushError) -> None:
        if isinstance(loaded, VideobrushError):
            _log.warning("style %s cannot be loaded, %s goes on: %s", style, self.style, loaded)
            self._controls.note(f"{style} cannot be loaded")
            if self._controls.style == style:  # unless the viewer has chosen yet another one
                self._controls.style = self.style
            return
        self._translator.switch(loaded)
        self.style, self.backend = style, loaded
        self._controls.note(style)


class _Loading:
    """A style being opened in a thread of its own."""

    def __init__(self, style: str, load: Callable[[str], Backend]) -> None:
        self.style = style
        self._load = load
        self._found: Backend | VideobrushError | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="videobrush-load", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """True once `wait` returns at once."""
        return not self._thread.is_alive()

    def wait(self) -> Backend | VideobrushError:
        """Return the backend, or why there is none; a fault of ours is raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        assert self._found is not None
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._load(self.style)
        except VideobrushError as error:
            self._found = error
        except BaseException as error:
            self._failure = error
