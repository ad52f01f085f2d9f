"""`signalbox report`: asks for daily reports and opens them, over REST through the edge."""

from __future__ import annotations

import webbrowser
from typing import Annotated, Any

import typer

from deploy.local.answers import AsJson, dump
from deploy.local.edge_rest import edge, failures
from deploy.local.errors import SettingError, StackError

app = typer.Typer(no_args_is_help=True, help="Daily reports: make one, find those that were made.")


#: What a person asks for by these names.
_FORMATS = ("html", "pdf", "json", "parquet")
_PAGE_FILE = "report.html"


@app.command()
def daily(  # noqa: PLR0917 - typer calls it by name
    date: Annotated[str, typer.Option(help="The day, YYYY-MM-DD; the newest one with bars when not given.")] = "",
    symbol: Annotated[list[str] | None, typer.Option("--symbol", "-s", help="Only this one; may be repeated. All when not given.")] = None,
    format_: Annotated[list[str] | None, typer.Option("--format", "-f", help=f"{', '.join(_FORMATS)}; may be repeated. All when not given.")] = None,
    time_zone: Annotated[str, typer.Option("--tz", help="IANA time zone of times shown; UTC when not given.")] = "",
    input_of: Annotated[str, typer.Option(help="Make it again from the recorded input of this report.")] = "",
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser when it is ready.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a daily report and stay until it is ready; Ctrl-C leaves its job running."""
    with failures(as_json):
        if open_ and format_ and "html" not in format_:
            raise SettingError("--open: needs --format html")
        operation = edge().post("/v1/reports/daily", creation(date, symbol or [], format_ or [], time_zone, input_of))
        report = _made(operation)
        if as_json:
            dump(report)
        else:
            _show(report)
        if open_:
            webbrowser.open(_url(report, _PAGE_FILE))


@app.command("list")
def list_reports(
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=500, help="How many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The archive, newest first."""
    with failures(as_json):
        found = edge().get("/v1/reports", [("page_size", str(last))])
        if as_json:
            dump(found)
        else:
            _show_all(found.get("reports", []))


@app.command()
def show(
    report: Annotated[str, typer.Argument(help="Id, as `report list` shows it, or latest.")] = "latest",
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """One report of the archive, and where its files are."""
    from urllib.parse import quote

    with failures(as_json):
        found = edge().get(f"/v1/reports/{quote(report, safe='')}")["report"]
        if as_json:
            dump(found)
        else:
            _show(found)
        if open_:
            webbrowser.open(_url(found, _PAGE_FILE))


def creation(date: str, symbols: list[str], formats: list[str], time_zone: str, input_of: str) -> dict[str, Any]:
    """The body of POST /v1/reports/daily. Raises SettingError naming the option that is wrong."""
    for each in formats:
        if each not in _FORMATS:
            raise SettingError(f"--format: was {each!r}; expected: {', '.join(_FORMATS)}")
    body = {
        "date": date,
        "universe": symbols,
        "formats": [f"REPORT_FORMAT_{each.upper()}" for each in formats],
        "time_zone": time_zone,
        "input_of": input_of,
    }
    return {key: value for key, value in body.items() if value}


def _made(operation: dict[str, Any]) -> dict[str, Any]:
    """The report of an operation, once it is done. Raises StackError with why there is none."""
    from rich.console import Console

    from deploy.local.jobs_cli import job_id, until_done
    from deploy.local.jobs_view import JobBar

    with JobBar(Console(stderr=True)) as bar:
        operation = until_done(edge(), operation, bar.show)
    if "error" in operation:
        raise StackError(f"the report was not made: {operation['error'].get('message', '')}", f"`signalbox job show {job_id(operation)}` says more")
    found: dict[str, Any] = operation["response"]
    return found


def _url(report: dict[str, Any], name: str) -> str:
    return f"{edge().url}/v1/reports/{report['id']}/files/{name}"


def lines_of(report: dict[str, Any]) -> list[str]:
    """What a person wants to know of a report."""
    count = {name: int(report.get(f"symbols_{name}", 0)) for name in ("expected", "arrived", "late", "missing", "failed")}
    others = ", ".join(f"{count[name]} {name}" for name in ("late", "missing", "failed") if count[name])
    lines = [f"{report['id']}: {report['date']}, {count['arrived']} of {count['expected']} symbols{f' ({others})' if others else ''}"]
    signals = int(report.get("signals", 0))
    lines[0] += f", {signals} signal{'' if signals == 1 else 's'}, made in {float(report.get('seconds', 0.0)):.1f} s"
    return lines + [f"  ! {warning}" for warning in report.get("warnings", [])]


def _show(report: dict[str, Any]) -> None:
    for line in lines_of(report):
        print(line)
    for file in report.get("files", []):
        print(f"  {_url(report, file['name'])}  {int(file['size_bytes']) / 1024:,.0f} KiB")


def _show_all(reports: list[dict[str, Any]]) -> None:
    if not reports:
        print("No reports yet. Make one: signalbox report daily")
    for report in reports:
        for line in lines_of(report):
            print(line)
