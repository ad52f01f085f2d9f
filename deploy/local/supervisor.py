"""Starts the processes of the stack in order, watches them, and stops them in the reverse order."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.local import logs
from deploy.local.child import STOP_SECONDS, Child, describe_exit
from deploy.local.ending import Ending
from deploy.local.errors import StackError
from deploy.local.processes import Phase, Process
from deploy.local.progress import Progress

#: How often the processes are looked at; a death is noticed within this.
WATCH_SECONDS = 0.25

#: A crashed process is started again after this long, doubled each time up to the cap, so that
#: one that cannot live does not eat the machine.
FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0

#: After running this long a process counts as healthy and its backoff begins anew.
HEALTHY_AFTER_SECONDS = 60.0

Condition = Literal["starting", "ready", "crashed", "stopped"]


@dataclass(slots=True)
class Slot:
    """A process and what has become of it."""

    process: Process
    child: Child | None = None
    condition: Condition = "stopped"
    restarts: int = 0
    crashes_in_a_row: int = 0
    why: str = ""
    """How it ended last and what happens next; empty once it is ready."""
    started_at: float = 0.0
    restart_at: float = 0.0


class Supervisor:
    """Owns the processes of one stack. Use it from the main thread only.

    ending: looked at in every wait.
    state_path: a JSON file that says at any time which processes there are, for `status`.
    stop_seconds: how long each process may take to end after SIGTERM before it is killed.
    """

    def __init__(self, phases: Sequence[Phase], progress: Progress, state_path: Path, ending: Ending, *, stop_seconds: float = STOP_SECONDS) -> None:
        self._stop_seconds = stop_seconds
        self._phases = phases
        self._progress = progress
        self._state_path = state_path
        self._slots = {process.name: Slot(process) for phase in phases for process in phase.processes}
        self._ending = ending

    # -- start -------------------------------------------------------------------------

    def start(self) -> None:
        """Start all phases. On any failure everything that was started is stopped before the error goes on.

        Raises ProcessDied, NotReady or another StackError; Stopped when the end was asked for.
        """
        try:
            for phase in self._phases:
                self._start_phase(phase)
        except BaseException:
            self.stop()
            raise

    def _start_phase(self, phase: Phase) -> None:
        slots = [self._slots[process.name] for process in phase.processes]
        names = ", ".join(slot.process.name for slot in slots)
        with self._progress.step(f"Starting {names}", done=f"{names} ready"):
            phase.before()
            for slot in slots:
                self._ending.raise_if_requested()
                logs.turn_over(slot.process.log_path)
                self._launch(slot)
            self._wait_ready(slots)

    def _launch(self, slot: Slot) -> None:
        process = slot.process
        slot.child = Child.start(process.name, process.prepare(), log_path=process.log_path, env=process.env, cwd=process.cwd)
        slot.started_at = time.monotonic()
        slot.condition = "starting"
        self._publish()

    def _wait_ready(self, slots: list[Slot]) -> None:
        waiting = list(slots)
        while waiting:
            self._raise_if_any_died()
            reasons = {slot.process.name: self._look(slot) for slot in waiting}
            waiting = [slot for slot in waiting if reasons[slot.process.name] is not None]
            self._progress.update(f"Waiting for {', '.join(slot.process.name for slot in waiting)}")
            self._ending.raise_if_requested()
            if waiting:
                self._ending.wait(0.1)

    def _look(self, slot: Slot) -> str | None:
        """None when the process has become ready. Raises NotReady when it took too long."""
        child, process = _child_of(slot), slot.process
        reason = process.why_not_ready()
        if reason is None:
            self._note_ready(slot)
        elif time.monotonic() - slot.started_at > process.ready_seconds:
            raise child.not_ready(reason, process.ready_seconds)
        return reason

    def _raise_if_any_died(self) -> None:
        """Of all phases: the log may die while the services wait for it."""
        for slot in self._slots.values():
            if slot.child is not None and slot.child.exit_code() is not None:
                raise slot.child.died()

    # -- watch -------------------------------------------------------------------------

    def watch(self, done: Callable[[], bool] = lambda: False) -> None:
        """Keep the processes alive until the end is asked for or `done` says so."""
        while not self._ending.requested and not done():
            for slot in self._slots.values():
                self._tend(slot)
            self._ending.wait(WATCH_SECONDS)

    def _tend(self, slot: Slot) -> None:
        logs.cap(slot.process.log_path)
        if slot.condition == "crashed":
            if time.monotonic() >= slot.restart_at:
                self._restart(slot)
        elif _child_of(slot).exit_code() is not None:
            self._note_crash(slot)
        elif slot.condition == "starting" and slot.process.why_not_ready() is None:
            self._progress.say(f"[green]{slot.process.name} is ready again[/]")
            self._note_ready(slot)

    def _note_ready(self, slot: Slot) -> None:
        slot.condition, slot.why = "ready", ""
        self._publish()

    def _note_crash(self, slot: Slot) -> None:
        child = _child_of(slot)
        if time.monotonic() - slot.started_at > HEALTHY_AFTER_SECONDS:
            slot.crashes_in_a_row = 0
        backoff = min(FIRST_BACKOFF_SECONDS * 2**slot.crashes_in_a_row, MAX_BACKOFF_SECONDS)
        slot.crashes_in_a_row += 1
        slot.restart_at = time.monotonic() + backoff
        slot.condition = "crashed"
        child.kill()  # what it may have left in its process group
        times = f", {slot.crashes_in_a_row} times in a row" if slot.crashes_in_a_row > 1 else ""
        slot.why = f"it ended with {describe_exit(child.exit_code())}{times}, the next start {backoff:g} s later; its log ends: {_in_one_line(child)}"
        self._progress.console.print(
            f"{child.name} ended with {describe_exit(child.exit_code())}; it is started again in {backoff:g} s. "
            f"Its last lines of log ({child.log_path}):\n{child.last_lines()}",
            style="yellow",
            highlight=False,
            markup=False,
        )
        self._publish()

    def _restart(self, slot: Slot) -> None:
        slot.restarts += 1
        try:
            self._launch(slot)
        except StackError as error:
            # Not the end of the stack: the others still serve, and the next try may succeed.
            self._progress.console.print(f"{slot.process.name}: {error.message}", style="red", markup=False)
            slot.restart_at, slot.why = time.monotonic() + MAX_BACKOFF_SECONDS, error.message
            self._publish()

    # -- stop --------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop everything in reverse order: SIGTERM, SIGKILL after twelve seconds. Leaves no process."""
        running = [slot for slot in reversed(self._slots.values()) if slot.child is not None]
        if running:
            with self._progress.step("Stopping", done="All stopped"):
                for slot in running:
                    self._stop_one(slot)
        self._state_path.unlink(missing_ok=True)

    def _stop_one(self, slot: Slot) -> None:
        child = _child_of(slot)
        self._progress.update(f"Stopping {child.name}")
        child.terminate()
        deadline = time.monotonic() + self._stop_seconds
        while not child.wait(0.1):
            if self._ending.hurry or time.monotonic() > deadline:
                if not self._ending.hurry:
                    self._progress.say(f"[yellow]{child.name} did not end within {self._stop_seconds:g} s and was killed[/]")
                break
        child.kill()
        slot.child, slot.condition = None, "stopped"

    # -- what others may know ----------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Process id by name, of those that run."""
        return {name: slot.child.pid for name, slot in self._slots.items() if slot.child is not None}

    def _publish(self) -> None:
        processes = [
            {
                "name": name,
                "pid": slot.child.pid if slot.child is not None else None,
                "condition": slot.condition,
                "restarts": slot.restarts,
                "why": slot.why,
                "log": str(slot.process.log_path),
            }
            for name, slot in self._slots.items()
        ]
        ready = all(slot.condition == "ready" for slot in self._slots.values())
        self._state_path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._state_path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"pid": os.getpid(), "ready": ready, "processes": processes}, indent=2))
        temporary.replace(self._state_path)


def _in_one_line(child: Child) -> str:
    """The end of its log: a message of a few lines, or the error of a traceback."""
    return " | ".join(line.strip() for line in child.last_lines(3).splitlines())


def _child_of(slot: Slot) -> Child:
    if slot.child is None:
        raise RuntimeError(f"{slot.process.name} was not started")
    return slot.child
