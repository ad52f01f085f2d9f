"""Free ports for the servers of tests and benches."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from deploy.local.ports import is_free

#: Below the ports that systems give to outgoing connections, one of which could otherwise have the port before its server starts;
#: above those that servers have by default.
_FIRST, _END = 20_100, 32_700
_BLOCK = 100
_random = random.SystemRandom()


def _lock(number: int) -> int | None:
    """The open file of the block's lock, None while another process has it. Held until this process ends, however it ends."""
    folder = Path(tempfile.gettempdir()) / f"signalbox-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    file = os.open(folder / f"{_FIRST + number * _BLOCK}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _own_ports() -> Iterator[int]:
    """Free ports out of blocks that belong to this process: nobody else's test takes one between its choice and its server's start."""
    numbers = range((_END - _FIRST) // _BLOCK)
    for number in _random.sample(numbers, len(numbers)):
        if _lock(number) is not None:
            first = _FIRST + number * _BLOCK
            yield from (port for port in range(first, first + _BLOCK) if is_free(port))


_ports = _own_ports()


def free_ports(count: int) -> list[int]:
    """`count` different ports that are free now and were not given before. Raises RuntimeError when there are no more."""
    ports = list(islice(_ports, count))
    if len(ports) < count:
        raise RuntimeError(f"all ports from {_FIRST} to {_END} are given or taken")
    return ports
