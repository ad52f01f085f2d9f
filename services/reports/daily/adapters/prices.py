"""The prices service: which symbols there are, their daily bars, their last trades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import numpy as np
from signalbox.market.v1 import market_pb2
from signalbox.prices.v1 import prices_service_pb2 as pb
from signalbox.prices.v1.prices_service_pb2_grpc import PricesServiceStub

from services.reports.daily.adapters.grpc_errors import unavailable
from services.reports.daily.recorded import BarsRecord, no_bars
from services.runtime.errors import InvalidArgument
from services.runtime.timestamps import nanoseconds, timestamp

_NS = 10**9
_PAGE = 5_000
_MAX_PRICES = 1_000


class PricesOverGrpc:
    """Prices. timeout_s: for one answer."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        self._stub, self._timeout_s = PricesServiceStub(channel), timeout_s

    async def symbols(self) -> Mapping[str, bool]:
        """As the port says."""
        found: dict[str, bool] = {}
        token = ""
        while True:
            try:
                page = await self._stub.ListSeries(pb.ListSeriesRequest(page_size=_PAGE, page_token=token), timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                raise unavailable("prices", error) from error
            for item in page.series:
                found[item.symbol] = found.get(item.symbol, False) or item.interval == market_pb2.INTERVAL_1D
            token = page.next_page_token
            if not token:
                return found

    async def daily_bars(self, symbol: str, end_ns: int | None, most: int) -> BarsRecord:
        """As the port says. Raises InvalidArgument, Unavailable."""
        request = pb.StreamBarsRequest(symbol=symbol, interval=market_pb2.INTERVAL_1D, last=most)
        if end_ns is not None:
            request.end.CopyFrom(timestamp(end_ns))
        rows: list[market_pb2.Bar] = []
        try:
            async for part in self._stub.StreamBars(request, timeout=self._timeout_s):
                rows.extend(part.bars)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return no_bars()
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise InvalidArgument("universe", symbol, f"a symbol that prices takes ({error.details()})") from error
            raise unavailable("prices", error) from error
        return _record(rows)

    async def last_trades(self, symbols: Sequence[str]) -> Mapping[str, int]:
        """As the port says."""
        found: dict[str, int] = {}
        for begin in range(0, len(symbols), _MAX_PRICES):
            request = pb.BatchGetPricesRequest(symbols=symbols[begin : begin + _MAX_PRICES])
            try:
                answer = await self._stub.BatchGetPrices(request, timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                raise unavailable("prices", error) from error
            found |= {price.symbol: nanoseconds(price.ts_event) for price in answer.prices if not price.from_bar}
        return found


def _record(rows: Sequence[market_pb2.Bar]) -> BarsRecord:
    count = len(rows)
    return BarsRecord(
        ts_open=np.fromiter((nanoseconds(bar.ts_open) for bar in rows), np.int64, count),
        ts_close=np.fromiter((nanoseconds(bar.ts_close) for bar in rows), np.int64, count),
        open=np.fromiter((bar.open for bar in rows), np.float64, count),
        high=np.fromiter((bar.high for bar in rows), np.float64, count),
        low=np.fromiter((bar.low for bar in rows), np.float64, count),
        close=np.fromiter((bar.close for bar in rows), np.float64, count),
        volume=np.fromiter((bar.volume for bar in rows), np.float64, count),
        source_kind=np.fromiter((bar.source_kind for bar in rows), np.int64, count),
        replay_of=np.fromiter((nanoseconds(bar.replay_of) if bar.HasField("replay_of") else 0 for bar in rows), np.int64, count),
    )
