"""`signalbox replay FILE`: any CSV or Parquet file of trades through the same way as every other tick.

`replay_file` does the work, `main` its command line; both end with everything acknowledged by the broker.
"""

import asyncio
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from services.prices.feeds.errors import DataUnreadable
from services.prices.feeds.file_columns import by_position, find_columns
from services.prices.feeds.file_feed import FileFeed
from services.prices.feeds.file_rows import BadRow, RowReader
from services.prices.feeds.file_source import FileSource, open_source
from services.prices.feeds.file_times import NoTimes, TimeReader
from services.prices.feeds.outbox import Outbox
from services.prices.feeds.ports import NS, WEEK_NS, Stored
from services.prices.feeds.position import LogTail
from services.prices.feeds.runner import send_ticks
from services.prices.instruments import Instrument, instrument_of
from services.prices.sequencer import Sequencer
from services.prices.sessions import SessionTable
from services.runtime.clock import Clock, SystemClock
from services.runtime.dlq import fit_value
from services.runtime.errors import InvalidArgument
from services.runtime.headers import record_headers
from services.runtime.kafka import KafkaPublisher, make_producer
from services.runtime.telemetry import new_traceparent
from services.runtime.topics import TICKS

_SOURCE = re.compile(r"[a-z0-9_.:-]{1,64}")
#: How far back an earlier replay under the same name is looked for.
_LOOK_BACK_RECORDS = 100_000
#: The summary names so many bad rows; all of them are in the dead-letter topic.
_BAD_ROWS_KEPT = 100
_BAD_ROWS_SHOWN = 20
_DELIVERY_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay and how."""

    path: Path
    bootstrap: str
    """Kafka addresses."""
    partitions: int
    """Number of partitions of market.ticks.v1."""
    symbol: str | None = None
    """Of all rows, ticker dot MIC; None = the file has a column of symbols."""
    speed: float = float("inf")
    """Event seconds for each wall second, > 0; infinity = as fast as the broker takes it."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role (ts, price, size, seq, symbol) to the column's name, or its number from 1 in a file without a line of names."""
    tz: ZoneInfo | None = None
    """Zone of times that carry none."""
    source: str | None = None
    """Name of the feed and session; None = from the file's name."""
    digits: tuple[int, int] | None = None
    """Decimal digits of prices and sizes; None = as the instrument has."""
    sessions: Path | None = None
    """The table of sessions; None = only UTC days are known."""
    keep_open: bool = False
    """Leave the bars open that the last rows are in: another file of the same session follows."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is."""

    done: int
    total: int
    unit: str
    rows: int
    bad_rows: int


@dataclass(slots=True)
class Summary:
    """What became of a file."""

    path: str
    source: str
    symbols: list[str] = field(default_factory=list)
    rows: int = 0
    """Ticks acknowledged by the broker."""
    bad_rows: int = 0
    """Rows that could not be used; each is in the dead-letter topic."""
    bad: list[dict[str, object]] = field(default_factory=list)
    """Line and reason of the first of them."""
    first_ts: int = 0
    """Event time of the first row, UTC nanoseconds, shift included."""
    last_ts: int = 0
    shift_weeks: int = 0
    seconds: float = 0.0
    complete: bool = False
    """The whole file was sent."""
    notices: list[str] = field(default_factory=list)

    def as_text(self) -> str:
        """For a terminal."""
        lines = [f"note: {notice}" for notice in self.notices]
        lines += [f"line {each['line']}: {each['reason']}" for each in self.bad[:_BAD_ROWS_SHOWN]]
        if self.bad_rows > _BAD_ROWS_SHOWN:
            lines.append(f"... and {self.bad_rows - _BAD_ROWS_SHOWN} more bad rows, all in {TICKS.dead_letters().name}")
        moved = f", moved by {self.shift_weeks} weeks" if self.shift_weeks else ""
        lines.append(f"{'sent' if self.complete else 'stopped after'} {self.rows} ticks of {', '.join(self.symbols)} in {self.seconds:.1f} s{moved}")
        return "".join(f"{line}\n" for line in [*lines, f"{self.bad_rows} bad rows"])

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


ProgressCallback = Callable[[Progress], None]


def replay_file(options: ReplayOptions, on_progress: ProgressCallback | None = None) -> Summary:
    """Replays a file and returns when every row is acknowledged. Ctrl-C ends it in order, with what was sent so far.

    Raises InvalidArgument, DataUnreadable, Unavailable (broker), DeliveryFailed.
    """
    return asyncio.run(_until_interrupted(options, on_progress))


async def _until_interrupted(options: ReplayOptions, on_progress: ProgressCallback | None) -> Summary:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopping.set)
    return await replay(options, on_progress or (lambda _: None), stopping)


