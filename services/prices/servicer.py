"""The gRPC face of the prices service: validate, call, translate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1 import prices_service_pb2_grpc as pb_grpc

from services.prices import translate
from services.prices.bar_series import BarRows
from services.prices.bar_store import BarStore, Selection
from services.prices.errors import NoPrice
from services.prices.ingest import Ingest
from services.prices.ingest_stream import Message
from services.prices.instruments import mic_of
from services.prices.metrics import TICKS_REJECTED
from services.prices.price_view import LatestPrice, PriceView
from services.prices.tick_wire import Parser, WireMessage
from services.runtime.errors import InvalidArgument
from services.runtime.page_token import make_token, read_token
from services.runtime.timestamps import timestamp
from services.runtime.topics import BARS

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

#: Full name of the service.
SERVICE = pb.DESCRIPTOR.services_by_name["PricesService"].full_name

_MAX_SYMBOLS = 1_000
_DEFAULT_PAGE = 1_000
#: A bar takes at most 170 bytes, so a page stays below 1 MiB: above that a transcoded answer fails at the edge.
_MAX_PAGE = 5_000
_MAX_LAST = 100_000
#: Making this many messages takes about 10 ms; then others have their turn on the event loop.
_STREAM_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class _BarQuery:
    symbol: str
    interval: int
    start_ns: int | None
    end_ns: int | None
    last: int


class PricesServicer(pb_grpc.PricesServiceServicer):
    """Answers from memory, but for ticks, which go to Kafka."""

    def __init__(self, ingest: Ingest, prices: PriceView, bars: BarStore) -> None:
        self._ingest, self._prices, self._bars = ingest, prices, bars
        self._answers: dict[str, tuple[LatestPrice, pb.GetPriceResponse]] = {}

    async def IngestTicks(self, request_iterator: AsyncIterator[WireMessage], context: Context) -> pb.IngestTicksResponse:  # type: ignore[override]
        """Takes a stream of ticks."""
        return translate.ingest_response(await self._ingest.run(_messages(request_iterator)))

    async def GetPrice(self, request: pb.GetPriceRequest, context: Context) -> pb.GetPriceResponse:
        """The latest price of one symbol."""
        symbol = request.symbol
        known = self._answers.get(symbol)
        if known is None:
            mic_of(symbol)
        price = self._prices.latest(symbol)
        if known is None or known[0] is not price:
            known = self._answers[symbol] = (price, pb.GetPriceResponse(price=translate.price_message(price)))
        return known[1]

    async def BatchGetPrices(self, request: pb.BatchGetPricesRequest, context: Context) -> pb.BatchGetPricesResponse:
        """The latest prices of many symbols."""
        if not 1 <= len(request.symbols) <= _MAX_SYMBOLS:
            raise InvalidArgument("symbols", len(request.symbols), f"1 to {_MAX_SYMBOLS:,}")
        for symbol in request.symbols:
            mic_of(symbol)
        response = pb.BatchGetPricesResponse()
        for symbol in request.symbols:
            try:
                response.prices.append(translate.price_message(self._prices.latest(symbol)))
            except NoPrice:
                response.missing.append(symbol)
        return response

    async def ListBars(self, request: pb.ListBarsRequest, context: Context) -> pb.ListBarsResponse:
        """A page of bars. All pages of a query are of the moment of the first: same end, same position."""
        query = _bar_query(request, translate.interval_seconds(request.interval, request.interval_name))
        size = _page_size(request.page_size)
        if request.page_token:
            begin, until, offset = read_token(request.page_token, _bound(query, size), 3)
            page = self._bars.select(query.symbol, query.interval, begin, until, limit=size)
        else:
            page = self._bars.select(query.symbol, query.interval, query.start_ns, query.end_ns, last=query.last, limit=size)
            until, offset = page.last_open_ns + 1, page.next_offset
        return pb.ListBarsResponse(
            bars=translate.bar_messages(query.symbol, query.interval, page.rows),
            next_page_token=make_token(_bound(query, size), int(page.rows["ts_open"][-1]) + 1, until, offset) if page.more else "",
            origin_ts=timestamp(page.origin_ns),
            position=_position(page, offset),
        )

    async def StreamBars(self, request: pb.StreamBarsRequest, context: Context) -> AsyncIterator[pb.StreamBarsResponse]:
        """Bars without pages."""
        query = _bar_query(request, translate.interval_seconds(request.interval))
        found = self._bars.select(query.symbol, query.interval, query.start_ns, query.end_ns, last=query.last)
        for rows in _chunks(found.rows):
            yield pb.StreamBarsResponse(
                bars=translate.bar_messages(query.symbol, query.interval, rows),
                origin_ts=timestamp(found.origin_ns),
                position=_position(found, found.next_offset),
            )
            await asyncio.sleep(0)

    async def ListSeries(self, request: pb.ListSeriesRequest, context: Context) -> pb.ListSeriesResponse:
        """The series that are kept, in pages."""
        size = _page_size(request.page_size)
        query = ("series", size)
        begin = read_token(request.page_token, query, 1)[0] if request.page_token else 0
        found = self._bars.summaries()
        page = found[begin : begin + size]
        token = make_token(query, begin + size) if begin + size < len(found) else ""
        return pb.ListSeriesResponse(series=[translate.series_message(item) for item in page], next_page_token=token)


def add_to_server(servicer: PricesServicer, server: Any, parse: Parser) -> None:
    """Adds the service, with a parser of its own for the messages of ticks. server: a grpc.aio.Server or Handlers.

    Of two registered handlers of a method the later one counts, and a registered one counts before a generic one; a test goes through both parsers.
    """
    pb_grpc.add_PricesServiceServicer_to_server(servicer, server)

    ingest: Any = grpc.stream_unary_rpc_method_handler(servicer.IngestTicks, parse, pb.IngestTicksResponse.SerializeToString)
    server.add_registered_method_handlers(SERVICE, {"IngestTicks": ingest})


async def _messages(requests: AsyncIterator[WireMessage]) -> AsyncIterator[Message]:
    async for request in requests:
        if len(request.ticks) > translate.MAX_TICKS:
            # Refused as a whole, and its stream with it; no tick goes uncounted.
            TICKS_REJECTED.labels("message_too_large").inc(len(request.ticks))
        yield translate.message_of(request)


def _bar_query(request: pb.ListBarsRequest | pb.StreamBarsRequest, interval: int) -> _BarQuery:
    mic_of(request.symbol)
    if not 0 <= request.last <= _MAX_LAST:
        raise InvalidArgument("last", request.last, f"0 to {_MAX_LAST:,}")
    start, end = translate.optional_nanoseconds("start", request), translate.optional_nanoseconds("end", request)
    if start is not None and end is not None and start > end:
        raise InvalidArgument("end", end, f"a time not before start ({start})")
    return _BarQuery(request.symbol, interval, start, end, request.last)


def _page_size(asked: int) -> int:
    if not 0 <= asked <= _MAX_PAGE:
        raise InvalidArgument("page_size", asked, f"0 to {_MAX_PAGE:,}")
    return asked or _DEFAULT_PAGE


def _bound(query: _BarQuery, size: int) -> tuple[object, ...]:
    return ("bars", query.symbol, query.interval, query.start_ns, query.end_ns, query.last, size)


def _position(selection: Selection, offset: int) -> pb.TopicPosition:
    return pb.TopicPosition(topic=BARS.name, partition=selection.partition, next_offset=offset)


def _chunks(rows: BarRows) -> Sequence[BarRows]:
    """At least one, for an empty range has an origin and a position too."""
    return [rows[at : at + _STREAM_CHUNK] for at in range(0, max(1, len(rows)), _STREAM_CHUNK)]
