"""The command line `signalbox`. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.local import jobs_cli, news_cli, report_cli, schedule_cli
from deploy.local.answers import AsJson, console, dump, failures

if TYPE_CHECKING:
    from deploy.local.progress import Progress
    from deploy.local.settings import StackSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Real-time market analysis: run the stack and look at what it says.")
app.add_typer(jobs_cli.app, name="job")
app.add_typer(news_cli.app, name="news")
app.add_typer(report_cli.app, name="report")
app.add_typer(schedule_cli.app, name="schedule")

Interval = Annotated[str, typer.Option("--interval", "-i", help="1s, 1m, 5m, 15m, 1h or 1d.")]
Last = Annotated[int, typer.Option("--last", "-n", min=1, max=5000, help="How many, the newest.")]


def _progress() -> Progress:
    """Progress goes to stderr, so that `--json` on stdout stays clean."""
    from deploy.local.progress import Progress

    return Progress(console(stderr=True))


def _settings() -> StackSettings:
    from deploy.local.settings import StackSettings

    return StackSettings.from_environment()


# -- the stack ---------------------------------------------------------------------------


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start the stack in the background; returns when all of it is ready."""
    from deploy.local import stack

    with failures(as_json):
        from deploy.local.configuration import checked
        from deploy.local.processes import partitions
        from deploy.local.settings import StackSettings

        # As `make run` checks them, which would only tell its log.
        settings, _ = checked(StackSettings.from_environment, partitions)
        pid = stack.up(settings, _progress())
        if as_json:
            dump({"pid": pid, "page": settings.page_url})
        else:
            print(f"Signalbox is running (pid {pid}): {settings.page_url}\nstop it with `make down`")


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the stack in order."""
    from deploy.local import stack

    with failures(as_json):
        stopped = stack.down(_settings(), _progress())
        if as_json:
            dump({"stopped": stopped})
        else:
            print("Stopped." if stopped else "Nothing was running.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """How each process is. Exit code 0: all ready; 1: some are not; 3: nothing runs."""
    from deploy.local import stack

    with failures(as_json):
        found = stack.status(_settings())
        if as_json:
            dump(found.as_json())
        elif found.pid is None:
            print("Signalbox is not running.")
        else:
            _show_status(found.as_json())
        raise typer.Exit(3 if found.pid is None else int(not found.ready))


def _show_status(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("process", "", "pid", "memory", "up", "restarts", "why not ready", box=None)
    for each in found["processes"]:
        mark = "[green]ready[/]" if each["ready"] else "[red]not ready[/]"
        pid = str(each["pid"] or "-")
        table.add_row(
            each["name"], mark, pid, f"{each['rss_bytes'] / 1024**2:.0f} MiB", f"{each['uptime_seconds']:.0f} s", str(each["restarts"]), each["reason"]
        )
    console().print(table)


@app.command()
def logs(
    names: Annotated[list[str] | None, typer.Argument(help="Processes; all when none is named.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many of the last lines of each first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The logs of the processes."""
    import threading

    from deploy.local import stack
    from deploy.local.child import tail

    def show(name: str, text: str) -> None:
        print(json.dumps({"process": name, "line": text}) if as_json else f"{name:<16} {text}", flush=True)

    with failures(as_json):
        paths = stack.log_files(_settings(), names or [])
        for path in paths:
            for text in tail(path, lines).splitlines() if lines else []:
                show(path.stem, text.strip())
        if follow:
            never = threading.Event()
            with _until_interrupted():
                for name, text in stack.follow(paths, pause=lambda: never.wait(0.3)):
                    show(name, text)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: AsJson = False) -> None:
    """Empty the data folder: broker data, tables, reports, logs. Kafka's jars stay."""
    from deploy.local import stack

    with failures(as_json):
        settings = _settings()
        if not yes:
            typer.confirm(f"Remove all data under {settings.home}?", abort=True)
        removed = stack.reset(settings)
        if as_json:
            dump({"removed": [str(path) for path in removed]})
        else:
            print(f"Removed {', '.join(path.name for path in removed)} from {settings.home}." if removed else "There was nothing to remove.")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What is missing or in the way, and what to do. Exit code 1 when something is."""
    from deploy.local.doctor import examine

    findings = examine()
    if as_json:
        dump({"ok": all(each.ok for each in findings), "findings": [_finding(each) for each in findings]})
    else:
        screen = console()
        for each in findings:
            screen.print(f"{'[green]✓[/]' if each.ok else '[red]✗[/]'} [bold]{each.name}[/]: ", end="")
            screen.print(each.detail, markup=False, highlight=False, soft_wrap=True)
            if not each.ok and each.hint:
                screen.print(f"    {each.hint}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int(not all(each.ok for each in findings)))


def _finding(finding: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(finding)


# -- what it says --------------------------------------------------------------------------


@app.command()
def watch(  # noqa: PLR0917 - typer calls it by name
    symbols: Annotated[list[str], typer.Argument(help="Ticker dot MIC, for instance ES.XCME; '*' for all.")],
    interval: Interval = "1m",
    channel: Annotated[list[str] | None, typer.Option("--channel", "-c", help="As ticks, bars, live_bars, signals, news or jobs; may be repeated.")] = None,
    history: Annotated[int, typer.Option("--history", min=0, max=1000, help="So many of the last of each series first.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Stop after so many lines; 0: go on until Ctrl-C.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Follow what moves, live, through the edge. A connection that is lost is made again."""
    import asyncio

    from deploy.local import watch as watching

    render = watching.as_json if as_json else watching.line

    async def run() -> None:
        request = watching.subscription(symbols, channel or ["bars", "live_bars", "signals"], interval, history)
        shown = 0
        address = f"ws://{_settings().edge}/v1/stream"
        async for message in watching.messages(address, request, say=lambda text: print(text, file=sys.stderr, flush=True)):
            text = render(message)
            if text is not None:
                print(text, flush=True)
                shown += 1
                if shown == limit:
                    return

    with failures(as_json), _until_interrupted():
        asyncio.run(run())


