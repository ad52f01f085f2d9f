"""The kind `history.collect` on a real broker and a real prices service; Yahoo's chart API played by a server on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import history_job_pb2 as pb

from services.prices.jobs.collect import CollectCancelled, collect_history
from services.prices.jobs.settings import PricesJobsSettings
from services.prices.jobs.table import BarTable, SourceFailed
from services.prices.jobs.yahoo import YahooCharts
from services.prices.sessions import SessionTable, build
from services.runtime.columns import decode_bars
from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.job_kinds import HISTORY_COLLECT
from services.runtime.jobs import Job, JobState, Priority
from services.runtime.kafka import Record, TopicReader
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing import ManualClock, eventually
from services.runtime.testing.job_queue import MemoryContext
from services.runtime.topics import BARS
from tests.integration.prices_process import PricesProcess
from tests.servers import new_broker

NS = 10**9
DAY = 86_400


@pytest.fixture(scope="module")
def sessions() -> SessionTable:
    return build(2026, ["XNYS"])


@pytest.fixture
async def settings(tmp_path: Path, sessions: SessionTable, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PricesJobsSettings]:
    """A broker and a prices service of the test's own."""
    (tmp_path / "tables").mkdir()
    sessions.save(tmp_path / "tables" / "sessions.npz")
    monkeypatch.setenv("SIGNALBOX_HOME", str(tmp_path))
    with new_broker(tmp_path / "kafka") as broker:
        ensure_topics(broker.bootstrap, 4)
        prices = PricesProcess(broker.bootstrap, tmp_path / "prices.log", SIGNALBOX_HOME=str(tmp_path))
        try:
            await prices.start()
            yield PricesJobsSettings.model_validate({"kafka_bootstrap_servers": broker.bootstrap, "prices_address": prices.address, "home": tmp_path})
        finally:
            prices.kill()


def context() -> MemoryContext:
    return MemoryContext(None, Job("j", HISTORY_COLLECT.name, JobState.RUNNING, Priority.LOW, b"", 0))


async def bars_of(bootstrap: str) -> list[tuple[str, int]]:
    """Symbol and open time of every bar in the log."""
    found: list[Record] = []
    reader = TopicReader(bootstrap, [BARS.name], found.extend)
    reader.start()
    await reader.wait_caught_up()
    reader.stop()
    batches = [decode_bars(record.value) for record in found]
    return [(batch.instruments[int(index)].symbol, int(ts)) for batch in batches for index, ts in zip(batch.instrument, batch.ts_open, strict=True)]


async def test_recorded_stocks_come_once_whole_and_never_ahead(settings: PricesJobsSettings) -> None:
    said = context()
    first = await collect_history(pb.CollectHistoryRequest(source="stocks", symbols=["AAPL.XNAS", "IBM.XNYS", "TSLA.XNAS"]), said, settings)
    assert [(failure.symbol, failure.reason[:22]) for failure in first.failures] == [("TSLA.XNAS", "expected one of AAPL.X")]
    assert (first.symbols, first.bars_read) == (2, first.bars_published)
    assert [progress.done for progress in said.said] == [0, 1, 2, 3]
    in_log = await bars_of(settings.kafka_bootstrap_servers)
    assert len(in_log) == len(set(in_log)) == first.bars_published

    async def known() -> bool:
        again = await collect_history(pb.CollectHistoryRequest(source="stocks", symbols=["AAPL.XNAS", "IBM.XNYS"]), context(), settings)
        return again.bars_read == first.bars_read and again.bars_published == 0

    # The prices service reads the same topic, a moment later; what is published twice meanwhile has the same identity.
    await eventually(known, 60.0)


