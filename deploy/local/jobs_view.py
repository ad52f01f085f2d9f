"""Jobs as a person at the terminal sees them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

Job = dict[str, Any]

_COLOURS = {"succeeded": "green", "failed": "red", "buried": "red", "cancelled": "yellow", "running": "cyan", "retrying": "yellow"}


def state_of(job: Job) -> str:
    """`JOB_STATE_RUNNING` -> `running`."""
    return str(job["state"]).removeprefix("JOB_STATE_").lower()


class _Left(ProgressColumn):
    """What the service says about the end, not what this terminal measures."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("left", "")), style="cyan")


class JobBar:
    """A progress bar on a terminal; elsewhere a line whenever the job's state changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""
        self._task: TaskID | None = None
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            _Left(),
            TextColumn("{task.fields[doing]}"),
        )
        self._progress = Progress(*columns, console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, operation: dict[str, Any]) -> None:
        """How far it is now."""
        job = operation["metadata"]
        if self._progress is None:
            self._say(job)
            return
        progress = job.get("progress", {})
        done, total = float(progress.get("done", 0)), float(progress.get("total", 0))
        fields = {"count": count_of(job), "left": left_of(job), "doing": progress.get("message", "") or job.get("last_error", "")}
        title = f"{job['kind']} {state_of(job)}{_attempt(job)}"
        if self._task is None:
            self._task = self._progress.add_task(title, total=total or None, completed=int(done), **fields)
        self._progress.update(self._task, description=title, total=total or None, completed=done, **fields)

    def _say(self, job: Job) -> None:
        line = f"{job['id']} {job['kind']} is {state_of(job)}{_attempt(job)}"
        if line != self._said:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._said = line


def _attempt(job: Job) -> str:
    return f" (attempt {job['attempt']} of {job['max_attempts']})" if int(job.get("attempt", 0)) > 1 else ""


def count_of(job: Job) -> str:
    """`120/500 symbols`; empty when nothing is known."""
    progress = job.get("progress", {})
    done, total, unit = float(progress.get("done", 0)), float(progress.get("total", 0)), progress.get("unit", "")
    if not done and not total:
        return ""
    return f"{done:,g}{f'/{total:,g}' if total else ''} {unit}".strip()


def left_of(job: Job, now: datetime | None = None) -> str:
    """`ends in 12 s`, from the service's estimate; empty when it has none."""
    end = job.get("estimated_end_at")
    if not end:
        return ""
    left = (datetime.fromisoformat(end) - (now or datetime.now(UTC))).total_seconds()
    return f"ends in {max(0.0, left):.0f} s" if left < 120 else f"ends in {left / 60:.0f} min"


def jobs_table(jobs: list[Job]) -> Table:
    """One row a job."""
    table = Table(box=None)
    for name in ("id", "kind", "state", "attempt", "progress", "created (UTC)", "took", "owner", "why"):
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    for job in jobs:
        state = state_of(job)
        attempts = f"{job.get('attempt', 0)}/{job['max_attempts']}"
        created = str(job.get("created_at", ""))[:19].replace("T", " ")
        shown = Text(state, style=_COLOURS.get(state, ""))
        table.add_row(job["id"], job["kind"], shown, attempts, count_of(job), created, _took(job), job.get("owner", ""), Text(job.get("last_error", "")))
    return table


def _took(job: Job) -> str:
    if not job.get("started_at"):
        return "-"
    end = datetime.fromisoformat(job["ended_at"]) if job.get("ended_at") else datetime.now(UTC)
    return f"{(end - datetime.fromisoformat(job['started_at'])).total_seconds():.1f} s"


def details(operation: dict[str, Any]) -> Table:
    """Field by field."""
    job = operation["metadata"]
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    first = {
        "id": job["id"],
        "kind": job["kind"],
        "state": state_of(job),
        "priority": str(job["priority"]).removeprefix("JOB_PRIORITY_").lower(),
        "progress": _how_far(job),
    }
    rest = {name: _text(name, value) for name, value in job.items() if name not in {"@type", *first}}
    for name, value in (first | rest).items():
        if value:
            table.add_row(name.removesuffix("_bytes").replace("_", " "), Text(value))
    if operation.get("done"):
        table.add_row("outcome", Text(outcome(operation)))
    return table


def _how_far(job: Job) -> str:
    return " ".join(part for part in (count_of(job), left_of(job), job.get("progress", {}).get("message", "")) if part)


def _text(name: str, value: object) -> str:
    if name.endswith("_bytes"):
        return f"{int(str(value)) / 2**20:.1f} MiB"
    return value if isinstance(value, str) else json.dumps(value)


def outcome(operation: dict[str, Any]) -> str:
    """The result as JSON, or why there is none."""
    job = operation["metadata"]
    if "error" in operation:
        return f"{job['id']} {state_of(job)}: {operation['error'].get('message', '')}"
    result = {name: value for name, value in operation.get("response", {}).items() if name != "@type"}
    return f"{job['id']} {state_of(job)}: {json.dumps(result)}"


def kinds_table(kinds: list[dict[str, Any]]) -> Table:
    """What may be asked for, with the message that its request is read into."""
    table = Table("kind", "what it does", "request", "most time", box=None)
    for each in kinds:
        table.add_row(each["name"], each["description"], each["request_type"].rpartition(".")[2], each["attempt_limit"])
    return table
