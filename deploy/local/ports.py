"""Which ports of this machine are free, and who has the others."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from deploy.local.errors import PortInUse

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PortUse:
    """A port the stack wants. setting: the environment variable that moves it."""

    port: int
    what: str
    setting: str
    host: str = LOOPBACK
    """IPv4 address that it is listened on at."""


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """True when a server could listen on the port of that address now; a connection in TIME_WAIT does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def owner_of(port: int) -> str | None:
    """`name (pid 123)` of the process that listens on the port; None when this user may not know."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
            try:
                return f"{psutil.Process(each.pid).name()} (pid {each.pid})"
            except psutil.NoSuchProcess:
                return None
    return None


def check_free(use: PortUse) -> None:
    """Raise PortInUse when the port is taken, with who has it and which setting moves it."""
    if not is_free(use.port, use.host):
        owner = owner_of(use.port)
        by = f" by {owner}" if owner else ""
        raise PortInUse(
            use.port,
            f"port {use.port} ({use.what}) is already in use{by}",
            f"stop that process, or choose another port with {use.setting}=<port>",
        )
