"""What every candidate's job does: says in a file that it begins and ends, and waits in between. Standard library only."""

from __future__ import annotations

import os
import time


def note(path: str, name: str, what: str, attempt: int) -> None:
    """One line, written at once."""
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, f"{time.time():.6f} {name} {what} {attempt}\n".encode())
    os.close(descriptor)
