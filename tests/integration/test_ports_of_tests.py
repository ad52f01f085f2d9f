"""Ports that tests are given: tests of several processes run beside each other."""

from __future__ import annotations

import subprocess
import sys

from tests.ports import free_ports
from tests.servers import REPOSITORY

_TAKE = "import sys; from tests.ports import free_ports; print(*free_ports(150), flush=True); sys.stdin.read()"


def test_no_two_processes_are_given_the_same_port() -> None:
    command = [sys.executable, "-c", _TAKE]
    processes = [subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    given = [set(free_ports(150))]
    try:
        for process in processes:
            assert process.stdout is not None
            given.append({int(port) for port in process.stdout.readline().split()})
    finally:
        for process in processes:
            process.communicate()
    assert [len(ports) for ports in given] == [150] * 5
    assert len(set().union(*given)) == 5 * 150
