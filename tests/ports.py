"""Free ports for the servers of tests and benches."""

from __future__ import annotations

import random
from itertools import islice

from deploy.local.ports import is_free

#: Below the ports that systems give to outgoing connections, one of which could otherwise have the port before its server starts;
#: above those that servers have by default.
_FIRST, _END = 20_100, 32_700
#: What this process has given away; each other process begins somewhere else.
_given: set[int] = set()
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """`count` different ports that are free now and were not given before. Another process may still take one before it is used."""
    start = _random.randrange(_FIRST, _END)
    around = (*range(start, _END), *range(_FIRST, start))
    ports = list(islice((port for port in around if port not in _given and is_free(port)), count))
    _given.update(ports)
    return ports
