"""The files of a report, by format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.model import DailyReportModel


class FileKind(NamedTuple):
    """One format."""

    name: str
    content_type: str
    cost: float
    """What making it takes, as a part of all: for the progress."""


#: In the order in which they are made. The costs are of 500 symbols, measured by `make bench ARGS=report`.
FILES: dict[int, FileKind] = {
    pb.REPORT_FORMAT_JSON: FileKind("report.json", "application/json", 0.02),
    pb.REPORT_FORMAT_PARQUET: FileKind("figures.parquet", "application/vnd.apache.parquet", 0.01),
    pb.REPORT_FORMAT_HTML: FileKind("report.html", "text/html; charset=utf-8", 0.24),
    pb.REPORT_FORMAT_PDF: FileKind("report.pdf", "application/pdf", 0.73),
}
INPUT = FileKind("input.zip", "application/zip", 0.0)
#: Media types by name.
CONTENT_TYPES: dict[str, str] = {kind.name: kind.content_type for kind in (*FILES.values(), INPUT)}


def _html(model: DailyReportModel) -> bytes:
    from services.reports.daily.render.html import render_html

    return render_html(model)


def _pdf(model: DailyReportModel) -> bytes:
    from services.reports.daily.render.pdf import render_pdf

    return render_pdf(model)


def _json(model: DailyReportModel) -> bytes:
    from services.reports.daily.document import report_json

    return report_json(model)


def _parquet(model: DailyReportModel) -> bytes:
    from services.reports.daily.table import figures_parquet

    return figures_parquet(model)


#: The writers import what they need when they are called: a report without PDF loads no typesetter.
_WRITERS: dict[int, Callable[[DailyReportModel], bytes]] = {
    pb.REPORT_FORMAT_JSON: _json,
    pb.REPORT_FORMAT_PARQUET: _parquet,
    pb.REPORT_FORMAT_HTML: _html,
    pb.REPORT_FORMAT_PDF: _pdf,
}


def write_file(format_: int, model: DailyReportModel) -> bytes:
    """One file. format_: a key of FILES."""
    return _WRITERS[format_](model)


def write_files(model: DailyReportModel, formats: Sequence[int], told: Callable[[float, str], None]) -> Iterator[tuple[FileKind, bytes]]:
    """The files asked for (all when none is), one after the other. told: how far they are, 0 to 1, and what comes next."""
    wanted = [format_ for format_ in FILES if not formats or format_ in formats]
    total, done = sum(FILES[format_].cost for format_ in wanted), 0.0
    for format_ in wanted:
        told(done / total, f"writing {FILES[format_].name}")
        yield FILES[format_], write_file(format_, model)
        done += FILES[format_].cost
