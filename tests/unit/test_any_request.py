"""Whatever a request holds, every RPC answers it or says what is wrong with it: nothing is INTERNAL or UNKNOWN to a caller."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from google.longrunning import operations_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc import code_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signalbox.analysis.v1 import analysis_service_pb2
from signalbox.news.v1 import news_service_pb2
from signalbox.prices.v1 import prices_service_pb2
from signalbox.reports.v1 import jobs_service_pb2, reports_service_pb2, schedule_service_pb2

from services.analysis.analyst import Analyst
from services.analysis.history import HistoryBook
from services.analysis.servicer import AnalysisServicer
from services.news.library import Library
from services.news.servicer import NewsServicer
from services.news.views import NewsViews
from services.prices.bar_store import BarStore
from services.prices.price_view import PriceView
from services.prices.servicer import PricesServicer
from services.reports.daily.archive import ReportArchive
from services.reports.daily.servicer import ReportsServicer
from services.reports.jobs_servicer import JobsServicer
from services.reports.operations import OperationsServicer
from services.runtime.errors import SignalboxError
from services.runtime.interceptors import status_of
from services.runtime.job_kinds import JOB_KINDS
from services.runtime.partitions import partition_of
from services.runtime.testing import ManualClock
from tests.unit.analysis.test_analyst import MemoryCache, Source
from tests.unit.news.stories_of import article
from tests.unit.news.test_news_translate import PLAIN, RECORDED
from tests.unit.prices.bar_rows import bars
from tests.unit.protobuf_messages import messages
from tests.unit.reports.test_operations import Archive, Call, Waits
from tests.unit.reports.test_schedule_servicer import run, served

POOL = ThreadPoolExecutor(1)


@dataclass
class Shelf:
    """A Library whose topics were read."""

    views: NewsViews


def prices(_home: Path) -> object:
    store = BarStore(4, 100)
    for symbol, interval in (("A.XSIM", 60), ("A.XSIM", 86_400), ("ES.XCME", 60)):
        store.add(bars(symbol, interval, [interval * number for number in range(5)]), partition_of(symbol, 4), 0)
    return PricesServicer(cast("Any", None), PriceView(store), store)


def analysis(_home: Path) -> object:
    return AnalysisServicer(Analyst(HistoryBook(Source(), ManualClock(), 10**6), MemoryCache(), POOL, ttl_s=1.0, parallel=3))


def news(_home: Path) -> object:
    views = NewsViews(100)
    for offset, title in enumerate(("Fed raises rates", "Markets fall", "Apple unveils a phone")):
        known = views.book.add(article(offset, title), offset)
        assert known is not None
        views.index.add(known)
    return NewsServicer(cast("Library", Shelf(views)), [PLAIN, RECORDED])


def reports(home: Path) -> object:
    archive = ReportArchive(home)
    archive.put(reports_service_pb2.DailyReport(id="2026-03-01-00000001", date="2026-03-01"), {"report.pdf": b"pdf"})
    return ReportsServicer(Waits(clock=ManualClock()), archive, JOB_KINDS, ManualClock())


def jobs(_home: Path) -> object:
    return JobsServicer(Waits(clock=ManualClock()), JOB_KINDS, ManualClock())


def operations(_home: Path) -> object:
    return OperationsServicer(Waits(clock=ManualClock()), Archive(), JOB_KINDS, ManualClock())


def schedule(_home: Path) -> object:
    return served(run(-2), run(-1))[0]


#: Of each: how it is made, the file that describes it, its name there.
SERVICES: list[tuple[Callable[[Path], object], Any, str]] = [
    (prices, prices_service_pb2, "PricesService"),
    (analysis, analysis_service_pb2, "AnalysisService"),
    (news, news_service_pb2, "NewsService"),
    (reports, reports_service_pb2, "ReportsService"),
    (jobs, jobs_service_pb2, "JobsService"),
    (operations, operations_pb2, "Operations"),
    (schedule, schedule_service_pb2, "ScheduleService"),
]
#: A stream of ticks has a test of its own; a rebuild has no fields, and needs a broker.
LEFT_OUT = {"IngestTicks", "RebuildViews"}


async def code_of(method: Callable[..., Any], request: Message) -> int:
    """Calls it and reads the answer to its end, which can be serialised; or the status of what is wrong, which can be, too."""
    try:
        found = method(request, Call())
        parts: list[Any] = [part async for part in found] if inspect.isasyncgen(found) else [await found]
        for part in parts:
            part.SerializeToString()
    except SignalboxError as error:
        status = status_of(error)
        status.SerializeToString()
        return int(status.code)
    return int(code_pb2.OK)


@pytest.mark.parametrize(("make", "described_in", "name"), SERVICES, ids=[name for _, _, name in SERVICES])
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
async def test_any_request_is_answered_or_refused(make: Callable[[Path], object], described_in: Any, name: str, tmp_path: Path, data: st.DataObject) -> None:
    methods: dict[str, Descriptor] = {method.name: method.input_type for method in described_in.DESCRIPTOR.services_by_name[name].methods}
    method = data.draw(st.sampled_from(sorted(methods.keys() - LEFT_OUT)))
    request = data.draw(messages(methods[method]))
    assert await code_of(getattr(make(tmp_path), method), request) not in {code_pb2.INTERNAL, code_pb2.UNKNOWN}
