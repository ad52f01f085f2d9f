"""The daily report of 500 symbols of one year, as its job makes it: from the services' answers to the files in the archive, in a process of its own.

Prices and analysis run beside it as processes, on the same cores, and have not been asked for these symbols before. The whole is given beside the aim.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.bench.results import Result
from tests.report_samples import sample_input
from tests.report_stack import report_stack

SYMBOLS, SESSIONS = 500, 252
#: Seconds on two cores.
AIM_S = 30.0

#: Runs in the child: makes the report as the job does, tells its seconds, the CPU seconds of each part, and its peak resident bytes.
_CHILD = """
import asyncio, json, resource, time
began = time.perf_counter()
from signalbox.reports.v1 import reports_service_pb2 as pb
from services.reports.daily import handler
from services.reports.daily.archive import archive_in
from services.reports.daily.compute import compute
from services.reports.daily.files import INPUT, write_files
from services.reports.daily.progress import ReportProgress
from services.reports.daily.recorded import input_sha256, read_input, write_input
from services.reports.daily.settings import DailyReportSettings
from services.runtime.clock import SystemClock
from services.runtime.jobs import Job, JobState, Priority
from services.runtime.settings import load_settings
from services.runtime.testing.job_queue import MemoryContext

settings, parts = load_settings(DailyReportSettings), {"start": time.process_time()}

def timed(name, call):
    begin = time.process_time()
    found = call()
    parts[name] = time.process_time() - begin
    return found

progress = ReportProgress(MemoryContext(None, Job("a", "report.daily", JobState.RUNNING, Priority.NORMAL, b"", 1)))
collect = handler._collect(pb.CreateDailyReportRequest(), settings, SystemClock(), progress)
data = timed("collect", lambda: write_input(asyncio.run(collect)))
record = timed("read", lambda: read_input(data))
model = timed("compute", lambda: compute(record, input_sha256(data)))
files = {INPUT.name: data}
writing = write_files(model, (), lambda *_: None)
while True:
    begin = time.process_time()
    made = next(writing, None)
    if made is None:
        break
    kind, content = made
    parts[kind.name.rpartition(".")[2]] = time.process_time() - begin
    files[kind.name] = content
timed("archive", lambda: archive_in(settings.home).put(handler.summary(model), files))
whole_s = time.perf_counter() - began
usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({
    "whole_s": whole_s,
    "parts": parts,
    "cpu_s": sum(item.ru_utime + item.ru_stime for item in usage),
    # Of this program: ru_maxrss knows the bench's memory too, as it outlives exec.
    "peak_bytes": int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024,
    "sizes": {name: len(content) for name, content in files.items()},
    "arrived": model.coverage.arrived,
}))
"""


def _services_cpu_s() -> float:
    """CPU of all children, the broker included."""
    return sum(sum(process.cpu_times()[:2]) for process in psutil.Process().children(recursive=True))


def run() -> list[Result]:
    """One report. Raises AssertionError when symbols are missing in it."""
    record = sample_input(SYMBOLS, SESSIONS, troubled=False)
    with tempfile.TemporaryDirectory() as folder, report_stack(Path(folder), record.symbols) as environment:
        before_s = _services_cpu_s()
        done = subprocess.run([sys.executable, "-c", _CHILD], env={**os.environ, **environment}, capture_output=True, check=False)
        services_s = _services_cpu_s() - before_s
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-4000:])
    found = json.loads(done.stdout)
    assert found["arrived"] == SYMBOLS, f"expected {SYMBOLS} symbols, the report has {found['arrived']}"
    parts, sizes = found["parts"], found["sizes"]
    return [
        Result("report.seconds", found["whole_s"], "s", "the aim, two cores", AIM_S, higher_is_better=False),
        Result("report.cpu_seconds", found["cpu_s"], "s", higher_is_better=False),
        Result("report.services_cpu_seconds", services_s, "s", higher_is_better=False),
        Result("report.all_cpu_seconds", found["cpu_s"] + services_s, "s", "two cores, 30 s each", 2 * AIM_S, higher_is_better=False),
        Result("report.peak_mib", found["peak_bytes"] / 2**20, "MiB", "the kind's limit", 2048.0, higher_is_better=False),
        *(Result(f"report.{name}_cpu_seconds", seconds, "s", higher_is_better=False) for name, seconds in parts.items()),
        *(Result(f"report.size.{name}", size / 2**20, "MiB", higher_is_better=False) for name, size in sizes.items()),
    ]