async def replay(options: ReplayOptions, on_progress: ProgressCallback, stopping: asyncio.Event, clock: Clock | None = None) -> Summary:
    """As `replay_file`, inside a running loop; `stopping` ends it in order."""
    clock = clock or SystemClock()
    summary = Summary(str(options.path), _source_name(options))
    began = clock.monotonic_ns()
    with closing(open_source(options.path, header=not by_position(options.columns))) as file:
        reader = _reader(options, file, summary.notices.append)
        sessions = None if options.keep_open else _sessions(options.sessions, summary.notices.append)
        stored, floors = await asyncio.to_thread(_what_is_stored, options, summary.source)
        publisher = KafkaPublisher(make_producer(options.bootstrap, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS))
        try:
            outbox = Outbox(publisher, clock, summary.source)
            letters = _RowLetters(outbox, options.path, summary)

            def on_step(rows: int) -> None:
                on_progress(Progress(file.done, file.total, file.unit, rows, summary.bad_rows))

            feed = FileFeed(file, reader, summary.source, options.speed, clock, on_bad=letters.send, on_step=on_step, floors=floors, sessions=sessions)
            sequencer = Sequencer(outbox, clock, options.partitions, feed.source_kind, _instruments(options))
            await send_ticks(feed, stored, outbox, sequencer, stopping)
        except NoTimes as error:
            raise DataUnreadable(str(options.path), str(error)) from error
        finally:
            await publisher.close()
    _complete(summary, feed, outbox)
    summary.seconds = (clock.monotonic_ns() - began) / NS
    return summary


def _complete(summary: Summary, feed: FileFeed, outbox: Outbox) -> None:
    summary.symbols = list(feed.symbols)
    summary.rows = outbox.rows_acknowledged
    summary.first_ts, summary.last_ts = feed.first_ts, feed.last_ts
    summary.shift_weeks = feed.shift // WEEK_NS
    summary.complete = feed.complete
    if feed.why_stopped:
        summary.notices.append(feed.why_stopped)


class _RowLetters:
    """Sends rows that cannot be used to the dead-letter topic, each as it is in the file, and keeps the first for the summary."""

    def __init__(self, outbox: Outbox, path: Path, summary: Summary) -> None:
        self._outbox, self._path, self._summary = outbox, path, summary

    async def send(self, row: BadRow) -> None:
        """Returns once the row is on its way."""
        if self._summary.bad_rows < _BAD_ROWS_KEPT:
            self._summary.bad.append({"line": row.line, "reason": row.why})
        self._summary.bad_rows += 1
        value, about_value = fit_value(row.raw)
        headers = [
            *record_headers("TickBatch", f"{self._summary.source}/line/{row.line}", new_traceparent(), feed=self._summary.source),
            ("dlq_reason", row.why[:1000].encode()),
            ("dlq_topic", TICKS.name.encode()),
            ("dlq_file", self._path.name.encode()),
            ("dlq_line", b"%d" % row.line),
            *about_value,
        ]
        await self._outbox.send(TICKS.dead_letters().name, 0, value, headers, rows=0)


def _source_name(options: ReplayOptions) -> str:
    if options.source is None:
        stem = re.sub(r"(\.(csv|txt|parquet|pq|gz))+$", "", options.path.name.lower())
        return f"replay:{re.sub(r'[^a-z0-9_.-]+', '-', stem)}"[:64]
    if not _SOURCE.fullmatch(options.source):
        raise InvalidArgument("source", options.source, "1 to 64 characters of a-z, 0-9, '-', '_', '.', ':'")
    return options.source


def _instruments(options: ReplayOptions) -> Callable[[str], Instrument]:
    if options.digits is None:
        return instrument_of
    price, size = options.digits

    def with_digits(symbol: str) -> Instrument:
        return replace(instrument_of(symbol), price_digits=price, size_digits=size)

    return with_digits


def _reader(options: ReplayOptions, file: FileSource, say: Callable[[str], None]) -> RowReader:
    columns = find_columns(str(options.path), file.names, options.columns)
    if options.symbol is None and columns.symbol is None:
        raise InvalidArgument("symbol", None, f"--symbol, or a column of symbols; file has {', '.join(file.names)}")
    if options.symbol is not None and "symbol" in options.columns:
        raise InvalidArgument("symbol", options.symbol, "either --symbol or --columns symbol=..., not both")
    return RowReader(columns, options.symbol, _instruments(options), TimeReader(options.tz, say), say)


def _sessions(path: Path | None, say: Callable[[str], None]) -> SessionTable:
    if path is None:
        return SessionTable.utc_only()
    try:
        return SessionTable.load(path)
    except (OSError, ValueError) as error:
        say(f"no table of sessions ({error}): the last 1d bars may stay open; build it with `python -m services.prices.sessions --build`")
        return SessionTable.utc_only()


def _what_is_stored(options: ReplayOptions, source: str) -> tuple[Stored, dict[str, int]]:
    """The latest position of the source over all partitions, and the watermark of each symbol."""
    floors: dict[str, int] = {}
    latest = Stored()
    with closing(LogTail(options.bootstrap)) as tail:
        for partition in range(options.partitions):
            floors |= tail.symbol_watermarks(partition)
            latest = max(latest, tail.last_rows(source, partition, _LOOK_BACK_RECORDS), key=lambda stored: stored.floor)
    return latest, floors


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; see replay_command.py."""
    from services.prices.feeds.replay_command import main as command

    return command(argv)


if __name__ == "__main__":
    sys.exit(main())
