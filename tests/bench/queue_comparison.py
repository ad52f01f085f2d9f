"""Measures job libraries on what decides between them: `python -m tests.bench.queue_comparison [streaq dramatiq celery]`.

Each library lies in an environment of its own, made by `uv run --with`; the store is a real one, with its append-only file on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from deploy.local.valkey import EmbeddedValkey
from tests.ports import free_ports
from tests.servers import REPOSITORY

LIBRARIES = {"streaq": "streaq==7.2.0", "dramatiq": "dramatiq[redis]==2.2.1", "celery": "celery[redis]==5.7.0"}
#: Seconds without a sign of life after which a worker counts as lost, the same for all.
LOST_S = 5.0
_FOLDER = Path(__file__).parent / "queue_candidates"
_PATIENCE_S = 60.0


@dataclass
class Bench:
    """One library, a store of its own, and the log of its jobs."""

    library: str
    server: EmbeddedValkey
    log: Path
    concurrency: int = 8

    def _command(self, *arguments: str) -> list[str]:
        with_library = ["--no-project", "--quiet", "--python", sys.executable, "--with", LIBRARIES[self.library]]
        return [str(_uv()), "run", *with_library, "python", str(_FOLDER / f"{self.library}_app.py"), *arguments]

    def _environment(self) -> dict[str, str]:
        ours = {"REDIS_URL": self.server.url, "LOG": str(self.log), "CONCURRENCY": str(self.concurrency), "LOST_S": str(LOST_S)}
        return {**os.environ, **ours, "PYTHONPATH": str(_FOLDER), "dramatiq_queue_prefetch": "1"}

    def put(self, prefix: str, count: int, priority: str = "low", seconds: float = 0.0) -> None:
        """Creates jobs, and returns when the library says that they are created."""
        subprocess.run(self._command("put", prefix, str(count), priority, str(seconds)), env=self._environment(), check=True, cwd=_FOLDER)

    def cancel(self, name: str) -> None:
        """Asks for a job's end."""
        subprocess.run(self._command("cancel", name), env=self._environment(), check=True, cwd=_FOLDER, stdout=subprocess.DEVNULL)

    def start(self) -> subprocess.Popen[bytes]:
        """Starts a worker, in a process group of its own."""
        sink = self.log.with_suffix(".err").open("ab")
        return subprocess.Popen(self._command("worker"), env=self._environment(), cwd=_FOLDER, start_new_session=True, stdout=sink, stderr=sink)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker for the length of the block."""
        process = self.start()
        try:
            yield process
        finally:
            kill(process)

    def lines(self) -> list[tuple[float, str, str, int]]:
        """What the jobs have said: time, name, start or end, attempt."""
        if not self.log.exists():
            return []
        parts = (line.split() for line in self.log.read_text().splitlines())
        return [(float(at), name, what, int(attempt)) for at, name, what, attempt in parts]

    def times(self, what: str, prefix: str) -> list[float]:
        """When jobs with that prefix have begun or ended."""
        return [at for at, name, said, _ in self.lines() if said == what and name.startswith(prefix)]

    def names(self, what: str) -> list[str]:
        """Which jobs have begun or ended, once for each time."""
        return [name for _, name, said, _ in self.lines() if said == what]

    def wait(self, what: str, prefix: str, count: int, patience_s: float = _PATIENCE_S) -> bool:
        """Whether that many have come in time."""
        end = time.monotonic() + patience_s
        while len(self.times(what, prefix)) < count:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


def _uv() -> Path:
    return REPOSITORY / ".tools" / "bin" / "uv"


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the worker and all its processes at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def jobs_per_second(bench: Bench) -> str:
    """3,000 trivial jobs that wait when the worker starts, eight at a time."""
    bench.put("t", 3_000)
    with bench.worker():
        bench.wait("end", "t", 3_000)
    starts, ends = bench.times("start", "t"), bench.times("end", "t")
    return f"{len(ends) / (ends[-1] - starts[0]):,.0f}"


def high_behind_low(bench: Bench) -> str:
    """One at a time: how many of 1,000 low jobs begin between a high job's creation and its start."""
    bench.concurrency = 1
    bench.put("l", 1_000, "low", 0.01)
    with bench.worker():
        bench.wait("end", "l", 20)
        bench.put("h", 1, "high")
        asked = time.time()
        if not bench.wait("start", "h", 1, 40.0):
            return f"after {len(bench.times('start', 'l'))} low"
    begun = bench.times("start", "h")[0]
    return f"after {sum(asked < at < begun for at in bench.times('start', 'l'))} low"


