"""The kind report.daily from a recorded input: progress, files, identity, cancelling; and what the text of a delivery says."""

from __future__ import annotations

from pathlib import Path

import pytest
from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.archive import archive_in
from services.reports.daily.delivery import addresses, text, title
from services.reports.daily.errors import ReportCancelled, ReportNotFound
from services.reports.daily.handler import make_report, summary
from services.reports.daily.recorded import write_input
from services.reports.daily.settings import DailyReportSettings
from services.runtime.clock import SystemClock
from services.runtime.errors import InvalidArgument
from services.runtime.jobs import Job, JobState, Priority
from services.runtime.settings import load_settings
from services.runtime.testing.job_queue import MemoryContext
from tests.report_samples import model_of, small_input

PLAIN = (pb.REPORT_FORMAT_JSON, pb.REPORT_FORMAT_PARQUET)


def context() -> MemoryContext:
    return MemoryContext(None, Job("a", "report.daily", JobState.RUNNING, Priority.NORMAL, b"", 1))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DailyReportSettings:
    monkeypatch.setenv("SIGNALBOX_HOME", str(tmp_path))
    return load_settings(DailyReportSettings)


@pytest.fixture
def first(settings: DailyReportSettings) -> str:
    """A report in the archive that holds its input only."""
    record = small_input()
    return archive_in(settings.home).put(summary(model_of(record)), {"input.zip": write_input(record)}).id


def test_a_report_is_made_again_from_its_input(settings: DailyReportSettings, first: str) -> None:
    said = context()
    made = make_report(pb.CreateDailyReportRequest(input_of=first, formats=PLAIN), said, settings, SystemClock())
    assert made.id == first
    assert [file.name for file in made.files] == ["report.json", "figures.parquet", "input.zip"]
    assert (made.symbols_expected, made.symbols_arrived, made.symbols_late, made.symbols_missing, made.symbols_failed) == (12, 8, 1, 2, 1)
    again = make_report(pb.CreateDailyReportRequest(input_of=first, formats=PLAIN), context(), settings, SystemClock())
    assert [file.sha256 for file in again.files] == [file.sha256 for file in made.files]


def test_progress_goes_up_and_is_never_whole_before_the_end(settings: DailyReportSettings, first: str) -> None:
    said = context()
    make_report(pb.CreateDailyReportRequest(input_of=first, formats=PLAIN), said, settings, SystemClock())
    done = [each.done for each in said.said]
    assert done == sorted(done)
    assert {(each.total, each.unit) for each in said.said} == {(12, "symbols")}
    assert done[-1] == max(done) == 0.99 * 12
    assert len(done) > 12


def test_a_cancelled_report_leaves_nothing(settings: DailyReportSettings, first: str) -> None:
    said = context()
    said.cancelled = True
    with pytest.raises(ReportCancelled):
        make_report(pb.CreateDailyReportRequest(input_of=first, formats=PLAIN), said, settings, SystemClock())
    assert [file.name for file in archive_in(settings.home).get(first).files] == ["input.zip"]


def test_wrong_requests(settings: DailyReportSettings) -> None:
    with pytest.raises(ReportNotFound):
        make_report(pb.CreateDailyReportRequest(input_of="2026-03-02-00000000"), context(), settings, SystemClock())
    for wrong in (
        pb.CreateDailyReportRequest(date="2013-3-1"),
        pb.CreateDailyReportRequest(date="2013-02-30"),
        pb.CreateDailyReportRequest(date="1066-10-14"),
        pb.CreateDailyReportRequest(universe=["aapl"]),
        pb.CreateDailyReportRequest(universe=["AAPL.XNAS"] * 2001),
        pb.CreateDailyReportRequest(formats=[pb.REPORT_FORMAT_UNSPECIFIED]),
        pb.CreateDailyReportRequest(formats=[9]),  # type: ignore[list-item]
        pb.CreateDailyReportRequest(time_zone="Mars/Olympus"),
        pb.CreateDailyReportRequest(time_zone="../etc/passwd"),
        pb.CreateDailyReportRequest(date="2013-03-01", input_of="2026-03-02-00000000"),
    ):
        with pytest.raises(InvalidArgument):
            make_report(wrong, context(), settings, SystemClock())


def test_what_a_delivery_says() -> None:
    model = model_of(small_input())
    assert title(model) == f"Daily report 2026-03-02: 8 of 12 symbols, {len(model.signals)} signals"
    lines = text(model).splitlines()
    assert lines[0] == "8 arrived, 1 late, 2 missing, 1 failed."
    assert lines[1].startswith("2 up, 6 down, 0 unchanged, median ")
    assert any(line.startswith("Alert (critical): news.crawl failed") for line in lines)
    assert lines[-1] == f"Report {model.meta.id}"


def test_addresses_are_parted_where_one_begins() -> None:
    assert addresses("") == []
    assert addresses("json://a/b?x=1,2, mailto://u:p@h  slack://t/u/v,") == ["json://a/b?x=1,2", "mailto://u:p@h", "slack://t/u/v"]
