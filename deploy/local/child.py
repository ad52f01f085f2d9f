"""One child process: its own process group, its log file, and an end that is tied to ours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.errors import NotReady, ProcessDied

#: From linux/prctl.h; Python has no name for it.
PR_SET_PDEATHSIG = 1

#: Says why a process is not ready, None when it is.
ReadyCheck = Callable[[], str | None]

#: How often a starting process is asked whether it is ready. Short, because the start of the
#: whole stack is a chain of such waits.
READY_POLL_SECONDS = 0.1

#: How long a process may take to end by itself after SIGTERM. Ours end within ten seconds, whatever hangs in them;
#: killed before that they could not say what it was.
STOP_SECONDS = 12.0

# Looked up here and not after the fork: loading a library between fork and exec can deadlock.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def tie_to_parent(parent_pid: int) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel kill the child when the parent dies, even by kill -9.

    The signal is sent when the *thread* that started the child ends, so children are started
    from the main thread. Elsewhere than on Linux there is no such thing and nothing is done.
    """

    def in_child() -> None:
        if _prctl is None:
            return
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # the parent died between fork and prctl
            os._exit(1)

    return in_child


class Child:
    """A process that was started here.

    name: used in messages. log_path: stdout and stderr are appended to it.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> Child:
        """Start `command` in its own session, so that a Ctrl-C at the terminal reaches only us."""
        log_path.parent.mkdir(parents=True, exist_ok=True)
        # Append mode: the log may be truncated under the writer when it is rotated.
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=tie_to_parent(os.getpid()),  # noqa: PLW1509 - two system calls, nothing is allocated
            )
        return cls(name, process, log_path)

    @property
    def pid(self) -> int:
        """Process id; also the id of its process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs, otherwise its exit code (negative: killed by that signal)."""
        return self._process.poll()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most `seconds`. True when it has ended."""
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait_ready(self, why_not: ReadyCheck, seconds: float) -> None:
        """Poll `why_not` until it has nothing to say against being ready.

        Raises ProcessDied when the process ends first, NotReady after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while (reason := why_not()) is not None:
            if self.wait(READY_POLL_SECONDS):
                raise self.died()
            if time.monotonic() > deadline:
                raise self.not_ready(reason, seconds)

    def not_ready(self, reason: str, seconds: float) -> NotReady:
        """The error that says why this process, though alive, is of no use yet."""
        return NotReady(
            f"{self.name} was not ready after {seconds:.0f} s: {reason}; its last lines of log:\n{self.last_lines()}",
            f"the whole log is {self.log_path}",
        )

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM). Its own children are its own business."""
        if self.exit_code() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole process group at once (SIGKILL) and wait for it."""
        with contextlib.suppress(ProcessLookupError):  # the group is gone already: just what was wanted
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """SIGTERM, then SIGKILL after `seconds`. True when it ended by itself."""
        self.terminate()
        in_time = self.wait(seconds)
        self.kill()
        return in_time

    def died(self) -> ProcessDied:
        """The error that says how this process ended."""
        return ProcessDied(
            self.name,
            f"{self.name} ended with {describe_exit(self.exit_code())}; its last lines of log:\n{self.last_lines()}",
            f"the whole log is {self.log_path}",
        )

    def last_lines(self, count: int = 15) -> str:
        """The last lines of its log, indented."""
        return tail(self.log_path, count)


def describe_exit(code: int | None) -> str:
    """`exit code 3` or `signal SIGKILL`, as a person says it."""
    if code is None:
        return "no exit code"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def tail(path: Path, count: int) -> str:
    """The last `count` lines of a text file, each indented by four spaces; never reads more than 64 KiB."""
    if not path.exists():
        return "    (no log)"
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_536))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (its log is empty)"