def killed_worker(bench: Bench) -> str:
    """Seconds from SIGKILL to the job's next start on another worker, and the attempt that the library says it is."""
    bench.put("k", 1, "low", 30.0)
    with bench.worker() as first:
        bench.wait("start", "k", 1)
        with bench.worker():
            time.sleep(3.0)
            kill(first)
            killed = time.time()
            if not bench.wait("start", "k", 2):
                return f"not within {_PATIENCE_S:g} s"
    _, _, _, attempt = [line for line in bench.lines() if line[1] == "k0" and line[2] == "start"][1]
    return f"{bench.times('start', 'k')[1] - killed:.1f} s, attempt {attempt}"


def long_job(bench: Bench) -> str:
    """How often a job of three times the lost time is started while its worker lives."""
    bench.put("g", 1, "low", 3 * LOST_S)
    with bench.worker(), bench.worker():
        bench.wait("end", "g", 1)
        time.sleep(1.0)
    return f"{len(bench.times('start', 'g'))} start(s)"


def cancelled(bench: Bench) -> str:
    """Whether a running job of 20 s ends when asked to."""
    bench.put("c", 1, "low", 20.0)
    with bench.worker():
        bench.wait("start", "c", 1)
        bench.cancel("c0")
        ended = bench.wait("end", "c", 1, 22.0)
        again = len(bench.times("start", "c")) > 1
    return "no" if ended else "ended, then run again" if again else "yes"


def store_killed(bench: Bench) -> str:
    """400 jobs; the store is killed with -9 in the middle and started again after a second: jobs not run within 40 s of its return, jobs run twice."""
    bench.put("s", 400, "low", 0.1)
    worker, worker_ended = bench.start(), False
    bench.wait("end", "s", 100)
    _kill_store(bench.server)
    time.sleep(1.0)
    bench.server.start()
    end = time.monotonic() + 40.0
    while len(set(bench.names("end"))) < 400 and time.monotonic() < end:
        if worker.poll() is not None:
            # As whoever watches over processes would.
            worker, worker_ended = bench.start(), True
        time.sleep(0.2)
    kill(worker)
    twice = sum(number > 1 for number in Counter(bench.names("start")).values())
    return f"{400 - len(set(bench.names('end')))} not run, {twice} twice{', worker ended' if worker_ended else ''}"


def _kill_store(server: EmbeddedValkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    server.stop()


MEASURES: dict[str, Callable[[Bench], str]] = {
    "jobs a second, 8 at once": jobs_per_second,
    "a high job behind 1,000 low starts": high_behind_low,
    "worker killed: run again after": killed_worker,
    "job of 15 s, lost after 5 s": long_job,
    "running job can be cancelled": cancelled,
    "store killed in the middle": store_killed,
}


def measure(library: str, run: Callable[[Bench], str]) -> str:
    """One measure of one library, on an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedValkey(Path(folder), free_ports(1)[0])
        with server:
            return run(Bench(library, server, Path(folder) / "jobs.log"))


def main(names: list[str]) -> None:
    """Measures and prints the table."""
    libraries = names or list(LIBRARIES)
    table = Table("", *libraries)
    for title, run in MEASURES.items():
        row = [measure(library, run) for library in libraries]
        print(title, *row, sep=" | ", file=sys.stderr, flush=True)
        table.add_row(title, *row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
