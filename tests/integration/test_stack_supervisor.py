"""The supervisor with small real processes: order, deaths, restarts, and that nothing is left behind."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from deploy.local import supervisor as supervising
from deploy.local.ending import Ending, Stopped
from deploy.local.errors import NotReady, ProcessDied
from deploy.local.processes import Phase, Process
from deploy.local.progress import Progress
from deploy.local.supervisor import Supervisor
from tests.servers import REPOSITORY, processes_of, stack_environment

#: Says in a shared journal when it is up and when it ends; ready once its file is there.
WORKER = """
import pathlib, signal, sys
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def note(word):
    with (folder / "journal").open("a") as file:
        file.write(f"{word} {name}\\n")
def end(*_):
    note("end")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("up")
(folder / name).touch()
while True:
    signal.pause()
"""

STUBBORN = "import pathlib, signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path(sys.argv[1], sys.argv[2]).touch(); signal.pause()"
FAILING = "import sys; print('cannot go on: no cheese'); sys.exit(3)"


def process(folder: Path, name: str, code: str = WORKER, *, ready_seconds: float = 20) -> Process:
    return Process(
        name,
        prepare=lambda: [sys.executable, "-c", code, str(folder), name],
        why_not_ready=lambda: None if (folder / name).exists() else "its file is missing",
        env=dict(os.environ),
        log_path=folder / "logs" / f"{name}.log",
        ready_seconds=ready_seconds,
    )


def supervisor(folder: Path, *phases: list[Process], out: io.StringIO | None = None, stop_seconds: float = 10, ending: Ending | None = None) -> Supervisor:
    progress = Progress(Console(file=out or io.StringIO(), width=200))
    return Supervisor([Phase(list(each)) for each in phases], progress, folder / "state.json", ending or Ending(), stop_seconds=stop_seconds)


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def in_background(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail(f"did not happen within {seconds} s")


def test_starts_phase_by_phase_and_stops_in_reverse(tmp_path: Path) -> None:
    stack = supervisor(tmp_path, [process(tmp_path, "log")], [process(tmp_path, "worker")], [process(tmp_path, "feed")])
    stack.start()
    assert set(stack.pids()) == {"log", "worker", "feed"}
    stack.stop()
    assert (tmp_path / "journal").read_text().split("\n")[:-1] == ["up log", "up worker", "up feed", "end feed", "end worker", "end log"]
    assert stack.pids() == {}
    assert not (tmp_path / "state.json").exists()


def test_a_process_that_dies_at_start_takes_the_stack_down_with_its_last_words(tmp_path: Path) -> None:
    before = len(children())
    stack = supervisor(tmp_path, [process(tmp_path, "log")], [process(tmp_path, "bad", FAILING)])
    with pytest.raises(ProcessDied, match=r"(?s)bad ended with exit code 3.*no cheese"):
        stack.start()
    assert len(children()) == before
    assert "end log" in (tmp_path / "journal").read_text()


def test_a_process_that_never_becomes_ready_says_why(tmp_path: Path) -> None:
    idle = process(tmp_path, "idle", "import signal; signal.pause()", ready_seconds=0.5)
    with pytest.raises(NotReady, match="idle was not ready after 0 s: its file is missing"):
        supervisor(tmp_path, [idle]).start()
    assert not [each for each in children() if "signal.pause" in " ".join(each.cmdline())]


def test_a_crashed_process_is_started_again_and_it_is_said(tmp_path: Path) -> None:
    out = io.StringIO()
    stack = supervisor(tmp_path, [process(tmp_path, "phoenix")], out=out)
    stack.start()
    first = stack.pids()["phoenix"]
    try:
        os.kill(first, signal.SIGKILL)
        stack.watch(done=lambda: (tmp_path / "journal").read_text().count("up phoenix") == 2)
        assert stack.pids()["phoenix"] != first
    finally:
        stack.stop()
    assert "phoenix ended with signal SIGKILL; it is started again in 0.5 s" in out.getvalue()


#: Lives once; then it says why not.
ONCE = """
import pathlib, signal, sys
mark = pathlib.Path(sys.argv[1], sys.argv[2])
if mark.exists():
    sys.exit("the file is wrong: no cheese")
