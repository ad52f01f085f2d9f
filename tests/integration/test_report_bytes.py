"""A report's files are a function of its input: the same bytes from two processes with other hash seeds and time zones."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from services.reports.daily.files import FILES
from services.reports.daily.recorded import write_input
from tests.report_samples import small_input
from tests.servers import REPOSITORY

_MAKE = """
import hashlib, sys
from services.reports.daily.compute import compute
from services.reports.daily.files import write_file
from services.reports.daily.recorded import input_sha256, read_input, write_input
data = sys.stdin.buffer.read()
record = read_input(data)
assert write_input(record) == data
model = compute(record, input_sha256(data))
print(hashlib.sha256(write_file(int(sys.argv[1]), model)).hexdigest())
"""


def made(data: bytes, format_: int, seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen'}", "TZ": "Asia/Tokyo" if seed == "1" else "UTC"}
    done = subprocess.run([sys.executable, "-c", _MAKE, str(format_)], input=data, env=environment, cwd="/", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode().strip()


@pytest.mark.parametrize("format_", list(FILES))
def test_the_same_input_gives_the_same_bytes_in_every_process(format_: int) -> None:
    data = write_input(small_input())
    assert made(data, format_, "1") == made(data, format_, "2")