async def test_a_hole_is_filled_and_nothing_else(settings: PricesJobsSettings, tmp_path: Path) -> None:
    def write(days: list[int]) -> str:
        lines = [f"2024-03-{day:02},10,11,9,10.5,100" for day in days]
        (tmp_path / "bars.csv").write_text("date,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
        return str(tmp_path / "bars.csv")

    request = pb.CollectHistoryRequest(source="file", symbols=["AAPL.XNAS"], path=write([1, 4, 6]), interval=market_pb2.INTERVAL_1D)
    assert (await collect_history(request, context(), settings)).bars_published == 3

    async def filled() -> bool:
        write([1, 4, 5, 6])
        return (await collect_history(request, context(), settings)).bars_published == 1

    await eventually(filled, 60.0)


async def test_wrong_requests_and_a_cancelled_one(settings: PricesJobsSettings) -> None:
    for request, why in (
        (pb.CollectHistoryRequest(source="bloomberg"), "one of stocks, file, yahoo"),
        (pb.CollectHistoryRequest(source="file"), "path"),
        (pb.CollectHistoryRequest(source="yahoo"), "names none by itself"),
    ):
        with pytest.raises(InvalidArgument, match=why):
            await collect_history(request, context(), settings)
    cancelled = context()
    cancelled.cancelled = True
    with pytest.raises(CollectCancelled):
        await collect_history(pb.CollectHistoryRequest(source="stocks"), cancelled, settings)
    assert await bars_of(settings.kafka_bootstrap_servers) == []


# -- Yahoo


def chart(times: list[int], **columns: list[Any]) -> dict[str, Any]:
    quote = {name: columns.get(name, [10.0] * len(times)) for name in ("open", "high", "low", "close", "volume")}
    return {"chart": {"result": [{"meta": {"gmtoffset": -18_000}, "timestamp": times, "indicators": {"quote": [quote]}}], "error": None}}


async def ask(sessions: SessionTable, answer: Any, *, status: int = 200, symbol: str = "AAPL.XNAS", interval_s: int = DAY) -> tuple[BarTable, list[str]]:
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(str(request.rel_url))
        return web.Response(status=status, text=answer if isinstance(answer, str) else json.dumps(answer), headers={"Retry-After": "7"})

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with ClientSession() as session:
            charts = YahooCharts(session, f"http://127.0.0.1:{port}", sessions, ManualClock(1_800_000_000 * NS), 0.0)
            return await charts.bars(symbol, interval_s, 0, 4 * 10**18, -1), asked
    finally:
        await runner.cleanup()


async def test_daily_bars_get_their_sessions_and_days_without_trades_are_left_out(sessions: SessionTable) -> None:
    # 14:30 UTC on 2024-03-01 and on the 4th.
    answer = chart([1_709_303_400, 1_709_562_600], close=[10.0, None])
    table, asked = await ask(sessions, answer)
    assert table.rows[:, 2:6].tolist() == [[10 * 10**table.instrument.price_digits] * 4]
    assert tuple(table.rows[0, :2].tolist()) == sessions.session_on("XNAS", date(2024, 3, 1))
    assert "/v8/finance/chart/AAPL?period1=0&period2=1800000000&interval=1d" in asked[0]


async def test_a_forming_bar_is_not_one_of_the_past(sessions: SessionTable) -> None:
    table, _asked = await ask(sessions, chart([1_799_999_940, 1_799_999_999]), interval_s=60)
    assert table.rows[:, 0].tolist() == [1_799_999_940 * NS]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"}}}, "may be delisted"),
        ("<html>", "is not JSON"),
        ({"chart": {"result": []}}, "no result"),
        ({}, "no chart"),
        (chart([1_709_303_400], close=[]), "another length"),
    ],
)
async def test_an_answer_without_bars_says_why(sessions: SessionTable, answer: Any, why: str) -> None:
    with pytest.raises(SourceFailed, match=why):
        await ask(sessions, answer)


async def test_a_busy_server_is_asked_again_later(sessions: SessionTable) -> None:
    with pytest.raises(Unavailable) as caught:
        await ask(sessions, "", status=429)
    assert caught.value.retry_after_s == 7.0