mark.touch()
signal.pause()
"""


def test_a_crash_loop_of_one_takes_no_other_down_and_its_pauses_are_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(supervising, "MAX_BACKOFF_SECONDS", 0.2)
    out = io.StringIO()
    stack = supervisor(tmp_path, [*(process(tmp_path, f"other{number}") for number in range(3)), process(tmp_path, "loop", ONCE)], out=out)
    stack.start()
    others = {name: pid for name, pid in stack.pids().items() if name != "loop"}
    try:
        os.kill(stack.pids()["loop"], signal.SIGKILL)
        stack.watch(done=lambda: out.getvalue().count("loop ended with exit code 1") >= 6)
        published = {each["name"]: each for each in json.loads((tmp_path / "state.json").read_text())["processes"]}
        assert {name: pid for name, pid in stack.pids().items() if name != "loop"} == others
    finally:
        stack.stop()
    pauses = re.findall(r"loop ended with .*; it is started again in ([\d.]+) s", out.getvalue())
    assert pauses[:6] == ["0.05", "0.1", "0.2", "0.2", "0.2", "0.2"]
    assert re.search(r"exit code 1, \d times in a row, the next start 0.2 s later; its log ends: .*the file is wrong: no cheese", published["loop"]["why"])
    assert {each["why"] for name, each in published.items() if name != "loop"} == {""}


def test_a_death_in_an_earlier_phase_is_noticed_while_a_later_one_starts(tmp_path: Path) -> None:
    short_lived = "import pathlib, signal, sys, time; pathlib.Path(sys.argv[1], sys.argv[2]).touch(); time.sleep(0.5); sys.exit(4)"
    idle = process(tmp_path, "idle", "import signal; signal.pause()")
    with pytest.raises(ProcessDied, match="log ended with exit code 4"):
        supervisor(tmp_path, [process(tmp_path, "log", short_lived)], [idle]).start()


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    out = io.StringIO()
    stack = supervisor(tmp_path, [process(tmp_path, "mule", STUBBORN)], out=out, stop_seconds=0.3)
    stack.start()
    pid = stack.pids()["mule"]
    stack.stop()
    assert not psutil.pid_exists(pid)
    assert "mule did not end within 0.3 s and was killed" in out.getvalue()


def test_asking_for_the_end_while_starting_leaves_nothing(tmp_path: Path) -> None:
    idle = process(tmp_path, "idle", "import signal; signal.pause()")
    ending = Ending()
    stack = supervisor(tmp_path, [process(tmp_path, "log")], [idle], ending=ending)

    def stop_soon() -> None:
        until(lambda: "idle" in stack.pids())
        ending.request()

    in_background(stop_soon)
    with pytest.raises(Stopped):
        stack.start()
    assert stack.pids() == {}


SUPERVISED = """
import pathlib, sys
from tests.integration.test_stack_supervisor import process, supervisor, WORKER
folder = pathlib.Path(sys.argv[1])
stack = supervisor(folder, [process(folder, "log")], [process(folder, "worker")])
stack.start()
print(*stack.pids().values(), flush=True)
stack.watch()
"""


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", SUPERVISED, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not any(_alive(pid) for pid in pids))


EMBEDDED = """
import io
import pathlib, sys
from rich.console import Console
from deploy.local.ending import Ending
from deploy.local.processes import Phase, embedded_servers
from deploy.local.progress import Progress
from deploy.local.settings import StackSettings
from deploy.local.supervisor import Supervisor
settings = StackSettings.from_environment()
stack = Supervisor([Phase(embedded_servers(settings))], Progress(Console(file=io.StringIO())), settings.run / "state.json", Ending())
stack.start()
print(*stack.pids(), flush=True)
stack.watch()
"""


def test_kill_9_leaves_neither_java_nor_valkey_and_the_next_start_works(tmp_path: Path) -> None:
    env = stack_environment(tmp_path)
    for _ in range(2):
        parent = subprocess.Popen([sys.executable, "-c", EMBEDDED], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline().split() == ["kafka", "valkey"]
            assert len(processes_of(tmp_path)) == 3
        finally:
            parent.kill()
            parent.wait()
        until(lambda: processes_of(tmp_path) == [])


def _alive(pid: int) -> bool:
    """Not counting a zombie that init has not collected yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
