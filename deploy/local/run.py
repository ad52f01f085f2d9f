"""`make run`: set up what is missing, start everything, say where to look, stop cleanly.

With RUN_SECONDS=n a client measures n seconds from the first delivery, then everything stops and
the exit code says whether replayed data really flowed. Run as `python -m deploy.local.run`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local import preflight, setup
from deploy.local.child import Child
from deploy.local.configuration import checked
from deploy.local.ending import Ending, Stopped
from deploy.local.errors import FolderNotWritable, SettingError, StackError
from deploy.local.lock import StackLock
from deploy.local.processes import stack_phases
from deploy.local.progress import Progress
from deploy.local.settings import REPOSITORY, StackSettings
from deploy.local.supervisor import Supervisor

#: Where the figures of RUN_SECONDS are left for programs to read.
SUMMARY = REPOSITORY / "build" / "run-summary.json"


def main() -> int:
    """Exit code 0: stopped as asked, and with RUN_SECONDS also that every figure is above zero."""
    console = Console(stderr=False)
    try:
        return run(Progress(console))
    except Stopped:
        console.print("Stopped.")
        return 0
    except StackError as error:
        report(console, error)
        return 1


def report(console: Console, error: StackError) -> None:
    """Say what went wrong and what to do; a traceback helps nobody here."""
    console.print(f"✗ {error.message}", style="bold red", markup=False, highlight=False, soft_wrap=True)
    if error.hint:
        console.print(f"  {error.hint}", markup=False, highlight=False, soft_wrap=True)


def run(progress: Progress) -> int:
    """The whole life of one stack. Raises StackError with nothing left running; Stopped when asked to end at start."""
    began = time.monotonic()
    settings, seconds = checked(StackSettings.from_environment, run_seconds)
    try:
        preflight.check_folder(settings.home)
    except FolderNotWritable:
        # The lock would be in it: what else is in the way is told without.
        preflight.check_all(settings)
        raise
    ending = Ending()
    with ending.handling_signals(), StackLock(settings.run):
        preflight.check_all(settings)
        setup.prepare(settings, progress, ending)
        supervisor = Supervisor(stack_phases(settings), progress, settings.run / "state.json", ending)
        supervisor.start()
        try:
            say_where(progress.console, settings, time.monotonic() - began, seconds)
            if seconds is not None:
                return _measure(supervisor, settings, progress, seconds)
            supervisor.watch()
            return 0
        finally:
            supervisor.stop()


def run_seconds() -> float | None:
    """RUN_SECONDS; None: until Ctrl-C. Raises SettingError."""
    text = os.environ.get("RUN_SECONDS", "")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400 * 7:
        raise SettingError(f"RUN_SECONDS: was {text!r}; expected: a number of seconds above 0, at most a week")
    return seconds


def say_where(console: Console, settings: StackSettings, took: float, seconds: float | None) -> None:
    """Where to look and how to stop."""
    until = "Ctrl-C" if seconds is None else f"by itself, {seconds:g} s after the first delivery"
    lines = {
        "page": settings.page_url,
        "gRPC, REST": f"{settings.edge}    (try: grpcurl -plaintext {settings.edge} list)",
        "WebSocket": f"ws://{settings.edge}/v1/stream    (try: .venv/bin/signalbox watch ES.XCME)",
        "report": f"{settings.page_url}v1/reports/latest/files/report.html    (try: .venv/bin/signalbox report daily --open)",
        "Kafka": settings.bootstrap,
        "logs": f"{settings.logs}    (make logs)",
        "stop": until,
    }
    console.print(f"[bold green]Signalbox is running[/] [dim](ready after {took:.1f} s; what moves is a replay of real trades)[/]", soft_wrap=True)
    for name, value in lines.items():
        console.print(f"  [bold]{name:<11}[/] {value}", highlight=False, soft_wrap=True)


def _measure(supervisor: Supervisor, settings: StackSettings, progress: Progress, seconds: float) -> int:
    SUMMARY.unlink(missing_ok=True)
    url = f"ws://{settings.edge}/v1/stream"
    command = [sys.executable, "-m", "deploy.local.meter", "--url", url, "--seconds", str(seconds), "--out", str(SUMMARY)]
    client = Child.start("meter", command, log_path=settings.logs / "meter.log", env=dict(os.environ), cwd=REPOSITORY)
    try:
        with progress.step(f"Counting what reaches a client for {seconds:g} s", done="Counted"):
            supervisor.watch(done=lambda: client.exit_code() is not None)
    finally:
        code = client.exit_code()
        client.kill()
    if code is None:
        raise Stopped
    if not SUMMARY.exists():
        raise client.died()
    summary = json.loads(SUMMARY.read_text())
    show_summary(progress.console, summary, SUMMARY)
    return code


def show_summary(console: Console, summary: dict[str, Any], path: Path) -> None:
    """The figures as a person reads them."""
    table = Table(title=f"{summary['seconds']:.0f} s from the first delivery, replayed data only", title_justify="left")
    table.add_column("delivered to a client through the edge")
    table.add_column("count", justify="right")
    rows = {"ticks": "ticks_in", "final bars": "bars", "indicator values": "indicator_values", "signals": "signals"}
    for text, key in (rows | {"messages in all": "delivered"}).items():
        table.add_row(text, f"{summary[key]:,}")
    for name in ("p50", "p99"):
        value = summary["latency_ms"][name]
        table.add_row(f"latency {name}, feed to client", "-" if value is None else f"{value:.1f} ms")
    console.print(table)
    if "problem" in summary:
        console.print(f"✗ {summary['problem']}", style="red", markup=False)
    verdict = "[green]✓ real data flowed from the feed to a client[/]" if summary["ok"] else "[bold red]✗ something did not flow: see the zeros above[/]"
    console.print(f"{verdict} [dim]({path})[/]", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
