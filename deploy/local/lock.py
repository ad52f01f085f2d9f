"""One stack per data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.errors import AlreadyRunning


class StackLock:
    """An advisory lock on `run/lock`; the kernel lets go of it when its holder dies, however it dies."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "lock"
        self._fd: int | None = None

    def __enter__(self) -> Self:
        """Take the lock. Raises AlreadyRunning with the pid of the one who has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _read_pid(fd)
            os.close(fd)
            raise AlreadyRunning(
                pid,
                f"another Signalbox (pid {pid}) runs on {self._path.parent.parent}",
                "use it, stop it with `make down` or its Ctrl-C, or choose another folder with SIGNALBOX_HOME",
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def holder(run_dir: Path) -> int | None:
    """Pid of the stack that runs on this folder, None when none does."""
    try:
        fd = os.open(run_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(fd)
    else:
        return None
    finally:
        os.close(fd)


def _read_pid(fd: int) -> int:
    text = os.pread(fd, 32, 0).decode().strip()
    return int(text) if text.isdecimal() else 0
