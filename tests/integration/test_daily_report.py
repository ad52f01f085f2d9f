"""A daily report from real prices and analysis on a real broker: its figures are those of the file, and it is delivered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
from signalbox.events.v1 import alert_pb2
from signalbox.reports.v1 import reports_service_pb2 as pb

from services.reports.daily.archive import archive_in
from services.reports.daily.compute import compute
from services.reports.daily.delivery import deliver
from services.reports.daily.handler import make_report
from services.reports.daily.model import DailyReportModel, SymbolState
from services.reports.daily.recorded import read_input
from services.reports.daily.settings import DailyReportSettings
from services.runtime.clock import SystemClock
from services.runtime.errors import Unavailable
from services.runtime.headers import record_headers
from services.runtime.jobs import Job, JobState, Priority
from services.runtime.kafka import make_producer
from services.runtime.settings import load_settings
from services.runtime.testing.job_queue import MemoryContext
from services.runtime.topics import ALERTS
from tests.report_samples import model_of, real_input
from tests.report_stack import report_stack

PLAIN = (pb.REPORT_FORMAT_JSON, pb.REPORT_FORMAT_PARQUET)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The recorded stocks and minutes of ES; where everything is stands in the environment."""
    folder = tmp_path_factory.mktemp("report-stack")
    with report_stack(folder, real_input(extra=()).symbols, minutes_of="ES.XCME") as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        publish_alert(environment["KAFKA_BOOTSTRAP_SERVERS"])
        yield folder


def publish_alert(bootstrap: str) -> None:
    """And a record that is none."""
    producer = make_producer(bootstrap)
    alert = alert_pb2.Alert(key="schedule/x/failing", severity="warning", title="x failed", source="test", ts_since=1, ts_event=2)
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(ALERTS.message, "test")]
    producer.produce(ALERTS.name, alert.SerializeToString(), key=alert.key, headers=headers)
    producer.produce(ALERTS.name, b"\xff", key="bad", headers=headers)
    assert producer.flush(20) == 0


def context() -> MemoryContext:
    return MemoryContext(None, Job("a", "report.daily", JobState.RUNNING, Priority.NORMAL, b"", 1))


def made(home: Path, **fields: object) -> tuple[pb.DailyReport, DailyReportModel, MemoryContext]:
    said = context()
    request = pb.CreateDailyReportRequest(formats=PLAIN, **fields)  # type: ignore[arg-type]
    report = make_report(request, said, load_settings(DailyReportSettings), SystemClock())
    return report, compute(read_input(archive_in(home).input_of(report.id)), report.input_sha256), said


def test_figures_are_those_of_the_file(home: Path) -> None:
    report, model, said = made(home)
    assert report.date == "2013-03-01"
    assert (report.symbols_expected, report.symbols_arrived, report.symbols_missing) == (6, 5, 1)
    expected = model_of(real_input())
    for found, wanted in zip(model.symbols, expected.symbols, strict=True):
        assert found.last == wanted.last
        assert found.previous == wanted.previous
        assert found.extremes == wanted.extremes
        assert found.indicators == wanted.indicators
        assert found.signals == wanted.signals
        assert found.splits == wanted.splits
        assert found.chart.macd.tobytes() == wanted.chart.macd.tobytes()
        assert found.chart.markers == wanted.chart.markers
    assert model.market.breadth == expected.market.breadth
    done = [each.done for each in said.said]
    assert done == sorted(done)
    # The whole is said by the queue, when the job has ended.
    assert done[-1] == pytest.approx(0.99 * 6)


def test_what_could_not_be_had_is_told(home: Path) -> None:
    report, model, _ = made(home, date="2013-02-28")
    (missing,) = model.coverage.of(SymbolState.MISSING)
    assert (missing.symbol, missing.reason) == ("ES.XCME", "no daily bars; no trade known")
    away = {row.name: row.detail for row in model.coverage.sources if not row.ok}
    assert set(away) == {"news", "alerts", "system", "metrics"}
    assert away["alerts"] == "records of alerts that could not be read: 1"
    assert "UNAVAILABLE" in away["news"]
    assert sorted(report.warnings) == sorted(f"{name}: {detail}" for name, detail in away.items())
    assert [alert.title for alert in model.alerts] == ["x failed"]
    assert {row.name for row in model.system.latencies} >= {"Unary calls answered by prices"}


def test_an_earlier_day_knows_nothing_of_later_ones(home: Path) -> None:
    _, model, _ = made(home, date="2012-06-01", universe=["AAPL.XNAS", "FB.XNAS"])
    assert [item.last.date for item in model.symbols] == ["2012-06-01"] * 2
    assert model.symbols[0].extremes.high_ever.price == 644.0
    assert model_of(real_input("2012-06-01")).symbols[0].indicators == model.symbols[0].indicators


def test_a_holiday_makes_all_late(home: Path) -> None:
    report, model, _ = made(home, date="2013-01-01")
    assert (report.symbols_arrived, report.symbols_late) == (0, 5)
    assert model.coverage.of(SymbolState.LATE)[0].reason == "last daily bar is of 2012-12-31; no symbol of XNAS has one of the day"
    assert model.market.breadth.advancers == 0


def test_without_prices_the_attempt_fails_and_may_be_tried_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALBOX_PRICES_ADDRESS", "127.0.0.1:1")
    with pytest.raises(Unavailable, match="prices is not available"):
        made(home)


class Receiver:
    """A web hook. status: what it answers."""

    def __init__(self, status: int) -> None:
        self.bodies: list[dict[str, object]] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:secret@127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_report_is_delivered_and_a_failure_is_a_warning(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = Receiver(200), Receiver(500)
    monkeypatch.setenv("SIGNALBOX_REPORT_NOTIFY", f"{good.url}, {bad.url}")
    try:
        report, _, _ = made(home)
    finally:
        good.close()
        bad.close()
    (body,) = good.bodies
    assert body["title"] == "Daily report 2013-03-01: 5 of 6 symbols, 1 signal"
    assert "AAPL.XNAS: MACD crosses down" in str(body["message"])
    failed = [line for line in report.warnings if line.startswith("not delivered")]
    assert len(failed) == 1
    assert "secret" not in failed[0]
    assert (report.deliveries, report.deliveries_failed) == (2, 1)
    # How a delivery went is no part of the report.
    assert not [line for line in archive_in(home).get(report.id).warnings if "delivered" in line]


def test_the_page_goes_along(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_bytes(b"<html>hello</html>")
    receiver = Receiver(200)
    try:
        assert deliver(receiver.url, model_of(real_input()), page) == []
    finally:
        receiver.close()
    (body,) = receiver.bodies
    (attachment,) = cast("list[dict[str, str]]", body["attachments"])
    assert attachment["filename"] == "report.html"
