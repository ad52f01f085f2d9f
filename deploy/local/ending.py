"""How the end of a run is asked for, from its first second to its last."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """Somebody asked for the end while something was still being prepared or started."""


class Ending:
    """Set once by a signal or by code; waits that may take long look at it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        #: Asked for twice: wait for nobody.
        self.hurry = False

    def request(self) -> None:
        """Ask for the end; a second time: do not wait for anybody."""
        self.hurry = self._event.is_set()
        self._event.set()

    @property
    def requested(self) -> bool:
        """The end was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Let `seconds` go by, or less when the end is asked for."""
        self._event.wait(seconds)

    def raise_if_requested(self) -> None:
        """Raises Stopped."""
        if self.requested:
            raise Stopped

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP (a closed terminal) ask for the end."""
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {each: signal.signal(each, self._on_signal) for each in wanted}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()
