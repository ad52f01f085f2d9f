"""The command line of `signalbox replay`."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.prices.feeds.file_columns import parse_columns
from services.prices.feeds.replay_file import ProgressCallback, ReplayOptions, replay_file
from services.prices.instrument_settings import InstrumentSettings
from services.prices.instruments import MAX_DIGITS
from services.runtime.errors import InvalidArgument, SignalboxError
from services.runtime.settings import RuntimeSettings, load_settings
from services.runtime.telemetry import configure_tracing, end_tracing


class ReplaySettings(InstrumentSettings, RuntimeSettings):
    """What `signalbox replay` reads from the environment."""


#: A year in five minutes; above it, all at once is meant.
_FASTEST = 100_000.0


def parse_speed(text: str) -> float:
    """`60`, `60x` or `max`. Raises InvalidArgument."""
    if text == "max":
        return float("inf")
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed <= _FASTEST:
        raise InvalidArgument("speed", text, f"a number above 0 and at most {_FASTEST:g}, or max")
    return speed


def parse_digits(text: str) -> tuple[int, int]:
    """`2,0`: decimal digits of prices and of sizes. Raises InvalidArgument."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) <= MAX_DIGITS for part in parts):
        raise InvalidArgument("digits", text, f"two numbers 0 to {MAX_DIGITS}, as in 2,0")
    return int(parts[0]), int(parts[1])


def parse_zone(text: str) -> ZoneInfo:
    """`America/New_York`. Raises InvalidArgument."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidArgument("tz", text, "a name of the time zone database, as in America/New_York") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("signalbox replay", description="Replays a file of trades (CSV, also gzipped, or Parquet).")
    parser.add_argument("file", type=Path)
    parser.add_argument("--symbol", help="symbol of all rows, ticker dot MIC")
    parser.add_argument("--speed", default="max", help="event seconds for each second (60, 60x), or max")
    parser.add_argument("--columns", default="", help="ts=NAME,price=NAME,size=NAME,seq=NAME,symbol=NAME; numbers for a file without names")
    parser.add_argument("--tz", help="zone of times that carry none")
    parser.add_argument("--source", help="name of the feed and session")
    parser.add_argument("--digits", help="decimal digits of prices and sizes, as in 2,0")
    parser.add_argument("--keep-open", action="store_true", help="leave the last bars open: another file of the same session follows")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


@contextmanager
def _progress_bar(arguments: argparse.Namespace) -> Iterator[ProgressCallback | None]:
    """A bar on the terminal; none where stderr is none or a program reads the summary."""
    if arguments.json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    shown = TextColumn("{task.fields[rows]:,} ticks, {task.fields[bad]:,} bad")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), shown, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(arguments.file.name, total=None, rows=0, bad=0)
        yield lambda seen: bar.update(task, completed=seen.done, total=seen.total, rows=seen.rows, bad=seen.bad_rows)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns 0 when the whole file was sent, 1 when not, 2 when the arguments are wrong."""
    arguments = _parser().parse_args(argv)
    settings = load_settings(ReplaySettings)
    try:
        options = ReplayOptions(
            path=arguments.file,
            bootstrap=settings.kafka_bootstrap_servers,
            partitions=settings.partitions,
            symbol=arguments.symbol,
            speed=parse_speed(arguments.speed),
            columns=parse_columns(arguments.columns),
            tz=parse_zone(arguments.tz) if arguments.tz else None,
            source=arguments.source,
            digits=parse_digits(arguments.digits) if arguments.digits else None,
            sessions=settings.home / "tables" / "sessions.npz",
            keep_open=arguments.keep_open,
        )
        with _progress_bar(arguments) as on_progress:
            configure_tracing("replay")
            summary = replay_file(options, on_progress)
    except SignalboxError as error:
        sys.stderr.write(f"signalbox replay: {error}\n")
        return 2 if isinstance(error, InvalidArgument) else 1
    finally:
        end_tracing()
    sys.stdout.write(json.dumps(summary.as_json(), indent=2) + "\n" if arguments.json else summary.as_text())
    return 0 if summary.complete else 1
