"""What the person at the terminal sees while something takes its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

#: Quicker than this and nothing is shown: a line that flashes by tells nobody anything.
PATIENCE_SECONDS = 2.0


class Progress:
    """Shows what is going on once it has taken longer than two seconds; one step at a time."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._text = ""
        self._status: Status | None = None
        self._lock = threading.Lock()

    @contextmanager
    def step(self, text: str, done: str = "") -> Iterator[None]:
        """A step of the work: a spinner after two seconds, and a line with its time when it took that long.

        done: what that line says, `text` when empty.
        """
        self._text = text
        timer = threading.Timer(PATIENCE_SECONDS, self._show)
        timer.daemon = True
        began = time.monotonic()
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._hide()
        took = time.monotonic() - began
        if took > PATIENCE_SECONDS:
            self.say(f"[green]✓[/] {done or text} [dim]({took:.0f} s)[/]")

    def update(self, text: str) -> None:
        """Another word about the step that is under way."""
        with self._lock:
            changed, self._text = text != self._text, text
            if self._status is not None and changed:
                self._status.update(text)

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def _show(self) -> None:
        with self._lock:
            if not self.console.is_terminal:
                self.say(f"  {self._text} ...")
                return
            self._status = self.console.status(self._text)
            self._status.start()

    def _hide(self) -> None:
        with self._lock:
            if self._status is not None:
                self._status.stop()
                self._status = None
