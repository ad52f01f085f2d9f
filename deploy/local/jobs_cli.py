"""`signalbox job`: asks for jobs and follows them, over REST through the edge."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.answers import AsJson, console, dump
from deploy.local.edge_rest import EdgeRest, edge, failures
from deploy.local.errors import SettingError, Unreachable

app = typer.Typer(no_args_is_help=True, help="Ask for work that is not live, and follow it.")

JobId = Annotated[str, typer.Argument(help="As `job run` or `job list` shows it.")]

#: Shells show 128 + SIGINT when a person ends a command.
_EXIT_INTERRUPTED = 130
_STATES = ("waiting", "running", "retrying", "succeeded", "failed", "cancelled", "buried")
_PRIORITIES = ("high", "normal", "low")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)([hms])")


@app.command()
def run(  # noqa: PLR0917 - typer calls it by name
    kind: Annotated[str, typer.Argument(help="For instance report.daily; `signalbox job kinds` lists them.")],
    request: Annotated[str, typer.Option("--request", "-r", help="The kind's request as JSON, or @FILE with it.")] = "{}",
    priority: Annotated[str, typer.Option(help="high, normal or low; the kind's own when not given.")] = "",
    key: Annotated[str, typer.Option(help="Unique key: while a job with it is kept, this gives that job.")] = "",
    deadline: Annotated[str, typer.Option(help="It must have ended after this long: 90s, 10m, 1h30m.")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it ends; Ctrl-C leaves it running.")] = True,
    as_json: AsJson = False,
) -> None:
    """Ask for a job. Exit code 0: it succeeded (or was accepted, with --no-wait); 1: it did not."""
    with failures(as_json):
        body = creation(kind, request, priority, key, deadline)
        operation = edge().post("/v1/jobs", body)
        if wait:
            _follow(operation, as_json)
        elif as_json:
            dump(operation)
        else:
            print(job_id(operation))


@app.command("list")
def list_jobs(
    kind: Annotated[str, typer.Option(help="Jobs of this kind only.")] = "",
    state: Annotated[list[str] | None, typer.Option(help=f"{', '.join(_STATES)}; may be repeated.")] = None,
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=500, help="How many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Jobs that wait, run or ended not long ago, newest first."""
    with failures(as_json):
        query = [("page_size", str(last)), *(("states", _state(each)) for each in state or [])]
        found = edge().get("/v1/jobs", [*query, ("kind", kind)] if kind else query)
        if as_json:
            dump(found)
        else:
            from deploy.local.jobs_view import jobs_table

            console().print(jobs_table(found.get("jobs", [])))


@app.command()
def kinds(as_json: AsJson = False) -> None:
    """What may be asked for."""
    with failures(as_json):
        found = edge().get("/v1/jobs/kinds")
        if as_json:
            dump(found)
        else:
            from deploy.local.jobs_view import kinds_table

            console().print(kinds_table(found.get("kinds", [])))


@app.command()
def show(job: JobId, as_json: AsJson = False) -> None:
    """Everything that is known of a job."""
    with failures(as_json):
        operation = edge().get(_path(job))
        if as_json:
            dump(operation)
        else:
            from deploy.local.jobs_view import details

            console().print(details(operation), soft_wrap=True)


@app.command()
def wait(job: JobId, as_json: AsJson = False) -> None:
    """Stay until a job ends. Exit code 0: it succeeded; 1: it did not."""
    with failures(as_json):
        _follow(edge().get(_path(job)), as_json)


@app.command()
def cancel(job: JobId, as_json: AsJson = False) -> None:
    """Ask for a job's end: a waiting one ends at once, a running one within seconds."""
    with failures(as_json):
        door = edge()
        door.post(f"{_path(job)}:cancel", {})
        operation = door.get(_path(job))
        if as_json:
            dump(operation)
        else:
            from deploy.local.jobs_view import state_of

            print(f"{job_id(operation)} is {state_of(operation['metadata'])}{'' if operation.get('done') else ', its end was asked for'}")


def creation(kind: str, request: str, priority: str, key: str, deadline: str) -> dict[str, Any]:
    """The body of POST /v1/jobs. Raises SettingError naming the option that is wrong."""
    if priority and priority not in _PRIORITIES:
        raise SettingError(f"--priority: was {priority!r}; expected: {', '.join(_PRIORITIES)}")
    body: dict[str, Any] = {"kind": kind, "request": request_of(request), "owner": "cli"}
    if priority:
        body["priority"] = f"JOB_PRIORITY_{priority.upper()}"
    if key:
        body["unique_key"] = key
    if deadline:
        body["deadline"] = f"{seconds_of(deadline):g}s"
    return body


def request_of(text: str) -> dict[str, Any]:
    """JSON, or the JSON in the file after an @. Raises SettingError."""
    try:
        given = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        found = json.loads(given)
    except OSError as error:
        raise SettingError(f"--request: {text[1:]} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingError(f"--request: is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise SettingError(f"--request: was {given.strip()[:80]!r}; expected: a JSON object")
    return found


def seconds_of(text: str) -> float:
    """`1h30m` -> 5400. Raises SettingError."""
    parts = _LENGTH.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise SettingError(f"--deadline: was {text!r}; expected: a length of time such as 90s, 10m, 1h30m")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def job_id(operation: dict[str, Any]) -> str:
    """The id in an operation's name."""
    return str(operation["name"]).removeprefix("operations/")


def _state(text: str) -> str:
    if text not in _STATES:
        raise SettingError(f"--state: was {text!r}; expected: {', '.join(_STATES)}")
    return f"JOB_STATE_{text.upper()}"


def _path(job: str) -> str:
    from urllib.parse import quote

    return f"/v1/operations/{quote(job.removeprefix('operations/'), safe='')}"


def _follow(operation: dict[str, Any], as_json: bool) -> None:
    """Stays until it is done, shows the result. Raises typer.Exit with the code that says how it ended."""
    from deploy.local.jobs_view import JobBar, outcome

    name = job_id(operation)
    try:
        with JobBar(console(stderr=True)) as bar:
            operation = until_done(edge(), operation, bar.show)
    except KeyboardInterrupt:
        print(f"\n{name} goes on without you. Come back with `signalbox job wait {name}`, end it with `signalbox job cancel {name}`.", file=sys.stderr)
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    if as_json:
        dump(operation)
    else:
        console(stderr="error" in operation).print(outcome(operation), markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int("error" in operation))


def until_done(door: EdgeRest, operation: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Asks until the operation is done; `show` gets each answer. Raises Unreachable with how to come back, StackError."""
    name = job_id(operation)
    while True:
        show(operation)
        if operation.get("done"):
            return operation
        try:
            operation = door.post_patiently(f"{_path(name)}:wait", {"timeout": "0.5s"})
        except Unreachable as error:
            raise Unreachable(error.message, f"the job was accepted and goes on; come back with `signalbox job wait {name}`") from error
