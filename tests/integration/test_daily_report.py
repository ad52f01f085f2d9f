"""A daily report from real prices and analysis on a real broker: its figures are those of the file, and it is delivered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from signalbox.events.v1 import alert_pb2
from signalbox.reports.v1 import reports_service_pb2 as pb

from deploy.local.ports import free_ports
from services.reports.daily.archive import archive_in
from services.reports.daily.compute import compute
from services.reports.daily.delivery import deliver
from services.reports.daily.handler import make_report
from services.reports.daily.model import DailyReportModel, SymbolState
from services.reports.daily.recorded import BarsRecord, read_input
from services.reports.daily.settings import DailyReportSettings
from services.runtime.clock import SystemClock
from services.runtime.columns import BarColumns, InstrumentRef, encode_bars
from services.runtime.errors import Unavailable
from services.runtime.headers import record_headers
from services.runtime.jobs import Job, JobState, Priority
from services.runtime.kafka import make_producer
from services.runtime.kafka_admin import ensure_topics
from services.runtime.partitions import partition_of
from services.runtime.settings import load_settings
from services.runtime.testing.job_queue import MemoryContext
from services.runtime.topics import ALERTS, BARS
from tests.processes import Process
from tests.report_samples import model_of, real_input
from tests.servers import new_broker

PARTITIONS = 2
PLAIN = (pb.REPORT_FORMAT_JSON, pb.REPORT_FORMAT_PARQUET)
#: Of the file's prices; GOOG has some of a hundredth of a cent.
DIGITS = 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, valkey: str) -> Iterator[Path]:
    """Broker, prices and analysis with the recorded stocks and minutes of ES; what they are told is in the environment."""
    folder = tmp_path_factory.mktemp("report-stack")
    ports = free_ports(6)
    with new_broker(folder / "kafka") as broker, pytest.MonkeyPatch.context() as patch:
        ensure_topics(broker.bootstrap, PARTITIONS)
        publish(broker.bootstrap)
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "REDIS_URL": valkey,
            "SIGNALBOX_HOME": str(folder),
            "SIGNALBOX_PARTITIONS": str(PARTITIONS),
            "SIGNALBOX_PRICES_PORT": str(ports[0]),
            "SIGNALBOX_PRICES_ADDRESS": f"127.0.0.1:{ports[0]}",
            "SIGNALBOX_PRICES_METRICS_PORT": str(ports[1]),
            "SIGNALBOX_ANALYSIS_PORT": str(ports[2]),
            "SIGNALBOX_ANALYSIS_ADDRESS": f"127.0.0.1:{ports[2]}",
            "SIGNALBOX_ANALYSIS_METRICS_PORT": str(ports[3]),
            # Nobody listens there.
            "SIGNALBOX_NEWS_ADDRESS": f"127.0.0.1:{ports[4]}",
            "SIGNALBOX_GATEWAY_ADDRESS": f"127.0.0.1:{ports[4]}",
            "SIGNALBOX_GATEWAY_METRICS_PORT": str(ports[4]),
            "SIGNALBOX_PRICES_WORKER_METRICS_PORT": "0",
            "SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT": "0",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        processes = [Process([f"services.{name}"], folder / f"{name}.log", ports[at], environment) for name, at in (("prices", 1), ("analysis", 3))]
        try:
            for process in processes:
                process.wait_ready()
            yield folder
        finally:
            for process in processes:
                process.kill()


def publish(bootstrap: str) -> None:
    producer = make_producer(bootstrap)
    for item in real_input(extra=()).symbols:
        for begin in range(0, len(item.bars), 1000):
            send(producer, item.symbol, columns_of(item.symbol, item.bars, slice(begin, begin + 1000), 86_400))
    minutes = real_input(extra=()).symbols[0].bars.until(5)
    send(producer, "ES.XCME", columns_of("ES.XCME", replace(minutes, ts_close=minutes.ts_open + 60 * 10**9), slice(None), 60))
    alert = alert_pb2.Alert(key="schedule/x/failing", severity="warning", title="x failed", source="test", ts_since=1, ts_event=2)
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(ALERTS.message, "test")]
    producer.produce(ALERTS.name, alert.SerializeToString(), key=alert.key, headers=headers)
    producer.produce(ALERTS.name, b"\xff", key="bad", headers=headers)
    assert producer.flush(20) == 0


def send(producer: object, symbol: str, columns: BarColumns) -> None:
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(BARS.message, "test")]
    producer.produce(BARS.name, encode_bars(columns), partition=partition_of(symbol, PARTITIONS), headers=headers)  # type: ignore[attr-defined]


def columns_of(symbol: str, bars: BarsRecord, cut: slice, interval: int) -> BarColumns:
    count = len(bars.ts_open[cut])
    fixed = {name: np.round(getattr(bars, name)[cut] * 10**DIGITS).astype(np.int64) for name in ("open", "high", "low", "close")}
    return BarColumns(
        instruments=(InstrumentRef(symbol, DIGITS, 0),),
        instrument=np.zeros(count, np.uint32),
        interval=np.full(count, interval, np.uint32),
        ts_open=bars.ts_open[cut],
        ts_close=bars.ts_close[cut],
        **fixed,
        volume=bars.volume[cut].astype(np.int64),
        vwap=np.full(count, -1, np.int64),
        trade_count=np.full(count, -1, np.int64),
        revision=np.zeros(count, np.uint32),
        source_kind=bars.source_kind[cut].astype(np.int32),
        replay_shift=np.zeros(count, np.int64),
        ts_recv=np.empty(0, np.int64),
    )


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
    assert done[-1] == 6
    assert max(done[:-1]) <= 0.99 * 6


def test_what_could_not_be_had_is_told(home: Path) -> None:
    report, model, _ = made(home, date="2013-02-28")
    (missing,) = model.coverage.of(SymbolState.MISSING)
    assert (missing.symbol, missing.reason) == ("ES.XCME", "no daily bars; no trade known")
    away = {row.name: row.detail for row in model.coverage.sources if not row.ok}
    assert set(away) == {"news", "system", "metrics"}
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
    monkeypatch.setenv("SIGNALBOX_REPORT_NOTIFY", f"{good.url}, {bad.url} nonsense://x")
    try:
        report, _, _ = made(home)
    finally:
        good.close()
        bad.close()
    (body,) = good.bodies
    assert body["title"] == "Daily report 2013-03-01: 5 of 6 symbols, 1 signal"
    assert "AAPL.XNAS: MACD crosses down" in str(body["message"])
    failed = [line for line in report.warnings if line.startswith("not delivered")]
    assert len(failed) == 2
    assert "secret" not in "".join(failed)
    assert failed[1].startswith("not delivered to address 3 of SIGNALBOX_REPORT_NOTIFY")
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
