"""The last sheets on paper: alerts, the installation, how to read it all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.reports.daily import model
from services.reports.daily.render import formats, wording
from services.reports.daily.render.layout import Group, Piece, rows_of
from services.reports.daily.render.paper import BODY, LEFT, MEDIUM, RIGHT, SMALL, STRONG, SUBHEADING, Box, Paper, Type, fit, wrap
from services.reports.daily.render.pdf_parts import ROW, Cell, Column, gap, heading, labelled_bar, paragraph, put_row, subheading, table_heading, tiles

_SEVERITY = {"critical": "bad", "warning": "warn"}
_PROCESSES = (
    Column("Process", LEFT, LEFT + 100),
    Column("State", LEFT + 104, LEFT + 268),
    Column("Memory", LEFT + 270, LEFT + 330, True),
    Column("CPU time", LEFT + 334, LEFT + 396, True),
    Column("Up for", LEFT + 400, LEFT + 460, True),
    Column("Answered in", LEFT + 464, RIGHT, True),
)
_HALF = (RIGHT - LEFT - 24) / 2
_WORD = 124.0


def alert_groups(report: model.DailyReportModel, clock: formats.Clock) -> list[Group]:
    """What operation was worried about."""
    alerts = report.alerts
    if not alerts:
        nothing = wording.silent(report.coverage, "alerts") or "No alert was open, raised or ended."
        return [Group([heading("Alerts"), paragraph(nothing, SMALL)], starts_sheet=True)]
    pieces = [_alert(alert, clock) for alert in alerts]
    return [Group([heading("Alerts", f"{len(alerts):,}"), pieces[0]], starts_sheet=True), *(Group([piece]) for piece in pieces[1:])]


def _alert(alert: model.AlertRow, clock: formats.Clock) -> Piece:
    lines = wrap(alert.detail, SMALL, RIGHT - LEFT - 60, 3)
    return Piece(26 + len(lines) * 9.5, partial(_draw_alert, alert=alert, lines=lines, since=clock.moment(alert.since_ns)))


def _draw_alert(paper: Paper, top: float, *, alert: model.AlertRow, lines: list[str], since: str) -> None:
    word = "resolved" if alert.is_resolved else alert.severity
    colour = "good" if alert.is_resolved else _SEVERITY.get(alert.severity, "text")
    paper.text(LEFT, top + 9, word, Type(8.5, colour, MEDIUM))
    paper.text(LEFT + 60, top + 9, fit(alert.title, STRONG, RIGHT - LEFT - 60), STRONG)
    paper.lines(LEFT + 60, top + 19, lines, SMALL, 9.5)
    paper.text(LEFT + 60, top + 19 + len(lines) * 9.5, fit(f"{alert.source}, since {since}", SMALL, RIGHT - LEFT - 60), SMALL)


def system_groups(system: model.System, clock: formats.Clock) -> list[Group]:
    """The installation when the input was recorded."""
    small = f"version {system.version or formats.NONE}, measured {clock.moment(system.measured_ns)}"
    groups = [Group([heading("System", small), Piece(42, partial(_flows, system=system))])]
    if system.processes:
        rows = (Piece(ROW, partial(_process, row=row)) for row in system.processes)
        groups += rows_of([subheading("Processes")], rows, table_heading(_PROCESSES))
    else:
        groups.append(Group([subheading("Processes"), paragraph("No process could be asked; coverage says why.", SMALL)]))
    groups.append(Group([gap(6), *_latencies(system.latencies)]))
    return [*groups, Group([gap(6), _counters(system)])]


def _flows(paper: Paper, top: float, *, system: model.System) -> None:
    values = (
        ("Ticks a second", system.ticks_per_second),
        ("Messages a second", system.messages_per_second),
        ("Subscribers", system.subscribers),
        ("Lag, ticks", system.ticks_lag),
        ("Lag, bars", system.bars_lag),
    )
    tiles(paper, top, [(name, formats.count(value), "text") for name, value in values])


def _process(paper: Paper, top: float, *, row: model.ProcessRow) -> None:
    state = f"{row.health}: {row.detail}" if row.detail else row.health
    cells = (
        Cell(row.name, STRONG),
        Cell(state, Type(8.5, "good" if row.health == "ready" else "bad")),
        Cell(formats.megabytes(row.resident_bytes)),
        Cell(formats.duration(row.cpu_seconds)),
        Cell(formats.duration(row.uptime_seconds)),
        Cell(formats.milliseconds(row.response_ms)),
    )
    put_row(paper, top, _PROCESSES, cells)


def _latencies(rows: Sequence[model.LatencyRow]) -> list[Piece]:
    head = subheading("Latency", "since each process started; the bar is the median, paler up to the 99th percentile")
    if not rows:
        return [head, paragraph("None measured.", SMALL)]
    reach = max((row.p99_ms or 0.0 for row in rows), default=0.0) or 1.0
    names = Piece(11, _latency_heading)
    return [head, names, *(Piece(13, partial(_latency, row=row, reach=reach)) for row in rows)]


def _latency_heading(paper: Paper, top: float) -> None:
    for index, word in enumerate(("median", "p95", "p99", "count")):
        paper.text(RIGHT - (3 - index) * 44, top + 8, word, SMALL, "right")


def _latency(paper: Paper, top: float, *, row: model.LatencyRow, reach: float) -> None:
    median, last = row.p50_ms or 0.0, row.p99_ms or 0.0
    words = [Cell(formats.milliseconds(value)) for value in (row.p50_ms, row.p95_ms, row.p99_ms)]
    parts = [(median / reach, "accent"), (max(last - median, 0.0) / reach, "accent-soft")]
    labelled_bar(paper, Box(LEFT, top, RIGHT - LEFT, 13), row.name, parts, [*words, Cell(formats.count(row.count))])


def _counters(system: model.System) -> Piece:
    """Failures and what went through, beside each other."""
    return Piece(24 + max(len(system.failures), len(system.throughput), 1) * ROW, partial(_draw_counters, system=system))


def _draw_counters(paper: Paper, top: float, *, system: model.System) -> None:
    nothing = "None counted." if system.processes else "Could not be asked."
    for left, title, rows in ((LEFT, "Failures", system.failures), (LEFT + _HALF + 24, "Went through", system.throughput)):
        x = left + paper.text(left, top + 14, title, SUBHEADING)
        paper.text(x + 6, top + 14, "since each process started", SMALL)
        columns = (Column("", left, left + 128), Column("", left + 130, left + 200), Column("", left + 202, left + _HALF, True))
        for index, row in enumerate(rows):
            put_row(paper, top + 20 + index * ROW, columns, (Cell(row.name), Cell(row.process, SMALL), Cell(formats.count(row.value), STRONG)))
        if not rows:
            paper.text(left, top + 29, nothing, SMALL)


def reading_group(report: model.DailyReportModel, clock: formats.Clock) -> Group:
    """What the words mean, and what this report is."""
    meta = report.meta
    words = [*wording.DEFINITIONS, *((wording.source_word(source), meaning) for source, meaning in wording.SOURCES.items())]
    identity = (
        ("Identity", meta.id),
        ("Day", f"{formats.long_date(meta.date)}. {wording.day_was_chosen(meta)}"),
        ("Times", f"in {meta.time_zone}; days are trading sessions of each venue"),
        ("Input recorded", clock.moment(meta.recorded_ns)),
        ("Input's SHA-256", meta.input_sha256),
        ("Version", f"{meta.version}: the same input and version give the same bytes"),
    )
    closing = f"Nothing in this report is advice. A figure that could not be computed is shown as {formats.NONE}, never guessed. {wording.SHORTENED}"
    pieces = [heading("How to read this report", anchor="reading"), *(_definition(word, f"{meaning}.") for word, meaning in words)]
    pieces += [gap(6), subheading("This report"), *(_definition(word, meaning) for word, meaning in identity), gap(6), paragraph(closing, SMALL)]
    return Group(pieces, starts_sheet=True)


def _definition(word: str, meaning: str) -> Piece:
    lines = wrap(meaning, BODY, RIGHT - LEFT - _WORD)
    return Piece(len(lines) * 11 + 5, partial(_define, word=word, lines=lines))


def _define(paper: Paper, top: float, *, word: str, lines: list[str]) -> None:
    paper.text(LEFT, top + 9, word, STRONG)
    paper.lines(LEFT + _WORD, top + 9, lines, BODY, 11)
