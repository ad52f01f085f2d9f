"""The log files of the stack: capped, and kept for one run back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: Bytes of one log before it is turned over; with the one kept copy, at most twice this per process.
MAX_LOG_BYTES = 20 * 1024 * 1024


def turn_over(log: Path) -> None:
    """At the start of a stack: keep the last run's log as `<name>.log.1`, so that each run has its own."""
    if log.exists() and log.stat().st_size > 0:
        log.replace(_kept(log))


def cap(log: Path, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """While its process writes: copy and cut the log when it is too long. True when it was cut.

    The writer has the file open for appending, so it goes on at the new end. Lines written
    between the copy and the cut are lost: a log may lose a line, a disk must not fill up.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    shutil.copyfile(log, _kept(log))
    os.truncate(log, 0)
    return True


def _kept(log: Path) -> Path:
    return log.with_name(log.name + ".1")
