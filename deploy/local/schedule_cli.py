"""`signalbox schedule`: the recurring jobs and their runs, over REST through the edge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.local.answers import AsJson, console, dump
from deploy.local.edge_rest import edge, failures

if TYPE_CHECKING:
    from rich.table import Table


app = typer.Typer(no_args_is_help=True, help="The recurring jobs and what became of their runs.")


@app.command("list")
def list_schedules(as_json: AsJson = False) -> None:
    """Every recurring job with its next and its last run."""
    with failures(as_json):
        found = edge().get("/v1/schedules")
        if as_json:
            dump(found)
            return
        table = _table("schedule", "kind", "when", "next run (UTC)", "last run (UTC)", "", "memory", "owner")
        for each in found.get("schedules", []):
            runs = each.get("last_runs", [])
            table.add_row(each["name"], each["kind"], each["when"], _time(each.get("next_run_at")), *_last(runs[0] if runs else None), each["owner"])
        console().print(table)
        print(f"active scheduler: {found.get('leader') or 'none'}")


@app.command()
def runs(
    schedule: Annotated[str, typer.Argument(help="Name of a recurring job; - for all.")] = "-",
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=500, help="How many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """What became of the runs."""
    with failures(as_json):
        found = edge().get(f"/v1/schedules/{schedule}/runs", [("page_size", str(last))])
        if as_json:
            dump(found)
            return
        table = _table("schedule", "planned (UTC)", "", "took", "memory", "job", "")
        for run in found.get("runs", []):
            table.add_row(run["schedule"], _time(run["planned_at"]), _state(run), _took(run), _memory(run), run["job_id"], run["detail"])
        console().print(table)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None)
    for column in columns:
        table.add_column(column, no_wrap=column.endswith("(UTC)"))
    return table


def _last(run: dict[str, Any] | None) -> tuple[str, str, str]:
    return ("-", "not run yet", "-") if run is None else (_time(run["planned_at"]), _state(run), _memory(run))


def _state(run: dict[str, Any]) -> str:
    state = str(run["state"]).removeprefix("RUN_STATE_").lower()
    colour = {"succeeded": "green", "failed": "red", "skipped": "yellow"}.get(state, "cyan")
    return f"[{colour}]{state}[/]"


def _memory(run: dict[str, Any]) -> str:
    if "peak_memory_bytes" not in run:
        return "-"
    return f"{int(run['peak_memory_bytes']) >> 20} MiB peak, {int(run.get('kept_memory_bytes', 0)) >> 20} kept"


def _took(run: dict[str, Any]) -> str:
    if not (run.get("started_at") and run.get("ended_at")):
        return "-"
    return f"{(_parsed(run['ended_at']) - _parsed(run['started_at'])).total_seconds():.1f} s"


def _time(text: str | None) -> str:
    return "-" if not text else _parsed(text).strftime("%Y-%m-%d %H:%M")


def _parsed(text: str) -> datetime:
    # Timestamps have up to nine digits, of which Python takes six.
    return datetime.fromisoformat(f"{text.removesuffix('Z').partition('.')[0]}+00:00").astimezone(UTC)