@app.command()
def price(symbol: str, as_json: AsJson = False) -> None:
    """The latest price of a symbol."""
    with failures(as_json):
        from deploy.local import queries

        found = queries.price(_edge(), symbol)
        if as_json:
            dump(found)
        else:
            print(f"{found['symbol']}  {found['price']:g}  {found['ts_event']}  [{_kind(found)}]")


@app.command()
def bars(symbol: str, interval: Interval = "1m", last: Last = 20, as_json: AsJson = False) -> None:
    """The last bars of a symbol."""
    with failures(as_json):
        from deploy.local import queries

        found = queries.bars(_edge(), symbol, interval, last)
        if as_json:
            dump(found)
        else:
            _show_bars(found.get("bars", []))


def _show_bars(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None)
    for name in ("opens (UTC)", "open", "high", "low", "close", "volume", "vwap", "trades", "source"):
        table.add_column(name, no_wrap=True)
    for each in rows:
        prices = [f"{each.get(name, 0):g}" for name in ("open", "high", "low", "close", "volume")]
        vwap = f"{each['vwap']:g}" if "vwap" in each else "-"
        table.add_row(_short_time(each["ts_open"]), *prices, vwap, str(each.get("trade_count", "-")), _kind(each))
    console().print(table)


@app.command()
def analyze(symbol: str, interval: Interval = "1d", last: Last = 5, as_json: AsJson = False) -> None:
    """Indicators and signals of a symbol, computed from the origin of its series."""
    with failures(as_json):
        from deploy.local import queries

        found = queries.analyze(_edge(), symbol, interval, last)
        if as_json:
            dump(found)
        else:
            _show_analysis(found)


def _show_analysis(found: dict[str, Any]) -> None:
    from rich.table import Table

    times = found.get("ts_open", [])
    table = Table("", *map(_short_time, times), box=None)
    table.add_row("close", *(f"{value:g}" for value in found.get("close", [])))
    for series in found.get("indicators", []):
        table.add_row(series["name"], *("-" if value == "NaN" else f"{value:.6g}" for value in series["values"]))
    screen = console()
    screen.print(f"{found['symbol']}: {found.get('bars_used', 0)} bars since {found.get('origin_ts')} [{_kind(found)}]", markup=False, highlight=False)
    screen.print(table)
    for signal in found.get("signals", []):
        screen.print(f"{signal['ts_close']}  {signal['type']}  at {signal['price']:g}", highlight=False)


def _short_time(text: str) -> str:
    """`2013-09-17T12:33:00Z` -> `2013-09-17 12:33:00`, as much as a column has room for."""
    return text.replace("T", " ").removesuffix("Z")


def _kind(found: dict[str, Any]) -> str:
    return str(found.get("source_kind", "?")).removeprefix("SOURCE_KIND_").lower()


def _edge() -> str:
    return _settings().edge


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def replay(context: typer.Context) -> None:
    """Replay a CSV or Parquet file: signalbox replay FILE --symbol S (see signalbox replay --help)."""
    import os

    with failures(as_json=False):
        # Before the import: the feed reads its settings from the environment.
        os.environ.update(_settings().child_environment())
    from services.prices.feeds.replay_file import main

    raise typer.Exit(main(context.args))


@app.command(name="end-source")
def end_source(name: str, as_json: AsJson = False) -> None:
    """End a source of ticks that was killed, so that its symbols' bars wait for it no longer. One that lives on begins anew with its next tick."""
    with failures(as_json):
        from deploy.local import queries

        queries.end_source(_edge(), name)
        if as_json:
            dump({"ended": name})
        else:
            print(f"{name} has ended.")


@contextmanager
def _until_interrupted() -> Iterator[None]:
    """Ctrl-C is the ordinary end of a command that would go on for ever."""
    try:
        yield
    except KeyboardInterrupt:
        print(file=sys.stderr)


if __name__ == "__main__":
    app(prog_name="signalbox")
